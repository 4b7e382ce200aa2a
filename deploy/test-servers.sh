#!/usr/bin/env bash
# What the tests need from Debian: broker, database, browser, strace, a font with Chinese. Nothing is started here; tests use free ports.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/apt.sh
PATH="$PATH:/usr/sbin"
for d in /usr/lib/postgresql/*/bin; do PATH="$PATH:$d"; done
missing=()
command -v mosquitto >/dev/null || missing+=(mosquitto)
command -v nats-server >/dev/null || missing+=(nats-server)
command -v strace >/dev/null || missing+=(strace)
command -v chromium >/dev/null || missing+=(chromium)
fc-list ':lang=zh-cn' 2>/dev/null | grep -q . || missing+=(fonts-noto-cjk)
if ! command -v initdb >/dev/null; then
  missing+=(postgresql)
  # The package would otherwise create and start a cluster of its own on 5432.
  if [ "$(id -u)" -eq 0 ]; then
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/tillmesh.conf
  elif sudo -n true 2>/dev/null; then
    sudo -n mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" | sudo -n tee /etc/postgresql-common/createcluster.d/tillmesh.conf >/dev/null
  fi
fi
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
