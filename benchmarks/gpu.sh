#!/usr/bin/env bash
# Everything that waits for a GPU, correctness first; benchmarks leave JSON files in benchmarks/results/, and a line that
# fails or takes too long leaves the others alone. Where $OUT is a folder, what came of it is packed into it.
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}  # where the package is not installed
export PYTORCH_ALLOC_CONF=expandable_segments:True  # networks of many sizes take turns
failed=0
python3 -c 'import av, jsonargparse, docstring_parser, torch; print(torch.__version__, torch.backends.cudnn.version())' || exit 1
timeout 45 python3 -m pytest -q tests/test_training.py -k every_weight || failed=1

# The demo in bf16, stopped after twenty seconds and gone on with.
demo=$(mktemp -d)
zoo() { timeout 60 python3 -c 'import sys; from cmpl_zoo.cli import main; sys.exit(main())' "$@"; }
train() {
    timeout --signal INT "$1" python3 train/cmpl.py --config train/recipes/demo.yaml --labeled "$demo/lists/labeled.csv" \
        --unlabeled "$demo/lists/unlabeled.csv" --root "$demo/videos" --output "$demo/run" --precision bf16 \
        --device cuda --workers 8 --resume true
}
zoo demo "$demo/videos" --seed 1 >/dev/null &&
    zoo split "$demo/videos/videos.csv" --labels-per-class 5 --seed 1 --val 0.25 --group actor --keep-labels \
        -o "$demo/lists" >/dev/null || failed=1
train 20
ls "$demo"/run/states/step-*.pt && train 60 || failed=1
timeout 60 python3 train/evaluate.py --model "$demo/run/primary" --data "$demo/lists/val.csv" --root "$demo/videos" \
    --json "$demo/run/test.json" && python3 benchmarks/results.py add demo-cuda cmpl "$demo/run" || failed=1

timeout 60 python3 benchmarks/convolutions.py --device cuda || failed=1
timeout 75 python3 benchmarks/step.py --device cuda || failed=1
timeout 200 python3 benchmarks/model.py --device cuda --rounds 5 || failed=1
[ -z "${OUT:-}" ] || tar czf "$OUT/results.tgz" benchmarks/results
exit $failed
