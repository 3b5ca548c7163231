//! Percentiles as a drawing.

use std::path::Path;

use anyhow::{Result, bail};
use plotters::prelude::*;

use hitgate_formats::FormatError;

use super::rows::Row;
use crate::drawing::{self, Area, FONT, PAGE, swatch};
use crate::outputs::folder_of;

/// Whether a drawing can have this name, before minutes are spent on it.
pub fn check(path: &Path) -> Result<()> {
    if !folder_of(path).is_dir() {
        let file = path.to_path_buf();
        return Err(FormatError::NoFolder { file }.into());
    }
    let kind = path.extension();
    if kind.is_none_or(|kind| !kind.eq_ignore_ascii_case("svg")) {
        let path = path.display();
        bail!("{path}: a drawing is written as SVG: name it so");
    }
    Ok(())
}

/// Draws the latency over the share of frames that it is not exceeded by, for each row.
pub fn write(path: &Path, title: &str, rows: &[Row]) -> Result<()> {
    // Of a whole table, what counts: the path and what most of it is spent on, on all cores.
    let most = rows.iter().map(|row| row.cores).max();
    let in_the_path = rows.iter().any(|row| !row.alone);
    let counts = |row: &&Row| {
        let heavy = ["prep", "net", "path"].contains(&row.stage) && !row.alone;
        Some(row.cores) == most && (heavy || !in_the_path)
    };
    let mut drawn: Vec<&Row> = rows.iter().filter(counts).collect();
    if drawn.is_empty() {
        drawn = rows.iter().collect();
    }
    drawing::draw(path, PAGE.size, |page| draw(page, title, &drawn))
}

/// Points of a curve, evenly along the axis.
const POINTS: usize = 200;
const COLOURS: usize = drawing::MANY.len();

fn draw(page: &Area<'_>, title: &str, rows: &[&Row]) -> Result<()> {
    // Nines: 1 is 90 %, 2 is 99 %, up to where one frame alone is left.
    let most = rows
        .iter()
        .map(|row| row.latencies.len())
        .max()
        .unwrap_or(1);
    let nines = (most as f64).log10().clamp(1.0, 6.0);
    let least = rows.iter().map(|row| row.us(0.0)).fold(f64::MAX, f64::min);
    let largest = rows.iter().map(|row| row.us(1.0)).fold(1.0, f64::max);
    let mut chart = PAGE
        .chart(page, title)
        .build_cartesian_2d(0.0..nines, (0.8 * least..4.0 * largest).log_scale())?;
    chart
        .configure_mesh()
        .label_style((FONT, PAGE.text))
        .x_labels(nines as usize + 1)
        .max_light_lines(2)
        .x_desc("share of frames")
        .y_desc("not slower than, µs")
        .x_label_formatter(&|nines| share(*nines))
        .y_label_formatter(&|us| format!("{us}"))
        .draw()?;
    for (number, row) in rows.iter().enumerate() {
        let colour = drawing::MANY[number % COLOURS];
        let own = (row.latencies.len() as f64).log10().min(nines);
        let points = (0..=POINTS).map(|i| {
            let nines = own * i as f64 / POINTS as f64;
            (nines, row.us(1.0 - 10_f64.powf(-nines)))
        });
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(label(row))
            .legend(move |at| swatch(at, colour));
    }
    PAGE.legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// `99.9 %`
fn share(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 10_f64.powf(-nines));
    format!(
        "{:.*} %",
        (nines.ceil() as usize).saturating_sub(2),
        percent
    )
}

fn label(row: &Row) -> String {
    let mut words = match (row.view, row.rate) {
        (None, Some(_)) => "empty filter".into(),
        (Some(view), _) => format!("{}, {}", row.stage, view.name()),
        (None, None) => row.stage.to_string(),
    };
    if row.alone {
        words += ", by itself";
    }
    if row.cores > 1 {
        words += &format!(", {} cores", row.cores);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_shares() {
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0, 4.0].map(share),
            ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
        assert!(check("a.svg".as_ref()).is_ok());
        assert!(check("a.png".as_ref()).is_err() && check("svg".as_ref()).is_err());
    }
}
