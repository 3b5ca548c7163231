#!/usr/bin/env bash
# The program for other machines than this one: wholly static with musl, and against an old glibc.
#   scripts/static.sh [musl] [glibc]   builds (both, without a name) and looks at what was made
#   scripts/static.sh --install        installs what that takes into target/zig: zig as the linker, from PyPI
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
        cargo zigbuild --release -p hitgate --target-dir target/static "$@"
}

musl() {
    local target=x86_64-unknown-linux-musl program
    if [ -d "$(rustc --print target-libdir --target $target 2>/dev/null)" ]; then
        built --target $target
    elif [ -d /usr/lib/rustlib/src/rust/library/std ]; then
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 built --target $target -Zbuild-std=std,panic_unwind
    else
        fail "musl: rustup target add $target, or apt-get install rustc-web rust-web-src" 3
    fi
    program=target/static/$target/release/hitgate
    ! readelf -d "$program" | grep -q NEEDED || fail "$program is not static"
    "$program" --version
    echo "static: $program needs no library"
}

glibc() {
    local target=x86_64-unknown-linux-gnu program newest
    built --target "$target.$glibc"
    program=target/static/$target/release/hitgate
    newest=$(objdump -T "$program" | sed -n 's/.*(\?GLIBC_\([0-9.]*\)).*/\1/p' | sort -V | tail -1)
    [ "$(printf '%s\n' "$newest" "$glibc" | sort -V | tail -1)" = "$glibc" ] || fail "$program needs glibc $newest"
    "$program" --version
    echo "static: $program needs glibc $newest"
}

case ${1-} in
--install)
    python3 -m venv "$zig"
    "$zig/bin/pip" install -q ziglang==0.17.1 cargo-zigbuild==0.24.1
    exit
    ;;
esac
[ -x "$zig/bin/cargo-zigbuild" ] || fail "there is no zig; scripts/static.sh --install brings it" 3
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
