# Sourced by the other scripts: a virtual environment in the repository, made once, kept up to date.
# Afterwards $python is its interpreter.

say() { printf '\n== %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

find_python() {
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11 or later is needed; name one with PYTHON=/path/to/python"
}

# install EXTRAS: this package, in place, with its extras
install() {
  local base
  if [ ! -x .venv/bin/python ]; then
    base=$(find_python)
    say "Making .venv with $("$base" --version)"
    "$base" -m venv .venv || fail "no virtual environment can be made (on Debian: apt-get install python3-venv)"
  fi
  python=$PWD/.venv/bin/python
  say "Installing ldct_clipdn[$1]: some minutes at first, since PyTorch is large"
  local log
  log=$(mktemp)
  if ! "$python" -m pip install --quiet --disable-pip-version-check --editable ".[$1]" >"$log" 2>&1; then
    cat "$log" >&2
    fail "the installation failed; the lines above say why"
  fi
  rm -f "$log"
}
