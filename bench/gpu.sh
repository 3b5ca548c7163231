#!/usr/bin/env bash
# Holds this machine's GPU to the CPU, bit for bit, and records how fast it is in bench/record/<gpu>/<date>.json, within six minutes.
# Usage: bench/gpu.sh [PROGRAM [RECORD]]; PROGRAM is target/release/hitgate where none is named.
#
# Takes the program, this repository and Python, and no network. For a node with an older system than the one that builds:
# scripts/static.sh glibc, and strip target/static/x86_64-unknown-linux-gnu/release/hitgate. (One of musl loads no driver.)
#
# Ends with 3 where there is no GPU to measure; with 2 where the program does not start here, or Python is missing; with 1 where the GPU
# computes anything else than the CPU, or where it, its driver or a measurement fails. What could not be run here is named:
# compute-sanitizer, and PyTorch, which measures the floors (bytes over the bus, int8 multiply-adds) and runs the same network in fp16,
# as it is and compiled.
# WIDTHS, MAPS (prepared ones, at once), BATCHES (of frames), DETECTORS, PATHS (side by side) and FRAMES make less of it,
# SECONDS_IN_ALL (330) ends it earlier, PYTHON names the Python that has PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."
hitgate=${1:-${CARGO_TARGET_DIR:-target}/release/hitgate} record=${2:-}
python=${PYTHON:-python3}
read -ra widths <<<"${WIDTHS:-0.25 0.5 1.0}"
read -ra maps <<<"${MAPS:-1 16 64 256 1024}"
read -ra batches <<<"${BATCHES:-1 32}"
read -ra detectors <<<"${DETECTORS:-module 4m eiger16m}"
frames=${FRAMES:-400} in_all=${SECONDS_IN_ALL:-330} paths=${PATHS:-$(($(nproc) < 3 ? $(nproc) : 3))}
# GPU 0 is nvidia-smi's GPU 0.
export CUDA_DEVICE_ORDER=PCI_BUS_ID

lacks() {
    echo "$1" >&2
    exit 2
}
[ -x "$hitgate" ] || lacks "no program $hitgate: cargo build --release -p hitgate, or name one"
"$hitgate" --version || lacks "$hitgate does not start here: scripts/static.sh glibc builds one for older systems"

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
gpu() { timeout 120 "$hitgate" bench --backend cuda "$@"; }

# What is asked for first says whether there is a GPU. One that is there and fails is not "none".
small=(--check --detector cspad-2x1 --frames 1)
# All of these would take racecheck minutes: the network is where blocks share the most.
raced=(--stage net --batch 2 --detector cspad-2x1 --frames 1)
if ! gpu "${small[@]}" >"$made/said" 2>&1; then
    cat "$made/said"
    if grep -Eq "the GPU failed|CUDA toolkit's stub" "$made/said" || ! grep -q "run on the CPU" "$made/said"; then
        exit 1
    fi
    echo "no GPU: nothing measured"
    exit 3
fi
# Before minutes of work that it would have to write down.
"$python" --version >/dev/null 2>&1 || lacks "no $python: nothing could be recorded; PYTHON names another"

echo "== the same bits as the CPU's"
{
    cat "$made/said"
    for detector in "${detectors[@]}"; do gpu --check --detector "$detector" --frames 2; done
    for width in "${widths[@]}"; do gpu --check --detector cspad-2x1 --frames 2 --width "$width"; done
    gpu --check --detector cspad-2x1 --frames 2 --width 0.25 --input 97
} | tee "$made/checks"

echo "== compute-sanitizer"
sanitizer=$(command -v compute-sanitizer || compgen -G "/usr/local/cuda*/bin/compute-sanitizer" | tail -1 || true)
if [ -z "$sanitizer" ]; then
    echo "NOT RUN: there is no compute-sanitizer here"
else
    for tool in memcheck racecheck synccheck; do
        status=0 of=("${small[@]}")
        [ $tool != racecheck ] || of=("${raced[@]}")
        timeout 40 "$sanitizer" --tool "$tool" --error-exitcode 9 "$hitgate" bench --backend cuda "${of[@]}" \
            >"$made/sanitized" 2>&1 || status=$?
        case $status in
        0) echo "$tool: nothing found by bench ${of[*]}" ;;
        124) echo "NOT RUN to its end: $tool, which was stopped after 40 s" && tail -3 "$made/sanitized" ;;
        # An error that it found; or another answer than the CPU's, or a crash, for which it ends as the program does.
        *) echo "FAILED: $tool (status $status)" && cat "$made/sanitized" && exit 1 ;;
        esac
    done
fi | tee "$made/sanitizer"

echo "== times"
last=${batches[${#batches[@]} - 1]}
failed=0
# One that fails is named, and costs only its own lines.
time_it() {
    gpu --json --frames "${more:-$frames}" "$@" >>"$made/lines" || { echo "FAILED: bench $*" && failed=1; }
}
for width in "${widths[@]}"; do
    for n in "${maps[@]}"; do
        time_it --detector cspad-2x1 --stage net --width "$width" --batch "$n"
    done
done
for detector in "${detectors[@]}"; do
    for batch in "${batches[@]}"; do
        time_it --detector "$detector" --window whole --batch "$batch"
    done
    # Only what the window sees goes over the bus.
    time_it --detector "$detector" --window crop --batch "$last"
done
# Paths beside each other, which share the bus.
more=$((5 * frames)) time_it --detector "${detectors[0]}" --window whole --stage batch --batch "$last" --cores "$paths"
# The prepared peaks of the model that is built in are the default; other widths on the first detector's frames.
for width in "${widths[@]}"; do
    time_it --detector "${detectors[0]}" --window whole --batch "$last" --width "$width"
done
[ -s "$made/lines" ] || exit 1

"$python" bench/gpu.py "$made" "$hitgate" $((in_all - SECONDS)) ${record:+"$record"}
exit "$failed"
