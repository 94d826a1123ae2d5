#!/bin/sh
# Make the image's base on this machine, where no image registry answers: Debian trixie with Python, a CA bundle and
# valkey-server, what the official slim Python image has with Debian's server added. About 20 s. Writes into .env,
# which compose reads, its name and how many containers to start at once. Packages come from where this machine's own do.
set -eu
cd "$(dirname "$0")/.."
suite=trixie
name=squall-base:$suite

refuse() {
  echo "make base: $1" >&2
  exit 3
}

[ "$(id -u)" = 0 ] || refuse "making a base image needs root: sudo make base"
command -v mmdebstrap >/dev/null || refuse "mmdebstrap is missing: apt-get install -y mmdebstrap"
docker info >/dev/null 2>&1 || refuse "no Docker engine answers: start it, or use MODE=processes"

if [ "${1:-}" != --force ] && docker image inspect "$name" >/dev/null 2>&1; then
  echo "make base: $name is there already (deploy/make-base.sh --force makes it anew)" >&2
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  sh deploy/sources.sh "$suite" > "$work/sources.list"
  proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy)
  # The machine's own CA bundle goes in: what it trusts (a proxy's authority, say) the build must trust.
  mmdebstrap --quiet --variant=minbase --format=tar \
    --include=python3,python3-venv,ca-certificates,valkey-server \
    --aptopt='Acquire::Retries "3"' ${proxy:+"--aptopt=Acquire::http::Proxy \"$proxy\""} \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='[ ! -e /etc/ssl/certs/ca-certificates.crt ] ||
      cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin' \
    "$suite" "$work/base.tar" "$work/sources.list"
  docker import --change 'CMD ["python3"]' "$work/base.tar" "$name" >/dev/null
fi

# Debian's engine 20.10 miscounts a network's endpoints when 20 containers start at once on a busy machine, and then
# never lets the network go (chaos/drivers/engine.py does the same for squall up). The user's own number stays.
touch .env
grep -v '^BASE_IMAGE=' .env > .env.new || true
echo "BASE_IMAGE=$name" >> .env.new
grep -q '^COMPOSE_PARALLEL_LIMIT=' .env.new || echo "COMPOSE_PARALLEL_LIMIT=4" >> .env.new
mv .env.new .env
echo "make base: $name, written to .env" >&2
