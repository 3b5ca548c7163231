#!/bin/sh
# Proof in a minute that the recipe runs: toy maps -> train -> stop -> resume -> ONNX. Teaches the network nothing useful.
# usage: smoke.sh [FOLDER] [SIDE]    PYTHON=... chooses the interpreter
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$(mktemp -d)}
side=${2:-64}
python=${PYTHON:-python3}
for module in numpy onnx torch; do
    if ! "$python" -c "import $module" 2>/dev/null; then
        echo "smoke.sh: $python has no $module: pip install -r $here/requirements.txt, or name another with PYTHON=" >&2
        exit 1
    fi
done
mkdir -p "$work"
rm -rf "$work/whole" "$work/parts"

"$python" - "$work" "$side" <<'TOY'
import json, sys
import numpy as np

folder, side = sys.argv[1], int(sys.argv[2])
CLASSES = {"hit": (10, 60), "maybe": (4, 10), "miss": (0, 4)}


def toy(name, count, seed):
    """Noise with bright pixels for spots: only the shapes, the files and the labels are those of real maps."""
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 100, (count, side, side), dtype=np.uint8)
    with open(f"{folder}/{name}.jsonl", "w") as lines:
        for index in range(count):
            label = list(CLASSES)[index % 3]
            spots = int(rng.integers(*CLASSES[label]))
            places = rng.integers(1, side - 1, (spots, 2))
            for x, y in places:
                maps[index, y - 1 : y + 2, x - 1 : x + 2] = 127
            line = {"index": index, "class": label, "spots": spots, "set": "toy", "at": (places + 0.5).tolist()}
            lines.write(json.dumps(line) + "\n")
    np.save(f"{folder}/{name}.npy", maps)


toy("train0", 600, 1)
toy("train1", 300, 2)
toy("val", 300, 3)
TOY

# Replaces the shell that calls it, so that a signal reaches Python: call it in a subshell.
train() {
    out=$1
    shift
    exec "$python" "$here/train.py" --data "$work/train*.npy" --val "$work/val.npy" --input "$side" --batch 32 --threads 1 \
        --part 32 --parts 0.3 --epochs 8 --report-every 960 --out "$work/$out" "$@"
}

echo "== one run"
(train whole)
echo "== the same run, stopped on the way and resumed"
train parts &
pid=$!
until grep -qs '"step": 60' "$work/parts/history.jsonl"; do
    kill -0 $pid
    sleep 0.1
done
kill -TERM $pid
wait $pid
(train parts --resume)

echo "== the end alone, on that beginning; then the mean of both"
(train fixed --fixed --start "$work/whole/checkpoint.pt")
(train mean --epochs 0 --start "$work/whole/checkpoint.pt" "$work/fixed/checkpoint.pt")
echo "== on from what was exported, which answers as it did, twice as wide too, and then learns"
(train exported --epochs 0 --start "$work/whole/model.onnx")
(train wider --epochs 0 --width 0.5 --start "$work/whole/model.onnx")
(train further --epochs 1 --parts 0 --rate 1e-4 --start "$work/whole/model.onnx")

"$python" - "$work" "$side" <<'CHECK'
import json, sys
import onnx, torch

folder = sys.argv[1]
whole, parts = (torch.load(f"{folder}/{run}/checkpoint.pt", weights_only=True) for run in ("whole", "parts"))
assert whole["step"] == parts["step"]
for name, value in whole["average"].items():
    assert torch.equal(value, parts["average"][name]), f"{name} differs after a resume"
whole, fixed, mean = (torch.load(f"{folder}/{run}/checkpoint.pt", weights_only=True)["average"] for run in ("whole", "fixed", "mean"))
kept = [name for name in whole if name.startswith(("stem.", "blocks.0."))]
assert kept and all(torch.equal(whole[name], fixed[name]) for name in kept), "the beginning moved"
assert not torch.equal(whole["head.weight"], fixed["head.weight"]), "the end did not"
assert torch.allclose(mean["head.weight"], (whole["head.weight"] + fixed["head.weight"]) / 2, atol=1e-6)
onnx.checker.check_model(onnx.load(f"{folder}/whole/model.onnx"))
last, exported, wider, further = (
    json.loads(open(f"{folder}/{run}/history.jsonl").read().splitlines()[-1]) for run in ("whole", "exported", "wider", "further")
)
assert last["auc"] > 0.7, last
for again in exported, wider:
    assert abs(again["auc"] - last["auc"]) < 1e-3 and again["accuracy"] == last["accuracy"], (again, last)
assert further["auc"] > last["auc"] - 0.05, (further, last)
print(f"resumed bit for bit after {parts['step']} steps; ONNX checks; toy AUC {last['auc']:.4f}")
CHECK
