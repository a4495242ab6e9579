#!/usr/bin/env bash
# Migrates by a Cloud Run job with the new image, then deploys the service with the same image.
#
#   deploy.sh IMAGE
#
# Nothing in Cloud Run ties the two together; this script, and the gate in the image, do.
set -euo pipefail
image=${1:?usage: deploy.sh IMAGE}
export CLOUDSDK_RUN_REGION=${CLOUDSDK_RUN_REGION:-europe-west1}

# `jobs execute` starts whatever image the job was last given.
gcloud run jobs update shop-migrate --image "$image"
gcloud run jobs execute shop-migrate --wait
gcloud run deploy shop --image "$image"
