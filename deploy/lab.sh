#!/bin/sh
# The container `lab`: says when the lab is ready, and is there for `docker compose exec lab squall ...`. It then
# sleeps as a process of a megabyte: no Python waits.
set -eu
RETRY_DELAY_S=5
until squall banner --wait; do sleep "$RETRY_DELAY_S"; done
exec sleep infinity
