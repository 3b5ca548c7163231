#!/usr/bin/env bash
# How many instructions one frame takes on AVX2, be it blank, a hit or saturated: the stages, and the path from the
# raw frame in its slot to the record, also while another thread packs the next model and with the swap to one.
# valgrind counts them.
#   bench/instructions.sh             compares with bench/instructions.txt: fails where a stage takes over 5 % more,
#                                     where the three frames differ by 1 % or more, or where packing or a swap
#                                     costs the path 0.01 % or more
#   bench/instructions.sh --record    writes that file
#   bench/instructions.sh --install   installs valgrind on Debian (as root)
# It ends with 3 where valgrind or AVX2 is missing.
# Counts are those of one compiler: where rust-toolchain.toml pins another one, the file is written anew.
set -euo pipefail
cd "$(dirname "$0")/.."
record=bench/instructions.txt
again="bench/instructions.sh --record"
function=instructions::counted

missing() {
    echo "instructions.sh: $1" >&2
    exit 3
}

fail() {
    echo "instructions.sh: $1" >&2
    exit 1
}

# Prints `STAGE CONTENT COUNT` for each call of the function, at whose end valgrind dumps its counters.
count() {
    command -v valgrind >/dev/null || missing "there is no valgrind; on Debian bench/instructions.sh --install installs it"
    grep -qw avx2 /proc/cpuinfo || missing "this CPU lacks AVX2, and valgrind emulates what the CPU has"
    cargo build --release --workspace --example instructions >&2
    # Without `rep stosb` and `rep movsb`, which valgrind counts once a byte.
    GLIBC_TUNABLES=glibc.cpu.hwcaps=-ERMS,-FSRM \
        valgrind --quiet --fair-sched=try --tool=callgrind --callgrind-out-file="$work/dump" --collect-atstart=no \
        --toggle-collect="$function" --dump-after="$function" \
        "${CARGO_TARGET_DIR:-target}/release/examples/instructions" >"$work/calls"
    local level stage content dump=0
    while read -r level stage content; do
        [ "$level" = avx2 ] || fail "$stage ran on $level, not on avx2"
        dump=$((dump + 1))
        [ -f "$work/dump.$dump" ] || fail "valgrind did not meet $function for $stage"
        echo "$stage $content $(sed -n 's/^totals: //p' "$work/dump.$dump")"
    done <"$work/calls"
}

# A row a stage, a column a content.
table() {
    awk '
        !($1 in row) { stages[++n] = $1 }
        { row[$1] = row[$1] sprintf(" %11s", $3) }
        n == 1 { head = head sprintf(" %11s", $2) }
        END {
            printf "%-12s%s\n", "stage", head
            for (i = 1; i <= n; i++) printf "%-12s%s\n", stages[i], row[stages[i]]
        }'
}

# Says which stages of table $1 take more instructions for one of the frames than for another.
compare_contents() {
    awk '
        NR == 1 { split($0, name); next }
        {
            least = most = 2
            for (i = 3; i <= NF; i++) { if ($i < $least) least = i; if ($i > $most) most = i }
            if (($most - $least) * 100 < $least) next
            printf "instructions.sh: %s takes %d instructions for a frame that is %s and %d for one that is %s: they may differ by less than 1 %%\n",
                $1, $least, name[least], $most, name[most]
            bad = 1
        }
        END { exit bad }' "$1" >&2
}

# Says what in table $1 costs the path anything that happens beside it.
compare_paths() {
    awk '
        NR == 1 { split($0, name); next }
        $1 == "path" { for (i = 2; i <= NF; i++) alone[i] = $i }
        $1 ~ /^path-/ {
            for (i = 2; i <= NF; i++) {
                more = $i - alone[i]
                if (more * 10000 < alone[i]) continue
                printf "instructions.sh: %s takes %d instructions more than path for a frame that is %s: a swap of the model must cost the path nothing\n",
                    $1, more, name[i]
                bad = 1
            }
        }
        END { exit bad }' "$1" >&2
}

# Says which stages of table $2 take over 5 % more than in table $1, and, though that is no failure, over 1 % less.
compare_records() {
    awk -v again="$again" '
        function say(text) { print "instructions.sh: " text }
        FNR == 1 { split($0, name); next }
        NR == FNR { known[$1]; for (i = 2; i <= NF; i++) recorded[$1, i] = $i; next }
        !($1 in known) { say($1 " is not recorded: " again); bad = 1; next }
        {
            for (i = 2; i <= NF; i++) {
                was = recorded[$1, i]
                if ($i * 100 >= was * 99 && $i * 100 <= was * 105) continue
                what = sprintf("%s takes %d instructions for a frame that is %s, %d are recorded: ", $1, $i, name[i], was)
                if ($i > was) { say(what sprintf("%.1f %% more, and 5 %% are allowed", ($i / was - 1) * 100)); bad = 1 }
                else say(what sprintf("%.1f %% less: %s keeps it there", (1 - $i / was) * 100, again))
                break
            }
            delete known[$1]
        }
        END {
            for (stage in known) { say(stage " is recorded and is no stage: " again); bad = 1 }
            exit bad
        }' <(grep -v '^#' "$1") "$2" >&2
}

case ${1-} in
"" | --record)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    count >"$work/counts"
    table <"$work/counts" | tee "$work/table"
    wrong=0
    compare_contents "$work/table" || wrong=1
    compare_paths "$work/table" || wrong=1
    if [ "${1-}" = --record ]; then
        [ "$wrong" = 0 ] || exit 1
        {
            echo "# Instructions of one frame of 1030 x 1065 pixels of 16 bits on AVX2, by $again."
            echo "# $(rustc --version)"
            cat "$work/table"
        } >"$record"
    else
        [ -f "$record" ] || fail "there is no $record: $again writes it"
        compare_records "$record" "$work/table" || wrong=1
        exit "$wrong"
    fi
    ;;
--install)
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends valgrind
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
