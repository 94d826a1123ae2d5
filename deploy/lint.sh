#!/bin/sh
# Everything that is checked without running it; all of them run, and one failure fails the whole.
cd "$(dirname "$0")/.." || exit 1
bin=.venv/bin
failed=
check() {
  echo "lint: $1" >&2
  shift
  "$@" || failed=1
}

stubs() {
  sh api/generate.sh && git diff --exit-code --stat -- api
}

check "ruff check" "$bin/ruff" check .
check "ruff format" "$bin/ruff" format --check .
check "mypy" "$bin/mypy" .
check "floors" "$bin/lint-imports"
check "spelling" "$bin/codespell"
check "stubs match their contracts" stubs
[ -z "$failed" ]
