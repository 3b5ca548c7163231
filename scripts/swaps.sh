#!/usr/bin/env bash
# `hitgate run` under load, its model exchanged by SIGHUP again and again:
#     scripts/swaps.sh [SWAPS=1000]
# Prints how many frames were judged; fails if a swap is not seen in the records, if a frame has no record or two, or if
# one of the two models ever gives a frame another answer than it gives the same frame elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

exec cargo test --release -p hitgate --test swaps -- swaps "${1:-1000}"
