#!/usr/bin/env bash
# Adds what the migrations of a pull request would do to the summary of its workflow.
#
#   IMAGE=schemagate BASE=COMMIT [DATABASE_URL=…] plan.sh
set -euo pipefail
export LC_ALL=C # the order of migrations
folder=prisma/migrations

plan=(plan)
if [[ -z ${DATABASE_URL:-} ]]; then
  plan+=(--offline)
  first=$(git diff --diff-filter=A --name-only "${BASE:?}" HEAD -- "$folder/*/migration.sql" |
    sed 's:/migration\.sql$::; s:.*/::' | sort | sed -n 1p)
  [[ -n $first ]] || {
    echo "plan: no migration is new"
    exit 0
  }
  # Applied is what stands before the first new one. What others have put behind it is told as well.
  for directory in "$folder"/*/; do
    name=$(basename -- "$directory")
    [[ $name < $first ]] && before=$name
  done
  [[ -z ${before:-} ]] || plan+=("--after=$before")
fi

code=0
told=$(docker run --rm -e DATABASE_URL -v "$PWD:/project:ro" -w /project "${IMAGE:?}" "${plan[@]}" 2>&1) || code=$?
# Whatever names and scripts hold, no line of it is a command to GitHub, and in the summary it is code.
printf '%s\n' "$told" | sed 's/^/| /'
{
  printf '## What the migrations would do\n\n'
  printf '%s\n' "$told" | sed 's/^/    /'
} >>"$GITHUB_STEP_SUMMARY"
exit "$code"
