#!/bin/sh
# backup.sh NODE_FOLDER BACKUP_FOLDER [COPIES]: one dated folder with all that a node needs to start
# again: a consistent copy of its SQLite database, its settings, its key and its peppers.
# Needs the Debian package sqlite3. A PostgreSQL database is not in it: use pg_dump beside it.
set -eu
umask 077
node=$1 target=$2 copies=${3:-48}
stamp=$(date -u +%Y%m%dT%H%M%SZ)
part="$target/.$stamp.part"
mkdir -p "$part"
( cd "$node" && find . -type f ! -name '*.db' ! -name '*.db-wal' ! -name '*.db-shm' ! -name lock ) |
  while IFS= read -r file; do
    mkdir -p "$part/$(dirname "$file")"
    cp -p "$node/$file" "$part/$file"
  done
find "$node" -name '*.db' | while IFS= read -r db; do
  copy="$part/${db#"$node"/}"
  mkdir -p "$(dirname "$copy")"
  sqlite3 "$db" ".timeout 10000" ".backup '$copy'"
  test "$(sqlite3 "$copy" 'PRAGMA integrity_check')" = ok
done
mv "$part" "$target/$stamp"
echo "$target/$stamp"
# Only now, with the new copy in its place, the oldest ones go.
ls -1d "$target"/2*Z | sort -r | tail -n +"$((copies + 1))" | while IFS= read -r old; do
  rm -rf "$old"
done
