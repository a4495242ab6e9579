#!/usr/bin/env bash
# On the VM: migrates with the new image while the old app serves, and only then replaces the app.
# The first deployment, every other one, and a roll-back.
#
#   ./deploy.sh TAG
set -euo pipefail
cd -- "$(dirname -- "$(realpath -- "$0")")"
# Exported: of a TAG in the shell and the one in .env, Compose takes the shell's.
export TAG=${1:?usage: deploy.sh TAG}

# One deployment at a time: .env and the app would be of two releases.
exec 9>.lock
flock -n 9 || {
  echo "deploy: waiting for another deployment to end" >&2
  flock 9
}

# A container of its own, of the new image. Where it fails, nothing below happens. -T: it needs no
# terminal, and older versions of Compose end where only one of input and output is one.
docker compose run -T --rm migrate </dev/null
# Not earlier: until here whoever types `docker compose up` means the old release.
sed -i "s/^TAG=.*/TAG=$TAG/" .env
docker compose up -d
