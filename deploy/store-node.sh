#!/bin/sh
# One node of the store: sh deploy/store-node.sh FOLDER OPTIONS..., then valkey-server with those options.
#
# A node that comes back from the dead waits before it speaks. Its append-only file may lack the last second; back at
# once, it would still be its shard's primary, and its replica would copy those older data over the newer ones it
# holds (measured: acknowledged writes lost in 1 of 15 kills). After 3 s the election is over (node timeout 1 s) and
# it joins as the replica it has become.
set -eu
folder=$1
shift
REJOIN_DELAY_S=3
[ ! -s "$folder/nodes.conf" ] || sleep "$REJOIN_DELAY_S"
exec valkey-server --dir "$folder" "$@"
