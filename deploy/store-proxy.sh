#!/bin/sh
# The proxy in front of the lab's store: sh deploy/store-proxy.sh HOST:PORT, where it listens. SQUALL_STORE names the nodes.
#
# Begun by a shell, since of a service whose command is python the lab expects a lease at control: this one stands on
# the package shard alone and knows no control.
set -eu
exec python -m shard.proxy /dev/stdin <<EOF
listen = "$1"
EOF
