#!/usr/bin/env bash
# The ring between two processes, each killed with SIGKILL at random instants and started again:
#     scripts/soak.sh [FRAMES=10000000] [KILLS=200] [SEED=5] [POLICY=credit | free-running]
# Prints what passed and what was lost; fails if any frame is unaccounted for, has two records, or was
# kept and not sent, and if fewer processes were killed than asked for. A free-running device, of 10,000 frames a
# second, may lap a reader: each frame has a record or is in the count of lapped ones, and none is lapped that the device had not
# reached, nor more than leave the reader half a ring to read, however busy the machine is. The last copies of kept frames that
# a reader had settled, and not yet sent, die with it.
set -euo pipefail
cd "$(dirname "$0")/.."

exec cargo test --release -p hitgate-host --test soak -- soak "${4:-credit}" "${1:-10000000}" "${2:-200}" "${3:-5}"
