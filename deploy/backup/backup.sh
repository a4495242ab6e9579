#!/bin/sh
# hooks.before of schemagate: a dump of the database before it is migrated (docs/backup.md).
# schemagate gives the connection in libpq's variables, so that nothing of it is on a command line.
set -eu
umask 077

directory=${BACKUP_DIRECTORY:?BACKUP_DIRECTORY is not set: where are the dumps to be}
fresh=${BACKUP_FRESH_MINUTES:-0} # a dump that is younger will do; 0: always make one

as_name() { printf '%s' "$1" | tr -c 'A-Za-z0-9._-' _ | cut -c 1-80; }
name=$(as_name "${SCHEMAGATE_HOST:-local}")_$(as_name "$SCHEMAGATE_DATABASE")
if [ "$fresh" -gt 0 ]; then
  found=$(find "$directory" -name "${name}_[0-9]*.dump" -mmin "-$fresh" | sort | tail -n 1)
  if [ -n "$found" ]; then
    echo "backup: $found is younger than $fresh minutes and will do"
    exit 0
  fi
fi

dump=$directory/${name}_$(date -u +%Y%m%dT%H%M%SZ)_before_$(as_name "$SCHEMAGATE_RELEASE").dump
trap 'rm -f "$dump.part"' EXIT
trap 'exit 1' HUP INT TERM
pg_dump --format=custom --file="$dump.part"
pg_restore --list "$dump.part" >/dev/null # its table of contents can be read
mv "$dump.part" "$dump"
echo "backup: $dump, $(wc -c <"$dump") bytes"
