#!/usr/bin/env bash
# The ring and the host under the sanitizers:
#     scripts/sanitize.sh [address|thread ...]
# Without a name, both. The address sanitizer runs on the project's toolchain. The thread sanitizer needs a
# standard library that is built with it: out of Debian's sources, by its own compiler (apt-get install
# rustc-web rust-web-src), with the sanitizer's runtime of the project's toolchain, which Debian's lacks.
# Exit 3: what was asked for cannot run here.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
# Deaths are modelled by values that are never dropped.
export ASAN_OPTIONS=detect_leaks=0
export PROPTEST_CASES=${PROPTEST_CASES:-300}

tested=(--target "$target" -p hitgate-ring -p hitgate-host --lib --tests)
libdir=$(rustc --print target-libdir)
runtime=$libdir/librustc-stable_rt.tsan.a

absent=0
for sanitizer in ${@:-address thread}; do
    case $sanitizer in
    address)
        RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/address cargo test --release "${tested[@]}"
        ;;
    thread)
        if [ ! -d /usr/lib/rustlib/src/rust/library/std ] || [ ! -f "$runtime" ]; then
            echo "NOT TESTED HERE: the thread sanitizer (apt-get install rustc-web rust-web-src)"
            absent=3
            continue
        fi
        flags="-Zsanitizer=thread -Zexternal-clangrt"
        # With the toolchain's own linker: GNU ld does not resolve the runtime's versioned symbols.
        for argument in -fuse-ld=lld "-B$libdir/../bin/gcc-ld" \
            -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -Wl,--no-as-needed -lm -lpthread -ldl -lrt -lc; do
            flags+=" -Clink-arg=$argument"
        done
        RUSTC=/usr/bin/rustc RUSTFLAGS=$flags CARGO_TARGET_DIR=target/thread \
            cargo test --release -Zbuild-std "${tested[@]}"
        ;;
    *)
        echo "no sanitizer $sanitizer: address or thread" >&2
        exit 2
        ;;
    esac
    echo "sanitizer: $sanitizer, no finding"
done
exit $absent
