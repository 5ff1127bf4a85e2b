#!/usr/bin/env bash
# Installs what the tests need, on a bare machine too, and runs them all.
#   scripts/test.sh [arguments for pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

# validators and viewers that no one here wrote; where they cannot be had, their tests skip and say so
debian_packages=(dicom3tools dcm2niix dcmtk chromium)

install_debian_packages() {
  local missing=()
  command -v dpkg-query >/dev/null || return 0
  for package in "${debian_packages[@]}"; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id --user)" != 0 ]; then
    say "Not installed: ${missing[*]} (not root); the tests that need them will be skipped"
    return 0
  fi
  say "Installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >/dev/null 2>&1 ||
    say "Could not install ${missing[*]}; the tests that need them will be skipped"
}

install test
install_debian_packages
say "Running the tests"
# one process per core, each with one thread (`nproc` itself obeys OMP_NUM_THREADS)
processes=$(nproc)
OMP_NUM_THREADS=1 "$python" -m pytest --numprocesses "$processes" --dist worksteal "$@"
