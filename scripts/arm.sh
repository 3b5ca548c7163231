#!/usr/bin/env bash
# 64-bit ARM from a machine that is none: kernels, ring and core are linted, and tested on three emulated CPUs, and
# it is a failure where one of them runs without a level that it has.
#   scripts/arm.sh             builds the tests and runs them
#   scripts/arm.sh --install   installs what that takes on Debian (as root): cross toolchain, emulator
#   scripts/arm.sh --cross     builds and runs the tests in cross's container instead, with docker or podman
#   scripts/arm.sh --archive   makes target/hitgate-aarch64-linux.tar.gz: the program for a board, linked
#                              statically, to make a record with `hitgate bench` there
# It ends with 3 where something that it takes is missing.
# PROPTEST_CASES: random cases a property (8, as an emulated CPU is slow; the awkward shapes all run).
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
# A CPU, and the levels that it has.
cpus=(
    "cortex-a53 scalar,neon"
    "neoverse-n1 scalar,neon,neon-dotprod"
    "max scalar,neon,neon-dotprod,neon-i8mm"
)

# Whether compiler $1 has the standard library for the target.
has_library() {
    local folder
    folder=$("$1" --print target-libdir --target "$target" 2>/dev/null) && [ -d "$folder" ]
}

install() {
    local packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)
    if ! has_library rustc && ! { rustup target add "$target" && has_library rustc; }; then
        dpkg --add-architecture arm64
        packages+=(rustc-web libstd-rust-web-dev:arm64)
        command -v cargo >/dev/null || packages+=(cargo-web)
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
}

# Chooses compiler, linker and target folder; the toolchain's own compiler comes before Debian's.
toolchain() {
    local program
    for program in aarch64-linux-gnu-gcc qemu-aarch64-static cargo; do
        command -v "$program" >/dev/null || missing "there is no $program"
    done
    if ! has_library "${RUSTC:-rustc}"; then
        has_library /usr/bin/rustc || missing "no compiler here has the standard library for $target"
        export RUSTC=/usr/bin/rustc
    fi
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
    # Statically: a program then takes neither the board's C library nor, under emulation, parts of two.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
    export CARGO_TARGET_DIR=target/arm
    echo "compiler: $("${RUSTC:-rustc}" --version)"
}

missing() {
    echo "arm.sh: $1; on Debian scripts/arm.sh --install installs it" >&2
    exit 3
}

crates=(-p hitgate-kernels -p hitgate-ring -p hitgate-core)

# Runs the tests by program $1 on each CPU; QEMU_CPU names it.
on_each_cpu() {
    export PROPTEST_CASES=${PROPTEST_CASES:-8}
    local line
    for line in "${cpus[@]}"; do
        echo "== ${line% *}, which must have ${line#* }"
        # One test is left out: the emulator does not tell a program that another one could not be started.
        QEMU_CPU=${line% *} EXPECT_LEVELS=${line#* } \
            "$1" test --release --tests --target "$target" "${crates[@]}" -- --skip a_missing_compiler_is_named
    done
}

tests() {
    # Code that no lint on another machine sees. Debian's compiler comes without clippy.
    if [ -z "${RUSTC-}" ]; then
        cargo clippy --release --target "$target" -p hitgate-kernels -- -D warnings
    fi
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static
    on_each_cpu cargo
}

tests_in_cross() {
    if ! command -v cross >/dev/null; then
        echo "arm.sh: there is no cross: cargo install cross, and docker or podman, in which it runs" >&2
        exit 3
    fi
    export CROSS_CONFIG=cross.toml
    on_each_cpu cross
}

archive() {
    local name=hitgate-aarch64-linux
    local folder=target/arm/$name
    cargo build --release --target "$target" -p hitgate
    mkdir -p "$folder"
    aarch64-linux-gnu-strip -o "$folder/hitgate" "target/arm/$target/release/hitgate"
    if aarch64-linux-gnu-readelf -l "$folder/hitgate" | grep -q INTERP; then
        echo "arm.sh: the program asks for a dynamic linker" >&2
        exit 1
    fi
    qemu-aarch64-static -cpu cortex-a53 "$folder/hitgate" --version
    cp LICENSE-APACHE LICENSE-MIT "$folder"
    scripts/third_party.py notices >"$folder/THIRD-PARTY-NOTICES"
    scripts/third_party.py sbom >"$folder/sbom.cdx.json"
    cat >"$folder/README" <<'TEXT'
hitgate for 64-bit ARM Linux, linked statically: it needs no library of the board.

    ./hitgate inspect           levels of this CPU
    ./hitgate bench --json      a record of its latency, one line a stage

Send the record with the name of the board: ARM latency is unmeasured until there is one.
TEXT
    tar -czf "target/$name.tar.gz" --owner=0 --group=0 -C target/arm "$name"
    ls -l "target/$name.tar.gz"
}

case ${1-} in
"")
    toolchain
    tests
    ;;
--install)
    install
    ;;
--cross)
    tests_in_cross
    ;;
--archive)
    toolchain
    archive
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
