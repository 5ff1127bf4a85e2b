#!/usr/bin/env bash
# The first ten minutes: trains a denoiser through the MONAI bundle, denoises a DICOM series with it,
# and shows before, after and difference in one picture.
#   scripts/quickstart.sh [DATA_DIR]
# DATA_DIR holds normal-dose CT in any layout; without it, a made-up abdomen serves.
set -euo pipefail
data=${1:+$(realpath -- "$1")}
cd "$(dirname "$0")/.."
source scripts/environment.sh
install bundle,clip,figures,bench
"$python" scripts/quickstart.py ${data:+"$data"}
