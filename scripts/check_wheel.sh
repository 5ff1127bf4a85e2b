#!/usr/bin/env bash
# Builds the wheel and runs it outside the repository: is everything in it that a user needs?
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
python=$PWD/.venv/bin/python
[ -x "$python" ] || install test

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "Building the wheel"
"$python" -m hatchling build --target wheel --directory "$work" >/dev/null
# what the package needs is installed already; the wheel goes before the checkout on the path
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/site" "$work"/*.whl
cd "$work"
export PYTHONPATH=$work/site
run() { "$python" -m ldct_clipdn "$@"; }
run --version
[[ $("$python" -c 'import ldct_clipdn; print(ldct_clipdn.__file__)') == "$work"/site/* ]]
run phantom phantom --slices 2 --size 64
run denoise phantom denoised --strength 0
[ "$(find denoised -name '*.dcm' | wc -l)" = 2 ]
say "The wheel works"
