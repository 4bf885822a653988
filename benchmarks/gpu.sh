#!/usr/bin/env bash
# Everything that waits for a GPU, correctness first; each line leaves a JSON file in benchmarks/results/, and one that
# fails or takes too long leaves the others alone. Where $OUT is a folder, what came of it is packed into it.
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}  # where the package is not installed
export PYTORCH_ALLOC_CONF=expandable_segments:True  # networks of many sizes take turns
failed=0
python3 -c 'import av, jsonargparse, docstring_parser, torch; print(torch.__version__, torch.backends.cudnn.version())' || exit 1
timeout 60 python3 -m pytest -q tests/test_training.py -k every_weight || failed=1
timeout 90 python3 benchmarks/convolutions.py --device cuda || failed=1
timeout 120 python3 benchmarks/step.py --device cuda || failed=1
timeout 270 python3 benchmarks/model.py --device cuda --rounds 5 || failed=1
[ -z "${OUT:-}" ] || tar czf "$OUT/results.tgz" benchmarks/results
exit $failed
