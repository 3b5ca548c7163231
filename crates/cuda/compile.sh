#!/usr/bin/env bash
# Compiles the kernels ahead of time: kernels.fatbin has machine code for each of the architectures below and PTX for newer ones,
# registers.txt what ptxas says that a thread takes. (Shared memory is dynamic: a launch says how much.) Both are committed, so
# that nobody else needs this compiler.
#
#   compile.sh            makes both
#   compile.sh --check    says whether they are what the sources make; ends with 3 where there is no compiler
#   compile.sh --install  fetches the compiler from PyPI into target/nvcc, where the other two look first
#
# The compiler is pinned: another one makes other bytes. Code that it makes needs a driver of the 580 series or newer.
set -euo pipefail
cd "$(dirname "$0")"

VERSION=13.0.88
ARCHITECTURES=(80 87 89 90)
target=${CARGO_TARGET_DIR:-../../target}

if [ "${1:-}" = --install ]; then
    python3 -m venv "$target/nvcc"
    "$target/nvcc/bin/pip" install --quiet nvidia-cuda-{nvcc,crt}==$VERSION nvidia-nvvm==$VERSION nvidia-cuda-runtime==13.0.96
    exit
fi

nvcc=$(compgen -G "$target/nvcc/lib/python3*/site-packages/nvidia/cu13/bin/nvcc" || command -v nvcc || true)
case $("${nvcc:-true}" --version) in
*"V$VERSION"*) ;;
*)
    echo "no nvcc $VERSION: crates/cuda/compile.sh --install" >&2
    exit 3
    ;;
esac

made=$(mktemp -d)
trap 'rm -r "$made"' EXIT
codes=(-gencode "arch=compute_${ARCHITECTURES[0]},code=compute_${ARCHITECTURES[0]}")
for sm in "${ARCHITECTURES[@]}"; do
    codes+=(-gencode "arch=compute_$sm,code=sm_$sm")
done
"$nvcc" -std=c++17 -O3 -Werror all-warnings -fatbin -Xfatbin -compress-all -Xptxas -v "${codes[@]}" \
    -o "$made/kernels.fatbin" kernels/kernels.cu 2>"$made/said" || { cat "$made/said" >&2 && exit 1; }

# Of each kernel and architecture the registers of a thread; none may spill.
awk -v architectures="${ARCHITECTURES[*]}" '
    /Compiling entry function/ { split($0, word, "\047"); kernel = word[2]; sm = word[4]; sub("sm_", "", sm) }
    /spill stores/ && $5 + $9 > 0 { print kernel " spills on sm_" sm > "/dev/stderr"; spills = 1 }
    /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); used[kernel, sm] = substr($0, RSTART + 5, RLENGTH - 5); kernels[kernel] }
    END {
        n = split(architectures, list, " ")
        printf "%-20s", "registers a thread"
        for (i = 1; i <= n; i++) printf " %5s", "sm_" list[i]
        print ""
        for (kernel in kernels) {
            line = sprintf("%-20s", kernel)
            for (i = 1; i <= n; i++) line = line sprintf(" %5d", used[kernel, list[i]])
            print line | "LC_ALL=C sort"
        }
        close("LC_ALL=C sort")
        exit spills
    }' "$made/said" >"$made/registers.txt"

for file in kernels.fatbin registers.txt; do
    if [ "${1:-}" != --check ]; then
        cp "$made/$file" "kernels/$file"
    elif ! cmp "$made/$file" "kernels/$file"; then
        echo "crates/cuda/kernels/$file is not what the sources make: run crates/cuda/compile.sh" >&2
        exit 1
    fi
done
