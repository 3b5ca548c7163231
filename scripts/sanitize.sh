#!/usr/bin/env bash
# The ring and the host under the sanitizers:
#     scripts/sanitize.sh [address|thread ...]
# Without a name, both. The address sanitizer runs on the project's toolchain; the thread sanitizer needs a
# standard library that is built with it, out of Debian's sources for its own compiler (apt-get install
# rustc-web rust-web-src). Exit 3: what was asked for cannot run here.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
# Deaths are modelled by values that are never dropped.
export ASAN_OPTIONS=detect_leaks=0
export PROPTEST_CASES=${PROPTEST_CASES:-300}

run() { # sanitizer, further arguments of cargo
    local sanitizer=$1
    shift
    RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_TARGET_DIR=target/$sanitizer \
        cargo test --release --target "$target" -p hitgate-ring -p hitgate-host --lib --tests "$@"
    echo "sanitizer: $sanitizer, no finding"
}

absent=0
for sanitizer in ${@:-address thread}; do
    case $sanitizer in
    address) run address ;;
    thread)
        if [ -d /usr/lib/rustlib/src/rust/library/std ]; then
            RUSTC=/usr/bin/rustc run thread -Zbuild-std
        else
            echo "NOT TESTED HERE: the thread sanitizer (apt-get install rustc-web rust-web-src)"
            absent=3
        fi
        ;;
    *)
        echo "no sanitizer $sanitizer: address or thread" >&2
        exit 2
        ;;
    esac
done
exit $absent
