//! Every level equals the oracle, bit for bit: one set of properties, stamped for each level.
//!
//! A level that this machine lacks passes and says so, unless `EXPECT_LEVELS` (a comma list, such as
//! `scalar,avx2`) names it: then its tests fail.

mod layers;

use std::io::Write;

use hitgate_kernels::Level;
use layers::On;

/// The level called `name`; without it on this machine, `None`, unless it was expected.
fn on(name: &str) -> Option<On> {
    if name == "wide" {
        return Some(On::Wide);
    }
    let level = Level::by_name(name);
    let expected = std::env::var("EXPECT_LEVELS").unwrap_or_default();
    if let Err(reason) = level {
        assert!(
            !expected.split(',').any(|wanted| wanted.trim() == name),
            "EXPECT_LEVELS names {name}, but {reason}"
        );
    }
    level.ok().map(On::Level)
}

macro_rules! stamp {
    ($($level:ident)*) => {$(
        mod $level {
            use crate::layers::{self, named, property};

            #[test]
            fn stem_equals_oracle() {
                let Some(on) = super::on(stringify!($level)) else { return };
                named(layers::STEM_SHAPES, |shape| layers::stem(on, shape));
                property(|shape| layers::stem(on, shape));
            }

            #[test]
            fn depthwise_equals_oracle() {
                let Some(on) = super::on(stringify!($level)) else { return };
                named(layers::DEPTHWISE_SHAPES, |shape| layers::depthwise(on, shape));
                property(|shape| layers::depthwise(on, shape));
            }

            #[test]
            fn pointwise_equals_oracle() {
                let Some(on) = super::on(stringify!($level)) else { return };
                named(layers::POINTWISE_SHAPES, |shape| layers::pointwise(on, shape));
                property(|shape| layers::pointwise(on, shape));
            }

            #[test]
            fn pool_and_dense_equal_oracle() {
                let Some(on) = super::on(stringify!($level)) else { return };
                named(layers::POOL_SHAPES, |shape| layers::pool_and_dense(on, shape));
                property(|shape| layers::pool_and_dense(on, shape));
            }

            #[test]
            fn requantizing_equals_oracle_at_every_edge() {
                let Some(on) = super::on(stringify!($level)) else { return };
                layers::requantize(on);
            }
        }
    )*};
}

stamp!(scalar avx2 avx512vnni wide);

/// Written past the test harness, which would keep a passing test's output.
#[test]
fn levels_that_ran() {
    let expected = std::env::var("EXPECT_LEVELS").unwrap_or_default();
    for name in expected
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        assert!(
            Level::NAMES.contains(&name),
            "EXPECT_LEVELS: no level is called {name}"
        );
    }
    let ran: Vec<_> = Level::NAMES
        .into_iter()
        .filter(|name| on(name).is_some())
        .collect();
    let lacks: Vec<_> = Level::NAMES
        .into_iter()
        .filter(|name| !ran.contains(name))
        .collect();
    let line = format!(
        "levels tested: {}; not on this machine: {}\n",
        ran.join(", "),
        lacks.join(", ")
    );
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr is open");
}

#[test]
fn detection_agrees_with_the_standard_library() {
    let names: Vec<_> = Level::all_available().map(Level::name).collect();
    let mut expected = vec!["scalar"];
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        if is_x86_feature_detected!("avx2") {
            expected.push("avx2");
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
        {
            expected.push("avx512vnni");
        }
    }
    assert_eq!(names, expected);
    assert_eq!(Some(Level::detect().name()), expected.last().copied());
}

#[test]
fn an_unknown_level_is_named_with_what_there_is() {
    let error = Level::by_name("sse9")
        .expect_err("no such level")
        .to_string();
    assert!(
        error.starts_with(
            "no such CPU level; there are scalar, avx2, avx512vnni; this machine has scalar"
        ),
        "{error}"
    );
    for name in Level::NAMES {
        match Level::by_name(name) {
            Ok(level) => assert_eq!(level.name(), name),
            Err(error) => assert!(error.to_string().starts_with(&format!(
                "this machine lacks {name}; this machine has scalar"
            ))),
        }
    }
}
