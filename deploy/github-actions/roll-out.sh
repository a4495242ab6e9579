#!/usr/bin/env bash
# On the VM: migrates with the new image while the old app serves, and only then replaces the app.
#
#   roll-out.sh TAG
set -euo pipefail
umask 077 # .env holds the password
cd -- "$(dirname -- "$(realpath -- "$0")")"
export TAG=${1:?usage: roll-out.sh TAG}

# One roll-out at a time: .env and the app would be of two releases.
exec 9>.lock
flock -n 9 || {
  echo "roll-out: waiting for another one to end" >&2
  flock 9
}
# Whose ssh was cancelled meanwhile ends here: nobody reads this.
echo "roll-out: $TAG"

# A new container of the new image; --no-deps: it starts, stops and replaces nothing else. -T: it needs
# no terminal, and older versions of Compose end where only one of input and output is one.
docker compose run -T --rm --no-deps migrate </dev/null
# For whoever types `docker compose` here later. Not earlier: until here that means the old release.
before=$(sed -n 's/^TAG=//p' .env)
new=$(mktemp .env.XXXXXX)
trap 'rm -f "$new"' EXIT
# grep ends with 1 where there was no other line. After any other failure .env stays as it is.
grep -v '^TAG=' .env >"$new" || [[ $? == 1 ]]
echo "TAG=$TAG" >>"$new"
mv "$new" .env
docker compose up -d --wait || {
  echo "roll-out: $TAG has replaced the app and is not healthy; back: $(realpath -- "$0") ${before:-OLDTAG}" >&2
  exit 1
}
echo "roll-out: $TAG is running"
