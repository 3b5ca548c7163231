#!/usr/bin/env bash
# Hostile bytes for every reader (fuzz/): all targets built with the address sanitizer and overflow checks, and run.
#     scripts/fuzz.sh [SECONDS=5] [TARGET ...]     each target, or those named, for so long
#     scripts/fuzz.sh --minimise                   the corpus anew: of what runs found the smallest files, within 64 KiB
#                                                  a target
# The project's toolchain is enough (and a C++ compiler, for libFuzzer): its nightly flags are switched on. Whoever has
# cargo-fuzz and a nightly compiler may use `cargo fuzz run TARGET`. A run starts from fuzz/corpus and keeps what it finds in
# target/fuzz/corpus. Exit 1: a finding, with the command that shows it again. Exit 3: there is no C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v c++ >/dev/null || { echo "fuzz.sh: no C++ compiler; on Debian: apt-get install g++" >&2; exit 3; }

host=$(rustc --print host-tuple)
output=${CARGO_TARGET_DIR:-target}/fuzz
# As cargo-fuzz has them.
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    -Zsanitizer=address -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing)
RUSTC_BOOTSTRAP=1 RUSTFLAGS=${flags[*]} \
    cargo build --release --bins --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$output"

# An engine lives as long as its process.
export ASAN_OPTIONS=detect_leaks=0
limits=(-timeout=20 -rss_limit_mb=3072)
all=(fuzz/fuzz_targets/*.rs)
all=("${all[@]##*/}")
all=("${all[@]%.rs}")

minimise() {
    local target found kept bytes file size
    for target in "${all[@]}"; do
        found=$output/corpus/$target
        [ -d "$found" ] || continue
        kept=$(mktemp -d)
        "$output/$host/release/$target" -merge=1 "${limits[@]}" "$kept" "fuzz/corpus/$target" "$found" 2>/dev/null
        bytes=0
        # Files with names of their own are the ones that runs began with; they stay.
        find "fuzz/corpus/$target" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
        while read -r size file; do
            bytes=$((bytes + size))
            [ "$bytes" -le 65536 ] || break
            cp "$kept/$file" "fuzz/corpus/$target/$file"
        done < <(find "$kept" -type f -printf '%s %f\n' | sort -n)
        rm -r "$kept"
        echo "$target: $(find "fuzz/corpus/$target" -type f | wc -l) files, $(du -bs "fuzz/corpus/$target" | cut -f1) bytes"
    done
}

if [ "${1-}" = --minimise ]; then
    minimise
    exit
fi

seconds=${1:-5}
[[ $seconds =~ ^[0-9]+$ ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift || true
total=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${@:-${all[@]}}"; do
    mkdir -p "$output/corpus/$target" "fuzz/artifacts/$target"
    status=0
    "$output/$host/release/$target" -max_total_time="$seconds" -print_final_stats=1 "${limits[@]}" \
        -artifact_prefix="fuzz/artifacts/$target/" "$output/corpus/$target" "fuzz/corpus/$target" >"$log" 2>&1 || status=$?
    if [ "$status" != 0 ]; then
        cat "$log" >&2
        artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
        echo "fuzz.sh: $target has a finding; again: $output/$host/release/$target ${artifact:-fuzz/corpus/$target/*}" >&2
        exit 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    [ "${executions:-0}" -gt 0 ] || { cat "$log" >&2; echo "fuzz.sh: $target ran nothing" >&2; exit 1; }
    printf '%-12s %10d executions, %5d edges\n' "$target" "$executions" "$covered"
    total=$((total + executions))
done
echo "fuzz: $total executions, no finding"
