#!/usr/bin/env bash
# What must hold of the source itself: format, lint, docstrings, types, layers.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
python=$PWD/.venv/bin/python
[ -x "$python" ] || install test

say "ruff"
"$python" -m ruff format --check .
"$python" -m ruff check .
say "numpydoc"
find ldct_clipdn -name '*.py' -print0 | xargs -0 "$python" -m numpydoc lint
say "mypy"
"$python" -m mypy
say "import-linter"
.venv/bin/lint-imports --no-cache
