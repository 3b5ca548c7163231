#!/usr/bin/env bash
# The path without an operating system: kernels, ring and core built for two bare targets.
# The target's own library is used where it is installed (rustup target add TARGET), else Debian's sources
# of it (apt-get install rustc-web rust-web-src).
set -euo pipefail
cd "$(dirname "$0")/.."

for target in aarch64-unknown-none thumbv7em-none-eabihf; do
    build=(cargo build --release --target "$target" -p hitgate-kernels -p hitgate-ring -p hitgate-core)
    if [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
        "${build[@]}"
    elif [ -d /usr/lib/rustlib/src/rust/library/core ]; then
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/no_std "${build[@]}" -Zbuild-std=core
    else
        echo "NOT TESTED HERE: no_std for $target (rustup target add $target, or apt-get install rustc-web rust-web-src)"
        continue
    fi
    echo "no_std: $target builds"
done
