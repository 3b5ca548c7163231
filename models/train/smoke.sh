#!/bin/sh
# Proof in some minutes that the recipe runs: toy maps -> train -> stop -> resume -> ONNX. Teaches the network nothing useful.
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


def toy(name, count, seed, of="toy", counted=True, placed=True):
    """Noise with bright pixels for spots: only the shapes, the files and the labels are those of real maps.

    Labels of files say nothing of places, and often not how many spots there are.
    """
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 100, (count, side, side), dtype=np.uint8)
    with open(f"{folder}/{name}.jsonl", "w") as lines:
        for index in range(count):
            label = list(CLASSES)[index % 3]
            spots = int(rng.integers(*CLASSES[label]))
            places = rng.integers(1, side - 1, (spots, 2))
            for x, y in places:
                maps[index, y - 1 : y + 2, x - 1 : x + 2] = 127
            line = {"index": index, "class": label, "spots": spots if counted else None, "set": of}
            if placed:
                line["at"] = (places + 0.5).tolist()
            lines.write(json.dumps(line) + "\n")
    np.save(f"{folder}/{name}.npy", maps)


toy("train0", 600, 1)
toy("train1", 300, 2)
toy("val", 300, 3)
toy("labelled-counted", 90, 4, "counted", placed=False)
toy("labelled", 150, 5, "labelled", counted=False, placed=False)
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

echo "== labels of files, which know no places, alone and among others; they cannot be cut to squares"
labelled="--data $work/labelled*.npy --val $work/labelled*.npy --epochs 1"
(train labelled $labelled --parts 0)
(train mixed --data "$work/train*.npy" "$work/labelled*.npy" --val "$work/val.npy" "$work/labelled.npy" --parts 0 --epochs 4)
refused() {
    why=$1
    shift
    (train refused "$@") 2>"$work/refused.log" && { echo "smoke.sh: taken, though wrong: $*" >&2; exit 1; }
    grep -q -- "$why" "$work/refused.log" || { cat "$work/refused.log" >&2; exit 1; }
}
refused "of 240 of the 240 training maps it is not known where the spots are" $labelled
echo "== without a set; one that nobody knows"
(train without --data "$work/train*.npy" "$work/labelled*.npy" --val "$work/val.npy" "$work/labelled.npy" --epochs 1 \
    --without labelled counted) | tee "$work/without.log"
grep -q "without labelled, counted: 240 of 1140 training maps and 150 of 450 validation maps left out" "$work/without.log"
grep -q "^900 training maps .* 300 for validation" "$work/without.log"
refused "--without jungfrau: no map is of such a set; there are toy$" --without jungfrau

"$python" - "$work" "$side" "$here" <<'CHECK'
import json, sys
import numpy as np
import onnx, torch

folder, side, here = sys.argv[1], int(sys.argv[2]), sys.argv[3]
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
mixed, labelled, without = (
    json.loads(open(f"{folder}/{run}/history.jsonl").read().splitlines()[-1]) for run in ("mixed", "labelled", "without")
)
assert mixed["auc"] > 0.7, mixed
assert labelled["step"] == 8 and without["loss"], (labelled, without)
for again in exported, wider:
    assert abs(again["auc"] - last["auc"]) < 1e-3 and again["accuracy"] == last["accuracy"], (again, last)
assert further["auc"] > last["auc"] - 0.05, (further, last)

sys.path.insert(0, here)
from maps import Batch, Mixture, open_maps
from network import MobileNetV1
from train import count_loss

learnt = torch.load(f"{folder}/labelled/checkpoint.pt", weights_only=True)["model"]
torch.manual_seed(1)
unlearnt = MobileNetV1(0.25, 1, side)
for name in "middle_count.weight", "count.weight":
    assert torch.equal(learnt[name], unlearnt.state_dict()[name]), f"{name} learnt from maps without places"
batch = Mixture(open_maps([f"{folder}/train0.npy", f"{folder}/labelled.npy"], side), 60, [1, 1, 1], 1).batch(0)
assert 0 < batch.placed.sum() < 60 and (batch.classes == np.repeat([0, 1, 2], 20)).all()
alone = Batch(*(part[batch.placed] for part in (batch.maps, batch.classes, batch.placed)), [count[batch.placed] for count in batch.counts])
rates = [torch.randn(count.shape) for count in batch.counts]
assert count_loss(rates, batch) == count_loss([rate[batch.placed] for rate in rates], alone) != 0
print(f"resumed bit for bit after {parts['step']} steps; ONNX checks; toy AUC {last['auc']:.4f}")
CHECK
