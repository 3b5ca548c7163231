#!/bin/sh
# The application test: a simulated run, the filter's verdicts, DIALS on the frames, and what dropping costs.
# Run it again to go on. With another MODEL only verdicts and figures are made anew; after a change of the simulator name
# another WORK.
#   HITGATE  the release binary (target/release/hitgate)   MODEL   the model to test (the built-in one)
#   WORK     what is kept (runs/application; 7 GB)          PYTHON  interpreter of DIALS (libtbx.python)
#   FRAMES, SEED, OTHERS   frames of the run, its seed, how many frames with fewer than 4 spots are indexed too (2000, 16, 200)
#   LIMIT    seconds after which no more frames are indexed; 0 indexes none (3600)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${HITGATE:=target/release/hitgate}" "${WORK:=runs/application}" "${PYTHON:=libtbx.python}"
: "${FRAMES:=2000}" "${SEED:=16}" "${OTHERS:=200}" "${LIMIT:=3600}"
deadline=$(($(date +%s) + LIMIT))
CHUNK=8
run="--seed $SEED --mix lysozyme --detector eiger2-16m"

for program in "$HITGATE" dials.stills_process "$PYTHON"; do
    command -v "$program" >/dev/null || { echo "run.sh: there is no $program; see $here/README.md" >&2; exit 1; }
done
mkdir -p "$WORK/frames" "$WORK/chunks" "$WORK/index"
WORK=$(cd "$WORK" && pwd)
exec 9>"$WORK/lock"
flock -n 9 || { echo "run.sh: another one is at work in $WORK" >&2; exit 1; }
asked="$FRAMES frames, seed $SEED, $OTHERS others"
[ -e "$WORK/asked" ] || echo "$asked" >"$WORK/asked"
[ "$(cat "$WORK/asked")" = "$asked" ] || { echo "run.sh: $WORK holds a run of $(cat "$WORK/asked"): name another WORK" >&2; exit 1; }

# Debian's DIALS imports a compiled module for stills that is not in its packages, and uses nothing of it.
if ! "$PYTHON" -c "import xfel_mono_sim_ext" 2>/dev/null; then
    mkdir -p "$WORK/python"
    : >"$WORK/python/xfel_mono_sim_ext.py"
    export PYTHONPATH="$WORK/python${PYTHONPATH:+:$PYTHONPATH}"
fi

# What is true of the run, and the frames to index, CHUNK a file.
if [ ! -e "$WORK/chunks/0000" ]; then
    "$HITGATE" simulate "$WORK" --labels --frames "$FRAMES" $run
    "$PYTHON" "$here/choose.py" "$WORK/truth.jsonl" "$OTHERS" | split -l "$CHUNK" -d -a 4 - "$WORK/chunks/"
fi

# A chunk has its folder in index/ when all of it went through DIALS.
for chunk in "$WORK"/chunks/*; do
    done=$WORK/index/$(basename "$chunk")
    [ ! -e "$done" ] || continue
    [ "$(date +%s)" -lt "$deadline" ] || break
    rm -rf "$WORK/part"
    mkdir "$WORK/part"
    while read -r index; do
        file=$WORK/frames/frame_$(printf %06d "$index").cbf
        [ -e "$file" ] || "$HITGATE" simulate "$WORK/frames" --first "$index" --frames 1 $run >/dev/null
        echo "$file" >>"$WORK/part/files"
    done <"$chunk"
    (cd "$WORK/part" && xargs dials.stills_process "$here/stills.phil" output.output_dir=. <files >log 2>&1) ||
        { tail "$WORK/part/log" >&2; exit 1; }
    mv "$WORK/part" "$done"
done
rm -f "$WORK/frames/truth.jsonl"
echo "indexed: $(ls "$WORK/index" | wc -l) of $(ls "$WORK/chunks" | wc -l) chunks of $CHUNK frames"
[ -n "$(ls "$WORK/index")" ] || { echo "run.sh: nothing is indexed yet: run it again with a longer LIMIT" >&2; exit 3; }

# The whole run, by its maps, which equal those of whole frames.
if [ ! -e "$WORK/run.npy" ]; then
    "$HITGATE" dataset "$WORK/run-part" --replace --maps "$FRAMES" $run >/dev/null
    mv "$WORK/run-part.jsonl" "$WORK/run.jsonl"
    mv "$WORK/run-part.npy" "$WORK/run.npy"
fi
echo "== the run"
"$HITGATE" eval ${MODEL:+--model "$MODEL"} --maps "$WORK/run.npy" --prior 0.08

cat "$WORK"/index/*/files | xargs "$HITGATE" screen ${MODEL:+--model "$MODEL"} >"$WORK/verdicts.jsonl"
echo "== every indexed frame"
"$HITGATE" audit "$WORK/verdicts.jsonl" --expt "$WORK"/index/*/*_imported.expt "$WORK"/index/*/*_refined.expt
echo "== what dropping costs"
"$PYTHON" "$here/merging.py" "$WORK"
