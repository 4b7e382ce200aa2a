#!/bin/sh
# backup.sh SHOP_FOLDER BACKUP_FOLDER [COPIES]: one dated folder with all that a shop's node needs to
# start again: a consistent copy of its database, its settings, its key, its PIN pepper and the
# broker's password. Needs the Debian package sqlite3. The node may run on.
# Not for head office: `tillmesh-central backup` leaves out its epoch, which a plain copy must not keep.
set -eu
umask 077
node=$1 target=$2 copies=${3:-48}
stamp=$(date -u +%Y%m%dT%H%M%SZ)
part="$target/.$stamp.part"
mkdir -p "$part"
( cd "$node" && find . -type f ! -name '*.db' ! -name '*.db-wal' ! -name '*.db-shm' ! -name lock \
    ! -name 'last-head*' ) |
  while IFS= read -r file; do
    mkdir -p "$part/$(dirname "$file")"
    cp -p "$node/$file" "$part/$file"
  done
find "$node" -name '*.db' | while IFS= read -r db; do
  copy="$part/${db#"$node"/}"
  mkdir -p "$(dirname "$copy")"
  sqlite3 "$db" ".timeout 10000" ".backup '$copy'"
  test "$(sqlite3 "$copy" 'PRAGMA integrity_check')" = ok
  # The mark of a copy: its journal has been further than this. A node that is started from it numbers
  # its receipts in a new generation, so that no receipt number is ever given out twice.
  printf '{"epoch":"0000000000000000","seq":9007199254740991,"hash":"%064d"}' 0 \
    >"$(dirname "$copy")/last-head"
done
mv "$part" "$target/$stamp"
echo "$target/$stamp"
# Only now, with the new copy in its place, the oldest ones go.
ls -1d "$target"/2*Z | sort -r | tail -n +"$((copies + 1))" | while IFS= read -r old; do
  rm -rf "$old"
done
