#!/bin/sh
# What a detector costs that was never seen: for each that is named, train on the maps of all others, import, and judge
# fresh frames of that one alone. Run it again to go on: what is finished is kept and training resumes; with other settings
# name another WORK.
# usage: leave_out.sh DETECTOR...
#   HITGATE   the release binary (target/release/hitgate)   PYTHON   interpreter with PyTorch (python3)
#   WORK      what is kept (runs/leave-out)
#   DATA, VAL   maps of all detectors to train and to validate on, names or patterns; simulated into WORK if left out:
#   MAPS, VAL_MAPS   so many (30000, 4000), a third of the latter crowded around the limits of the classes
#   WIDTH, INPUT, LENGTH   the network, and how long to train it (0.25, 224, "--minutes 60")
#   TRAIN     further settings of train.py
#   START     a checkpoint or model.onnx to go on from, which must not have seen the detectors: those that are shipped
#             have. From nothing if left out
#   FRAMES, SEED   numbers of frames to test on (30000, 7777): those of the detector are simulated, about one in eighteen
#   BESIDE    a model file to judge by the same frames, one that has seen the detectors; none if left out
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || { echo "usage: leave_out.sh DETECTOR..." >&2; exit 2; }
: "${HITGATE:=target/release/hitgate}" "${PYTHON:=python3}" "${WORK:=runs/leave-out}"
: "${MAPS:=30000}" "${VAL_MAPS:=4000}" "${WIDTH:=0.25}" "${INPUT:=224}" "${LENGTH:=--minutes 60}" "${TRAIN:=}" "${START:=}"
: "${FRAMES:=30000}" "${SEED:=7777}" "${BESIDE:=}"
mkdir -p "$WORK"
asked="DATA=${DATA:-$MAPS} VAL=${VAL:-$VAL_MAPS} $WIDTH $INPUT $LENGTH $TRAIN START=$START $FRAMES $SEED"
[ -e "$WORK/asked" ] || echo "$asked" >"$WORK/asked"
[ "$(cat "$WORK/asked")" = "$asked" ] || { echo "leave_out.sh: $WORK holds a run of $(cat "$WORK/asked"): name another WORK" >&2; exit 1; }

# judged FRAMES DETECTOR ...: what `hitgate eval` says of fresh frames of one detector.
judged() {
    frames=$1 only=$2
    shift 2
    "$HITGATE" eval --simulate "$frames" --seed "$SEED" --only "$only" "$@"
}
# A name that is none is better known before an hour of simulation than after it.
for detector in "$@"; do
    judged 500 "$detector" >/dev/null
done

# simulated NAME MAPS SEED MIX: maps of all detectors; a file gets its name when it is whole.
simulated() {
    [ -e "$WORK/$1.npy" ] && return
    "$HITGATE" dataset "$WORK/$1-part" --replace --maps "$2" --seed "$3" --mix "$4" --input "$INPUT"
    mv "$WORK/$1-part.jsonl" "$WORK/$1.jsonl"
    mv "$WORK/$1-part.npy" "$WORK/$1.npy"
}
if [ -z "${DATA:-}" ]; then
    simulated train "$MAPS" 1 training
    DATA=$WORK/train.npy
fi
if [ -z "${VAL:-}" ]; then
    simulated validation $((VAL_MAPS - VAL_MAPS / 3)) 1000 natural
    simulated border $((VAL_MAPS / 3)) 1001 border
    VAL="$WORK/validation.npy $WORK/border.npy"
fi

for detector in "$@"; do
    run=$WORK/$detector
    if [ ! -e "$run/model.hgm" ]; then
        echo "== without $detector"
        mkdir -p "$run"
        # Names and patterns of maps are split at blanks; Python looks the patterns up.
        set -f
        "$PYTHON" "$here/train.py" --data $DATA --val $VAL --without "$detector" --width "$WIDTH" --input "$INPUT" $LENGTH $TRAIN \
            ${START:+--start "$START"} --resume --out "$run"
        # A run that was stopped leaves a model too.
        "$PYTHON" - "$run" <<'DONE'
import json, sys
last = json.loads(open(f"{sys.argv[1]}/history.jsonl").read().splitlines()[-1])
if last["progress"] < 1:
    sys.exit(f"leave_out.sh: training stopped at {last['progress']:.0%}: run it again to go on")
DONE
        # Ranges of activations, the threshold: the importer may not see the detector either.
        "$PYTHON" "$here/others.py" "$detector" "$run/calibration.npy" --at-most 1024 --maps $DATA
        "$PYTHON" "$here/others.py" "$detector" "$run/validation.npy" --maps $VAL
        set +f
        "$HITGATE" import "$run/model.onnx" --calibration "$run/calibration.npy" --validation "$run/validation.npy" \
            --temperature "$(sed 's/.*"temperature": \([0-9.]*\).*/\1/' "$run/temperature.json")" \
            --text "trained without $detector" -o "$run/model.hgm" >"$run/import.txt"
        rm "$run/calibration.npy" "$run/calibration.jsonl" "$run/validation.npy" "$run/validation.jsonl"
    fi
    if [ ! -e "$run/eval.json" ]; then
        judged "$FRAMES" "$detector" --model "$run/model.hgm" --json >"$run/eval.json.new"
        mv "$run/eval.json.new" "$run/eval.json"
    fi
    rm -f "$run/beside.json"
    [ -z "$BESIDE" ] || judged "$FRAMES" "$detector" --model "$BESIDE" --json >"$run/beside.json"
done

"$PYTHON" - "$WORK" "$@" <<'TABLE'
import json, sys
from pathlib import Path

work, detectors = Path(sys.argv[1]), sys.argv[2:]


def share(of):
    return f"{of['k']}/{of['n']} ≥{of['at_least']:.3f}"


def row(detector, network, path):
    judged = json.loads(path.read_text())["sets"][0]
    at, none = judged["at_threshold"], {"k": 0, "n": 0, "at_least": 0}
    auc = "" if judged["auc"] is None else f"{judged['auc']:.4f}"
    steep = judged["at_rejection_0.90"] or {"hits_kept": none}
    cells = [at["hits_kept"], at["wanted_kept"], at["misses_dropped"], judged["accuracy"], steep["hits_kept"]]
    print("|", " | ".join([detector, network, str(judged["frames"]), *map(share, cells), auc]), "|")


print("| detector | network | frames | hits kept | hits or maybes | misses dropped | classes right | hits kept where 0.90 of misses drop | area |")
print("|---|---|---|---|---|---|---|---|---|")
for detector in detectors:
    row(detector, "without it", work / detector / "eval.json")
    beside = work / detector / "beside.json"
    if beside.exists():
        row(detector, "beside", beside)
TABLE
