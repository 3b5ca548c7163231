#!/usr/bin/env bash
# The examples of the C interface (crates/capi/examples/c): built with all warnings as errors under the address
# and undefined-behaviour sanitizers, by gcc and by clang where it is there, and run. What they decide must be what
# `hitgate screen` decides of the same frames.
#   scripts/c_examples.sh             builds, runs, compares
#   scripts/c_examples.sh --install   installs gcc and g++ on Debian (as root)
# It ends with 3 where there is no compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
frames=40
guarded=1000
slots=8

case ${1-} in
"") ;;
--install)
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc g++ libc6-dev
    exit
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

fail() {
    echo "c_examples.sh: $1" >&2
    exit 1
}

pairs=()
for pair in "gcc g++" "clang clang++"; do
    command -v "${pair% *}" >/dev/null && command -v "${pair#* }" >/dev/null && pairs+=("$pair")
done
if [ ${#pairs[@]} = 0 ]; then
    echo "c_examples.sh: there is neither gcc with g++ nor clang; on Debian scripts/c_examples.sh --install installs them" >&2
    exit 3
fi

cargo build --release -p hitgate-capi -p hitgate
target=${CARGO_TARGET_DIR:-target}/release
model=models/mobilenet-v1-025-224/model.hgm
geometry=(--wavelength 1.0 --distance 120 --pixel 0.172 --beam-center 250.5,260.5)
work=$(mktemp -d)
ring=$(mktemp -u -p /dev/shm hitgate-c-examples.XXXXXX)
trap 'rm -rf "$work" "$ring" "$ring.json"' EXIT

# `class keep reason p_hit p_maybe p_miss` of each line of JSON, as `print_record` of the examples has them.
verdicts() {
    awk '
        function value(key, text) {
            if (!match($0, "\"" key "\":\"?[^\",}]*")) return ""
            text = substr($0, RSTART, RLENGTH)
            sub(/^"[a-z_]*":"?/, "", text)
            return text
        }
        function p(key) { return sprintf("%.5f", value(key)) }
        {
            keep = value("keep") value("verdict")
            sub(/^keep$/, "true", keep)
            sub(/^drop$/, "false", keep)
            print value("class"), keep, value("reason"), p("p_hit"), p("p_maybe"), p("p_miss")
        }' "$1"
}

# The same of what an example printed.
printed() {
    awk '$1 == "frame" { print $4, $6, $8, $10, $12, $14 }' "$1"
}

# Has `hitgate feed` fill the ring with $1 frames, the four of the examples in turn, until its process $feed ends.
feed() {
    "$target/hitgate" feed "${npy[@]}" "${geometry[@]}" --frames "$@" --slots $slots --ring "$ring" >"$work/feed.txt" &
    feed=$!
    while [ ! -e "$ring.json" ]; do
        kill -0 $feed || fail "hitgate feed did not make its ring"
        sleep 0.05
    done
}

# $1 times over the lines of file $2, in turn.
repeated() {
    awk -v n="$1" '{ line[NR] = $0 } END { for (i = 0; i < n; i++) print line[i % NR + 1] }' "$2"
}

for pair in "${pairs[@]}"; do
    c=(${pair% *} -std=c11)
    cpp=(${pair#* } -std=c++17)
    options=(-Wall -Wextra -Wpedantic -Werror -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
        -I crates/capi/include)
    libraries=("$target/libhitgate.a" -lm -lpthread -ldl -lrt)
    source=crates/capi/examples/c
    "${c[@]}" "${options[@]}" $source/score.c -o "$work/score" "${libraries[@]}"
    "${c[@]}" "${options[@]}" $source/run.c -o "$work/run" "${libraries[@]}"
    "${c[@]}" "${options[@]}" $source/guarded.c -o "$work/guarded" "${libraries[@]}"
    "${c[@]}" "${options[@]}" $source/memory.c -o "$work/memory" "${libraries[@]}"
    "${cpp[@]}" "${options[@]}" $source/device.cpp -o "$work/device" "${libraries[@]}"

    # It ends with 1 where a call fails, or takes no stack.
    "$work/memory" $model >"$work/memory.txt" || fail "memory does not end well"

    # Frames from memory.
    "$work/score" $model "$work" >"$work/score.txt"
    npy=("$work"/frame_{1,2,3,4}.npy)
    "$target/hitgate" screen "${npy[@]}" "${geometry[@]}" >"$work/screen.jsonl"
    verdicts "$work/screen.jsonl" >"$work/screen"
    diff "$work/screen" <(printed "$work/score.txt") || fail "score decides otherwise than hitgate screen"
    [ "$(sort -u "$work/screen" | wc -l)" = 4 ] || fail "the four frames are judged alike: nothing is shown"

    # A ring that hitgate feed fills.
    feed $frames
    "$work/run" $model "$ring" >"$work/run.txt"
    wait $feed
    diff <(repeated $frames "$work/screen") <(printed "$work/run.txt") || fail "run decides otherwise than hitgate screen"
    grep -qx "received $frames expected $frames lost 0 lapped 0 unsent 0" "$work/run.txt" ||
        fail "the books of run do not balance"

    # The same, over a link that breaks after a quarter of them: what is kept then is lost by name, and counted.
    feed $frames
    "$work/run" $model "$ring" $((frames / 4)) >"$work/run.txt"
    wait $feed
    diff <(repeated $frames "$work/screen") <(printed "$work/run.txt") || fail "run decides otherwise where its link breaks"
    awk '$1 == "frame" && $6 == "true" && ++kept > '$((frames / 4))' { print "lost frame", $2 }' "$work/run.txt" >"$work/lost"
    diff "$work/lost" <(grep '^lost' "$work/run.txt") || fail "run loses other frames than those that it did not send"
    unsent=$(wc -l <"$work/lost")
    [ "$unsent" -gt 0 ] || fail "nothing was lost: nothing is shown"
    grep -qx "received $frames expected $frames lost 0 lapped 0 unsent $unsent" "$work/run.txt" ||
        fail "run does not say how many frames were not sent"

    # One that it goes around, until nothing is left but half the slots behind the newest frame.
    feed $frames --free-running --rate 10000
    until "$target/hitgate" inspect "$ring" | grep -q "^source .* $frames frames, "; do
        kill -0 $feed || fail "hitgate feed did not fill its ring"
        sleep 0.05
    done
    "$work/run" $model "$ring" >"$work/run.txt"
    wait $feed
    left=$((slots / 2))
    diff <(repeated $frames "$work/screen" | tail -n $left) <(printed "$work/run.txt") ||
        fail "run decides otherwise of copies than hitgate screen"
    grep -qx "received $left expected $frames lost 0 lapped $((frames - left)) unsent 0" "$work/run.txt" ||
        fail "run does not say how many frames were lapped"

    # A guarded path: shadow, armed, another engine, shadow, armed.
    feed $guarded
    "$work/guarded" $model "$ring" >"$work/guarded.txt" || fail "guarded does not end well"
    wait $feed
    awk '
        $1 == "armed" { may = 1; armed++ }
        $1 == "swapped" { may = 0; swapped++ }
        $1 == "frame" && $8 == "shadow" { shadow[swapped + 0]++ }
        $1 == "frame" && $6 == "false" { dropped[swapped + 0]++; if (!may || $4 != "miss") wrong = 1 }
        END { exit wrong || armed != 2 || swapped != 1 || !shadow[0] || !shadow[1] || !dropped[0] || !dropped[1] }
    ' "$work/guarded.txt" || fail "guarded drops what was not shown, or nothing"

    # A ring that the example fills.
    "$target/hitgate" run --ring "$ring" --records "$work/records.jsonl" --replace >"$work/filter.txt" &
    filter=$!
    # It waits for its frames to be taken, for ever if nobody is there.
    timeout 60 "$work/device" "$ring" $frames >"$work/device.txt" || fail "the device ends badly, or nobody takes its frames"
    wait $filter
    verdicts "$work/records.jsonl" >"$work/records"
    # The first of the device's frames is number 1, as the first of the four is; those after the fourth are new.
    diff "$work/screen" <(head -n 4 "$work/records") || fail "hitgate run decides otherwise of the device's frames"
    [ "$(wc -l <"$work/records")" = $frames ] || fail "hitgate run did not judge every frame of the device"
    grep -q "^produced $frames taken $frames " "$work/device.txt" || fail "the device's frames were not all taken"

    # One that the example goes around, at its own pace.
    "$target/hitgate" run --ring "$ring" --records "$work/records.jsonl" --replace >"$work/filter.txt" &
    filter=$!
    timeout 60 "$work/device" "$ring" $frames free-running >"$work/device.txt" || fail "the free-running device ends badly"
    wait $filter
    read -r _ produced _ taken _ stalls _ lapped <"$work/device.txt"
    judged=$(grep -c '"class":' "$work/records.jsonl")
    [ "$produced $taken $stalls $((judged + lapped))" = "$frames $frames 0 $frames" ] ||
        fail "of the free-running device's frames some are neither judged nor lapped"
    echo "c_examples: ${pair% *}: score, run, guarded and device decide what hitgate screen decides"
done

# Block $2 of language $1 in the manual.
documented() {
    awk -v opens="\`\`\`$1" -v n="$2" '/^```/ { inside = !inside && $0 == opens && ++at == n; next } inside' docs/embedding.md
}

# The bytes of $1 that were measured last, as the manual writes numbers.
measured() {
    awk -v of="$1" '$1 ~ "^" of { print $(NF - 1) }' "$work/memory.txt" | sed -E ':again; s/([0-9])([0-9]{3})($|,)/\1,\2\3/; t again'
}

# What the manual says to type, as it stands there, which is for a shell in a clone whose target folder is its own.
if [ "${CARGO_TARGET_DIR:-target}" = target ] && command -v cc >/dev/null; then
    rm -rf target/first
    bash -euo pipefail -c "$(documented sh 1)" >"$work/first.txt" || fail "what docs/embedding.md says to begin with does not work"
    diff <(documented text 1) "$work/first.txt" || fail "docs/embedding.md begins with commands that print otherwise"
    [ -s "$work/first.txt" ] || fail "docs/embedding.md begins with commands that print nothing"
    bash -euo pipefail -c "$(documented sh 4)" >"$work/memory.txt" || fail "docs/embedding.md measures memory by commands that fail"
    grep -q "over 64 slots $(measured path)," docs/embedding.md || fail "docs/embedding.md has another figure for a path's memory"
    # Of the engine it has that of one level.
    ! grep -qw avx512_vnni /proc/cpuinfo ||
        grep -q "^| width 1, one channel | [0-9,]* | $(measured engine) |" docs/embedding.md ||
        fail "docs/embedding.md has another figure for an engine's memory"
    echo "c_examples: the commands of docs/embedding.md do what it says"
else
    echo "NOT RUN: the commands of docs/embedding.md (they take cc, and the target folder of the clone)"
fi
