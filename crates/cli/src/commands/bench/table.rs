//! Measurements as people read them.

use std::fmt::Write;

use super::floor::Floors;
use super::panel::View;
use super::rows::Row;

const PERCENTILES: [&str; 6] = ["min", "p50", "p90", "p99", "p99.9", "max"];
/// Letters of a row's name, and of a number.
const NAME: usize = 30;
const NUMBER: usize = 11;

/// Rows under one heading, in µs, with their floors.
pub fn of(heading: &str, rows: &[&Row], floors: &Floors) -> String {
    let mut text = head(
        heading,
        &[&PERCENTILES[..], &["floor", "min/floor", "p50/floor"]].concat(),
    );
    grouped(
        &mut text,
        rows,
        |row| *row,
        |text, row| {
            percentiles(text, row);
            let _ = match row.work.floor(floors) {
                Some(floor) => write!(
                    text,
                    "{:>NUMBER$.1}{:>NUMBER$.2}{:>NUMBER$.2}",
                    floor.least,
                    row.us(0.0) / floor.least,
                    row.us(0.5) / floor.median
                ),
                None => write!(text, "{0:>NUMBER$}{0:>NUMBER$}{0:>NUMBER$}", "–"),
            };
        },
    );
    text
}

/// How much more several cores do than one: each row of one core with that of all of them.
pub fn of_cores(cores: usize, pairs: &[(&Row, &Row)]) -> String {
    let [of_one, of_many] = [1, cores].map(|cores| format!("/s of {cores}"));
    let p50_of_many = format!("p50 of {cores}");
    let columns = ["p50 of 1", &p50_of_many, &of_one, &of_many, "scaling"];
    let mut text = head(&format!("1 core, then {cores} at once, µs"), &columns);
    grouped(
        &mut text,
        pairs,
        |(one, _)| *one,
        |text, (one, many)| {
            let [of_one, of_many] = [one, many].map(|row| row.frames_per_s());
            for number in [one.us(0.5), many.us(0.5), of_one, of_many] {
                let _ = write!(text, "{number:>NUMBER$.1}");
            }
            let _ = write!(text, "{:>NUMBER$.2}", of_many / of_one);
        },
    );
    text
}

/// Frames by the clock, in µs.
pub fn of_rates(heading: &str, rows: &[Row]) -> String {
    let mut text = head(heading, &[&PERCENTILES[..], &["frames", "lapped"]].concat());
    for row in rows {
        let name = row
            .view
            .map_or("empty filter".into(), |view| looked_at(view, row.mpx));
        let _ = write!(text, "  {name:<width$}", width = NAME - 2);
        percentiles(&mut text, row);
        let lapped = row.rate.map_or(0, |rate| rate.lapped);
        let _ = writeln!(text, "{:>NUMBER$}{lapped:>NUMBER$}", row.latencies.len());
    }
    text
}

fn head(heading: &str, columns: &[&str]) -> String {
    let mut text = format!("{heading:<NAME$}");
    for column in columns {
        let _ = write!(text, "{column:>NUMBER$}");
    }
    text + "\n"
}

/// Lines of `rows`, those in the path below what they see of a frame; `numbers` writes what follows the
/// name of a row.
fn grouped<T>(
    text: &mut String,
    rows: &[T],
    row_of: impl Fn(&T) -> &Row,
    numbers: impl Fn(&mut String, &T),
) {
    let mut before = None;
    for of in rows {
        let row = row_of(of);
        if let (Some(view), false) = (row.view, row.alone || before == row.view) {
            let mut like = rows
                .iter()
                .map(&row_of)
                .filter(|other| other.view == row.view);
            let _ = writeln!(
                text,
                "  {}",
                looked_at(view, like.find_map(|other| other.mpx))
            );
        }
        before = row.view;
        let _ = write!(text, "{:<NAME$}", name(row));
        numbers(text, of);
        text.push('\n');
    }
}

fn percentiles(text: &mut String, row: &Row) {
    for us in row.percentiles() {
        let _ = write!(text, "{us:>NUMBER$.1}");
    }
}

fn name(row: &Row) -> String {
    match (row.alone, row.view) {
        (true, Some(view)) => format!("  {}, {} ({})", row.stage, view.name(), row.cache.name()),
        (true, None) => format!("  {} ({})", row.stage, row.cache.name()),
        (false, _) => format!("    {}", row.stage),
    }
}

/// `whole panel, 0.52 Mpx`
fn looked_at(view: View, mpx: Option<f64>) -> String {
    let words = match view {
        View::Crop => "crop",
        View::Whole => "whole panel",
    };
    match mpx {
        Some(mpx) => format!("{words}, {mpx:.2} Mpx"),
        None => words.into(),
    }
}
