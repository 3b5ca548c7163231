#!/usr/bin/env bash
# Records the standard measurements of this machine in bench/record/<cpu>/<date>.jsonl, a line a stage.
# Usage: bench/record.sh [CORE=0] [FRAMES=1000] [SECONDS=60]
# HITGATE names a program that is built already, CPU the folder where the CPU's own name will not do.
set -euo pipefail
cd "$(dirname "$0")/.."
core=${1:-0} frames=${2:-1000} seconds=${3:-60}
if [ -z "${HITGATE:-}" ]; then
  cargo build --release -p hitgate
  HITGATE=${CARGO_TARGET_DIR:-target}/release/hitgate
fi
bench() { "$HITGATE" bench --json --pin "$core" "$@"; }
# The levels between the plain one and the one that is used, as on a CPU that has no more.
lesser=$("$HITGATE" inspect | sed -n 's/^levels *scalar\(.*\), [^,]* (of .*/\1/p' | tr -d ,)

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
{
  for width in 1 0.75 0.5 0.25; do bench --stage net --width "$width" --frames "$frames"; done
  for isa in $lesser; do
    for width in 1 0.75 0.5 0.25; do bench --stage net --width "$width" --isa "$isa" --frames "$frames"; done
  done
  for detector in module 4m eiger16m; do bench --detector "$detector" --frames "$frames"; done
  bench --warm --frames "$frames"
  for window in crop whole; do bench --detector module --rate 2000 --seconds "$seconds" --window "$window"; done
  bench --detector eiger16m --rate 133 --seconds "$seconds" --window whole
  if [ "$(nproc)" -gt 1 ]; then
    bench --cores 2 --frames "$frames"
    bench --cores 2 --stage net --width 1 --frames "$frames"
  fi
} >"$lines"

name=$(sed -n '1s/.*"machine":"\([^"]*\)".*/\1/p' "$lines" | tr '[:upper:]' '[:lower:]')
cpu=${CPU:-$(printf %s "$name" | sed 's/([^)]*)//g; s/[^a-z0-9]\{1,\}/-/g; s/-$//')}
record=bench/record/$cpu/$(date -u +%Y-%m-%d).jsonl
mkdir -p "${record%/*}"
cp "$lines" "$record"
echo "$record"
