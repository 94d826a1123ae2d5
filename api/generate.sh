#!/bin/sh
# Writes the stubs beside their contracts; `make proto` runs it, and CI compares the result with what is committed.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
PATH="$(dirname "$python"):$PATH" "$python" -m grpc_tools.protoc -I . \
  --python_out=. --mypy_out=. --grpc_python_out=. --mypy_grpc_out=. api/*/v1/*.proto
