#!/usr/bin/env bash
# The ring between two processes, each killed with SIGKILL at random instants and started again:
#     scripts/soak.sh [FRAMES=10000000] [KILLS=200] [SEED=5]
# Prints what passed and what was lost; fails if any frame is unaccounted for, has two records, or was
# kept and not sent, and if fewer processes were killed than asked for.
set -euo pipefail
cd "$(dirname "$0")/.."

exec cargo test --release -p hitgate-host --test soak -- soak "${1:-10000000}" "${2:-200}" "${3:-5}"
