#!/bin/sh
# Make the virtual environment that everything on the host runs in: deploy/make-venv.sh .venv
# Where a Debian package is missing: as root installs it, otherwise prints the one line that does, and ends 3.
set -eu
cd "$(dirname "$0")/.."
venv=$1
python=${PYTHON:-python3}

missing=
command -v "$python" >/dev/null || missing="$missing python3"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then missing="$missing python3-venv"; fi
# Wheels exist for every dependency on Linux; headers and gcc matter only where none fits.
if [ -n "$missing" ]; then
  install="apt-get update && apt-get install -y$missing"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "squall: missing:$missing. As root: $install" >&2
    exit 3
  fi
  sh -c "$install" >&2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "squall: $("$python" --version) is too old: install Python 3.11 or newer, or make up PYTHON=python3.12" >&2
  exit 3
fi

echo "squall: installing into $venv" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements/dev.txt
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -e .
