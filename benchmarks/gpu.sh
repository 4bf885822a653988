#!/usr/bin/env bash
# Everything that waits for a GPU, correctness first; each line leaves a JSON file in benchmarks/results/.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD  # where the package is not installed
python benchmarks/convolutions.py --device cuda
python benchmarks/model.py --device cuda --rounds 5
python benchmarks/step.py --device cuda
