#!/bin/sh
# The example's "app": it works only once the last migration has been applied.
set -eu
: "${DATABASE_URL:?set DATABASE_URL to the database of the shop}"

# Prisma's own URL parameter "schema" is unknown to psql: leave it out.
url=$(printf '%s' "$DATABASE_URL" | sed 's/\([?&]\)schema=[^&]*&\{0,1\}/\1/; s/[?&]$//')

users=$(psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$url" \
    -c 'SELECT count(*) FROM (SELECT "password_changed_at" FROM "users") AS u')
echo "shop is up: $users users"
