//! Criterion benches: `cargo bench -p hitgate-bench`. They also run once each as tests.
