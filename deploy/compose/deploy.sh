#!/usr/bin/env bash
# On the VM: migrates with the new image while the old app serves, and only then replaces the app.
# The first deployment, every other one, and a roll-back.
#
#   ./deploy.sh TAG
set -euo pipefail
cd -- "$(dirname -- "$(realpath -- "$0")")"
tag=${1:?usage: deploy.sh TAG}

# A container of its own, of the new image. Where it fails, nothing below happens.
TAG=$tag docker compose run --rm migrate </dev/null
# Not earlier: until here whoever types `docker compose up` means the old release.
sed -i "s/^TAG=.*/TAG=$tag/" .env
docker compose up -d
