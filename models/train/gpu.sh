#!/bin/sh
# Simulate, train and export on one GPU machine with PyTorch. Run it again to go on: finished shards are kept and
# training resumes, so it fits machines that end a command after some minutes.
#   gpu.sh [--toy] [OPTION...]   OPTIONs are train.py's, such as --start model.onnx; --toy is a size that a laptop finishes in two minutes
#   HITGATE   the release binary (target/release/hitgate)   PYTHON   interpreter with PyTorch (python3)
#   WORK      shards and checkpoint (runs/gpu)              OUT      where model.onnx and the history go (WORK/out)
#   MAPS, VAL_MAPS, SHARD   maps to simulate, to validate on, in one file (400000, 8000, 4000)
#   WIDTH, INPUT, MINUTES   the network, and how long to train it (1.0, 224, 20)
#   LIMIT     seconds after which this command stops with a checkpoint (540)
#   SIMULATE  seconds after which it simulates no more and trains on what there is (LIMIT: it trains when all MAPS are there)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --toy ]; then
    shift
    : "${MAPS:=240}" "${VAL_MAPS:=120}" "${SHARD:=120}" "${WIDTH:=0.25}" "${MINUTES:=0.5}" "${BATCH:=32}"
fi
: "${HITGATE:=target/release/hitgate}" "${PYTHON:=python3}" "${WORK:=runs/gpu}" "${OUT:=$WORK/out}"
: "${MAPS:=400000}" "${VAL_MAPS:=8000}" "${SHARD:=4000}" "${WIDTH:=1.0}" "${INPUT:=224}" "${MINUTES:=20}"
: "${BATCH:=256}" "${LIMIT:=540}" "${SIMULATE:=$LIMIT}"
began=$(date +%s)
# A training that has begun goes on with the maps that it began with.
[ ! -e "$WORK/run/checkpoint.pt" ] || SIMULATE=0
mkdir -p "$WORK/train" "$WORK/val" "$WORK/border" "$OUT"

seconds() { echo $(($(date +%s) - began)); }
# shards FOLDER COUNT SEED MIX: files of SHARD maps; a file gets its name when it is whole.
shards() {
    n=0
    while [ $((n * SHARD)) -lt "$2" ] && [ "$(seconds)" -lt "$SIMULATE" ]; do
        name=$1/$(printf %05d "$n")
        if [ ! -e "$name.npy" ]; then
            "$HITGATE" dataset "$name-part" --replace --maps "$SHARD" --first $((n * SHARD)) --seed "$3" --mix "$4" --input "$INPUT"
            mv "$name-part.jsonl" "$name.jsonl"
            mv "$name-part.npy" "$name.npy"
        fi
        n=$((n + 1))
    done
}
# Seed 1 is for training, 1000 and 1001 for validation; `hitgate eval` takes others. Probabilities are fitted on both mixes.
shards "$WORK/val" "$VAL_MAPS" 1000 natural
shards "$WORK/border" $((VAL_MAPS / 2)) 1001 border
shards "$WORK/train" "$MAPS" 1 training

for folder in train val border; do
    [ -n "$(find "$WORK/$folder" -name '*[0-9].npy' | head -1)" ] || { echo "no file of maps in $WORK/$folder is whole after $SIMULATE s: give SIMULATE or LIMIT more, or SHARD less"; exit 3; }
done
left=$((LIMIT - $(seconds)))
[ "$left" -gt 30 ] || { echo "simulated up to the limit of $LIMIT s: run again to go on"; exit 3; }
timeout --signal=TERM "$left" "$PYTHON" "$here/train.py" --data "$WORK/train/[0-9]*[0-9].npy" --val "$WORK/val/[0-9]*[0-9].npy" "$WORK/border/[0-9]*[0-9].npy" \
    --input "$INPUT" --width "$WIDTH" --minutes "$MINUTES" --batch "$BATCH" --readers 6 --out "$WORK/run" --resume "$@" \
    || [ $? -eq 124 ]
cp "$WORK/run/model.onnx" "$WORK/run/temperature.json" "$WORK/run/history.jsonl" "$WORK/run/checkpoint.pt" "$OUT"
