#!/usr/bin/env bash
# Everything that waits for a GPU, correctness first, within nine minutes; benchmarks leave JSON files in
# benchmarks/results/, the demo a line in experiments/results/, and a line that fails or takes too long leaves the others
# alone. Where $OUT is a folder, it has both folders of results as soon as a line has ended. Beside the package it needs
# the extras train and dev. `DEVICE=cpu LIMITS=20 benchmarks/gpu.sh` tries the same lines without a GPU, each with 20
# times its limit. Training comes after it: python3 experiments/runner.py schemes DATA --setting gpu --minutes 8
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}  # where the package is not installed
export PYTORCH_ALLOC_CONF=expandable_segments:True  # networks of many sizes take turns
device=${DEVICE:-cuda}
failed=0
python3 -c 'import av, cv2, jsonargparse, docstring_parser, torch; print(torch.__version__, torch.backends.cudnn.version())' || exit 1

# Seconds that a command may take, and the command.
within() {
    local seconds=$(($1 * ${LIMITS:-1}))
    shift
    echo "--- $*"
    timeout -k 10 "$seconds" "$@" || failed=1
    [ -z "${OUT:-}" ] || cp -r --parents benchmarks/results experiments/results "$OUT"
}
within 50 python3 benchmarks/step_check.py --device "$device"
within 40 python3 -m pytest -q tests/test_devices.py tests/test_networks.py -k "gpu or every_weight"

# The demo in bf16, stopped once it has made some steps, and continued.
demo=$(mktemp -d)
zoo=(python3 -c 'import sys; from cmpl_zoo_cli.main import main; sys.exit(main())')
within 30 "${zoo[@]}" demo -o "$demo/videos" --seed 1
within 15 "${zoo[@]}" split "$demo/videos/videos.csv" --labels-per-class 5 --seed 1 --val-share 0.25 --group actor --keep-labels \
    -o "$demo/lists"
train=(python3 train/cmpl.py --config demo --labeled "$demo/lists/labeled.csv"
    --unlabeled "$demo/lists/unlabeled.csv" --root "$demo/videos" --device "$device" --workers 8)
run=("${train[@]}" --output "$demo/run" --precision bf16 --resume)
timeout -k 10 60 "${run[@]}" &
for _ in $(seq 50); do
    [ "$(cat "$demo/run/metrics.jsonl" 2>/dev/null | wc -l)" -lt 2 ] || break
    sleep 1
done
kill -TERM $!  # timeout hands it on
wait $!
ls "$demo"/run/states/step-*.pt || failed=1
within 60 "${run[@]}"
within 30 python3 train/evaluate.py "$demo/run/primary" --data "$demo/lists/val.csv" --root "$demo/videos" \
    --json "$demo/run/test.json"
within 15 python3 experiments/tables.py add "demo-$device" cmpl "$demo/run"
within 30 "${train[@]}" --output "$demo/fp16" --precision fp16 --steps 20
within 70 "${train[@]}" --output "$demo/compiled" --compile --steps 20

within 20 python3 benchmarks/convolutions.py --device "$device"
within 40 python3 benchmarks/step.py --device "$device"
within 80 python3 benchmarks/model.py --device "$device" --rounds 5
exit $failed
