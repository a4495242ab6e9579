#!/usr/bin/env bash
# On the VM: migrates with the new image while the old app serves, and only then replaces the app.
#
#   roll-out.sh TAG
set -euo pipefail
umask 077 # .env holds the password
cd -- "$(dirname -- "$(realpath -- "$0")")"
export TAG=${1:?usage: roll-out.sh TAG}

# A new container of the new image; --no-deps: it starts, stops and replaces nothing else.
docker compose run --rm --no-deps migrate </dev/null
# For whoever types `docker compose` here later. Not earlier: until here that means the old release.
before=$(sed -n 's/^TAG=//p' .env)
{ grep -v '^TAG=' .env || true; echo "TAG=$TAG"; } >.env.new
mv .env.new .env
docker compose up -d --wait || {
  echo "roll-out: $TAG has replaced the app and is not healthy; back: $(realpath -- "$0") ${before:-OLDTAG}" >&2
  exit 1
}
echo "roll-out: $TAG is running"
