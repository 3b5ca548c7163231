#!/usr/bin/env bash
# The path without an operating system: kernels, ring, core, adapters, spots and the C interface built for two bare targets.
# The target's own library is used where it is installed (rustup target add TARGET), else Debian's sources of it.
#   scripts/no_std.sh --install   installs these on Debian (as root): rustc-web, rust-web-src
# It ends with 3 where something that it takes is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1-}" = --install ]; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends rustc-web rust-web-src
    exit
fi

# Bytes of code and constants that a firmware gets which calls every function of the library $1: what the linker of
# the toolchain keeps, and no data. Nothing where there is no such linker.
linked_size() {
    local linker image
    linker=$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin/rust-lld
    [ -x "$linker" ] || return 0
    image=$(mktemp)
    # shellcheck disable=SC2046
    "$linker" -flavor gnu --gc-sections --omagic --oformat=binary -e hitgate_abi_version \
        $(sed 's/^/--undefined=/' crates/capi/symbols.txt) "$1" -o "$image"
    echo ", $(wc -c <"$image") bytes linked with every function of the C interface"
    rm "$image"
}

# In the library $1, for aarch64, loads are ordered behind the number that a device outside of the CPUs' own domain has
# written. The reader has three such barriers: before it reads slots, before it reads copies, and before it looks at a
# copy's number again.
check_barriers() {
    local objdump barriers
    objdump=$(command -v llvm-objdump aarch64-linux-gnu-objdump | head -n 1 || true)
    if [ -z "$objdump" ]; then
        echo "NOT TESTED HERE: barriers behind a device's number (apt-get install binutils-aarch64-linux-gnu)"
        return
    fi
    barriers=$("$objdump" -d "$1" | grep -cP '\tdmb\s+oshld' || true)
    if [ "$barriers" -lt 3 ]; then
        echo "no_std.sh: $1 has $barriers of 3 barriers behind the number that a device writes (dmb oshld)" >&2
        exit 1
    fi
}

absent=0
for target in aarch64-unknown-none thumbv7em-none-eabihf; do
    # A bare target has no shared libraries: of the C interface it gets the static one.
    build=(cargo build --release --target "$target" --no-default-features
        -p hitgate-kernels -p hitgate-ring -p hitgate-core -p hitgate-adapters -p hitgate-spots -p hitgate-capi)
    folder=${CARGO_TARGET_DIR:-target}
    if [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
        "${build[@]}"
    elif [ -d /usr/lib/rustlib/src/rust/library/core ]; then
        folder=target/no_std
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$folder "${build[@]}" -Zbuild-std=core
    else
        echo "NOT TESTED HERE: no_std for $target (rustup target add $target, or scripts/no_std.sh --install)"
        absent=3
        continue
    fi
    library=$folder/$target/release/libhitgate.a
    # Every function of the interface is there, and nothing that would need an allocator or an unwinder.
    symbols=$(nm -g --defined-only "$library" 2>/dev/null | awk '$3 ~ /^hitgate_/ { print $3 }' | LC_ALL=C sort)
    [ "$symbols" = "$(cat crates/capi/symbols.txt)" ] || { echo "no_std.sh: $library lacks functions of crates/capi/symbols.txt" >&2; exit 1; }
    if nm -u "$library" 2>/dev/null | grep -E '__rust_alloc|_Unwind_|malloc'; then
        echo "no_std.sh: $library asks for an allocator or an unwinder" >&2
        exit 1
    fi
    [ "$target" != aarch64-unknown-none ] || check_barriers "$library"
    size=$(linked_size "$library")
    echo "no_std: $target builds$size"
done
exit $absent
