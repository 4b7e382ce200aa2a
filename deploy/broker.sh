#!/bin/sh
# broker.sh FOLDER: give Mosquitto the files that `tillmesh-central broker-files --to FOLDER --at
# /etc/mosquitto/tillmesh` wrote, and let it read them. As root, on the broker's machine. Run it again
# for a renewed certificate or a new list of revoked ones: clients stay connected.
set -eu
umask 077
from=$1 at=${2:-/etc/mosquitto/tillmesh} conf=${3:-/etc/mosquitto/conf.d/tillmesh.conf}
install -d -o mosquitto -g mosquitto -m 700 "$at"
for file in authority.pem broker.pem revoked.pem tillmesh.acl; do
  install -o mosquitto -g mosquitto -m 600 "$from/$file" "$at/$file"
done
if cmp -s "$from/tillmesh.conf" "$conf"; then
  systemctl reload mosquitto
else
  install -m 644 "$from/tillmesh.conf" "$conf"
  systemctl restart mosquitto
fi
