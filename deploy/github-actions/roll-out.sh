#!/usr/bin/env bash
# On the VM: migrates with the new image while the old app serves, and only then replaces the app.
#
#   roll-out.sh TAG
set -euo pipefail
cd -- "$(dirname -- "$(realpath -- "$0")")"
export TAG=${1:?usage: roll-out.sh TAG}

# A new container of the new image; --no-deps: it starts, stops and replaces nothing else.
docker compose run --rm --no-deps migrate </dev/null
docker compose up -d --wait
echo "roll-out: $TAG is running"
