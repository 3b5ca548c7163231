//! Every level equals the oracle, bit for bit: one set of properties, run on each level.
//!
//! A harness of its own, because a level that this machine lacks has tests that cannot run: they are
//! reported as ignored, and the first line names the level. `EXPECT_LEVELS` (a comma list, such as
//! `scalar,avx2`) makes a missing level a failure.

mod layers;
mod raw;

use std::process::ExitCode;

use hitgate_kernels::Level;
use hitgate_testkit::expected_levels;
use layers::{Case, On, named, property};
use libtest_mimic::{Arguments, Trial};

type Property = (&'static str, fn(On));

/// What a level must do, by name.
const PROPERTIES: [Property; 8] = [
    ("stem_equals_oracle", |on| {
        on_all(on, layers::STEM_SHAPES, layers::stem)
    }),
    ("depthwise_equals_oracle", |on| {
        on_all(on, layers::DEPTHWISE_SHAPES, layers::depthwise)
    }),
    ("pointwise_equals_oracle", |on| {
        on_all(on, layers::POINTWISE_SHAPES, layers::pointwise)
    }),
    ("pool_and_dense_equal_oracle", |on| {
        on_all(on, layers::POOL_SHAPES, layers::pool_and_dense)
    }),
    (
        "requantizing_equals_oracle_at_every_edge",
        layers::requantize,
    ),
    ("every_gain_is_multiplied_by", raw::every_gain),
    ("every_word_is_corrected", raw::every_word),
    ("any_words_are_corrected", raw::any_words),
];

/// Checks a layer on shapes that are known to be awkward, then on any.
fn on_all(on: On, shapes: &[Case], layer: fn(On, Case)) {
    named(shapes, |shape| layer(on, shape));
    property(|shape| layer(on, shape));
}

/// One level's tests; without the level, tests that are ignored.
fn trials(name: &'static str, on: Option<On>) -> impl Iterator<Item = Trial> {
    PROPERTIES.into_iter().map(move |(property, check)| {
        let run = move || match on {
            Some(on) => {
                check(on);
                Ok(())
            }
            None => Err(format!("this machine lacks {name}").into()),
        };
        Trial::test(format!("{name}::{property}"), run).with_ignored_flag(on.is_none())
    })
}

/// The levels that `EXPECT_LEVELS` names and this machine does not have.
fn missing() -> Vec<String> {
    expected_levels()
        .into_iter()
        .filter_map(|name| Some(format!("{name}: {}", Level::by_name(&name).err()?)))
        .collect()
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (here, absent): (Vec<_>, Vec<_>) =
        (Level::NAMES.into_iter()).partition(|name| Level::by_name(name).is_ok());
    if !arguments.list {
        println!("\nCPU levels tested: {}", here.join(", "));
        if !absent.is_empty() {
            println!(
                "NOT RUN HERE, for this machine lacks them: {}",
                absent.join(", ")
            );
        }
    }
    let missing = missing();
    if !missing.is_empty() {
        eprintln!("EXPECT_LEVELS is not met: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    let levels = Level::NAMES
        .into_iter()
        .flat_map(|name| trials(name, Level::by_name(name).ok().map(On::Level)));
    let tests = levels.chain(trials("wide", Some(On::Wide))).collect();
    libtest_mimic::run(&arguments, tests).exit_code()
}
