#!/usr/bin/env bash
# The program for other machines than this one: wholly static with musl, and against an old glibc.
#   scripts/static.sh [musl] [glibc]   builds (both, without a name), looks at what was made and runs its demonstration
#   scripts/static.sh --install        installs what that takes into target/zig: zig as the linker, from PyPI
# A build is the whole program and its dependencies anew, in target/static.
# musl takes the toolchain's own library where it is installed (rustup target add x86_64-unknown-linux-musl), else one out of
# Debian's sources by its own compiler (apt-get install rustc-web rust-web-src). It ends with 3 where something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# The oldest that Rust's own library runs on.
glibc=2.17
zig=$PWD/target/zig

fail() {
    echo "static.sh: $1" >&2
    exit "${2:-1}"
}

built() {
    PATH=$zig/bin:$PATH CARGO_ZIGBUILD_CACHE_DIR=$zig/cache ZIG_GLOBAL_CACHE_DIR=$zig/cache \
        cargo-zigbuild rustc --release -p hitgate --bin hitgate --target-dir target/static "$@"
}

needs() {
    command -v "$1" >/dev/null || fail "there is no $1: on Debian apt-get install $2" 3
}

# Frames of real and of simulated detectors, through every reader, the ring and the path.
runs() {
    "$1" demo --frames 120 >/dev/null || fail "$1 demo ends with an error"
    echo "static: $1, $(stat -c %s "$1") bytes, $("$1" --version): $2, and its demonstration runs"
}

musl() {
    local target=x86_64-unknown-linux-musl program needed
    if [ -d "$(rustc --print target-libdir --target $target 2>/dev/null)" ]; then
        built --target $target
    elif [ -d /usr/lib/rustlib/src/rust/library/std ]; then
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 built --target $target -Zbuild-std=std,panic_unwind \
            -- -Clink-self-contained=no # zig has the C library's start files, Debian's compiler has none
    else
        fail "musl: rustup target add $target, or apt-get install rustc-web rust-web-src" 3
    fi
    program=target/static/$target/release/hitgate
    needed=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    [ -z "$needed" ] || fail "$program needs ${needed//$'\n'/, }"
    runs "$program" "needs no library"
}

glibc() {
    local target=x86_64-unknown-linux-gnu program newest
    built --target "$target.$glibc"
    program=target/static/$target/release/hitgate
    newest=$(objdump -T "$program" | sed -n 's/.*(\?GLIBC_\([0-9.]*\)).*/\1/p' | sort -V | tail -1)
    [ -n "$newest" ] || fail "$program names no version of glibc"
    [ "$(printf '%s\n' "$newest" "$glibc" | sort -V | tail -1)" = "$glibc" ] || fail "$program needs glibc $newest"
    runs "$program" "needs glibc $newest"
}

case ${1-} in
--install)
    needs python3 python3
    python3 -m venv "$zig" || fail "python3 makes no environment: on Debian apt-get install python3-venv" 3
    "$zig/bin/pip" install -q ziglang==0.17.1 cargo-zigbuild==0.24.1 || fail "PyPI gives no zig" 3
    exit
    ;;
esac
[ -x "$zig/bin/cargo-zigbuild" ] || fail "there is no zig; scripts/static.sh --install brings it" 3
needs readelf binutils
needs objdump binutils
[ $# != 0 ] || set -- musl glibc
for kind in "$@"; do
    case $kind in
    musl | glibc) "$kind" ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
done
