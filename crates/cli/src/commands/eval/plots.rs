//! The figures as drawings.

use std::path::Path;

use anyhow::Result;
use hitgate_core::verdict::Class;
use hitgate_import::calibration::{Bin, Reliability};
use hitgate_import::metrics::{Confusion, Filtered};
use hitgate_import::roc::RocPoint;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figures::Figures;
use crate::drawing::{
    Area, BLUE, FONT, GREEN, Look, ORANGE, PAGE, PURPLE, VERMILION, draw, swatch,
};

/// One of many on a page; the first of them has the legend of all.
const TILE: Look = Look {
    size: (380, 300),
    text: 12,
    title: 14,
    margin: 8,
    labels: 36,
    ticks: 5,
    legend: false,
};
/// Tiles side by side.
const COLUMNS: usize = 4;

/// Hit, maybe, miss.
const COLOURS: [RGBColor; 3] = [BLUE, ORANGE, VERMILION];
/// Of everything that is kept, and of a counter of spots.
const WANTED: RGBColor = GREEN;
const COUNTER: RGBColor = PURPLE;
/// Bins of the histogram of scores.
const SCORE_BINS: usize = 40;

/// Draws the figures into `folder`: of all frames `roc.svg`, `reliability.svg`, `confusion.svg` and
/// `scores.svg`, and, where there are several sets, one beside the other in `roc-sets.svg` and so on.
pub fn write(folder: &Path, sets: &[Figures], threshold: f64) -> Result<()> {
    let scores =
        |area: &Area<'_>, figures: &Figures, look| draw_scores(area, figures, look, threshold);
    let kinds: [(&str, &Draw<'_>); 4] = [
        ("roc", &draw_roc),
        ("reliability", &draw_reliability),
        ("confusion", &draw_confusion),
        ("scores", &scores),
    ];
    for (name, figure) in kinds {
        let path = folder.join(format!("{name}.svg"));
        draw(&path, PAGE.size, |page| figure(page, &sets[0], PAGE))?;
        // All frames, and the only set of them, would be the same twice.
        if sets.len() > 2 {
            draw_sets(&folder.join(format!("{name}-sets.svg")), sets, figure)?;
        }
    }
    Ok(())
}

/// Draws one figure of frames.
type Draw<'d> = dyn Fn(&Area<'_>, &Figures, Look) -> Result<()> + 'd;

/// Draws the same figure of all frames and of each set.
fn draw_sets(path: &Path, sets: &[Figures], figure: &Draw<'_>) -> Result<()> {
    let rows = sets.len().div_ceil(COLUMNS);
    let size = (TILE.size.0 * COLUMNS as u32, TILE.size.1 * rows as u32);
    draw(path, size, |page| {
        let tiles = page.split_evenly((rows, COLUMNS));
        for (number, (tile, figures)) in tiles.iter().zip(sets).enumerate() {
            let legend = number == 0;
            figure(tile, figures, Look { legend, ..TILE })?;
        }
        Ok(())
    })
}

/// `ROC, eiger4m, 361 frames`, and what else there is to say.
fn caption(kind: &str, figures: &Figures, more: &str) -> String {
    let Figures { set, scored, .. } = figures;
    format!("{kind}, {set}, {} frames{more}", scored.len())
}

/// Shares kept against the share of misses kept, whose axis is logarithmic: what a filter is for
/// happens at its left end.
fn draw_roc(area: &Area<'_>, all: &Figures, look: Look) -> Result<()> {
    let Filtered {
        hits_kept,
        wanted_kept,
        misses_dropped,
    } = all.deciding.filtered;
    let misses = misses_dropped.n.max(1) as f64;
    // Half a miss stands for none, which a logarithm has no place for.
    let x = |misses_kept: u64| (misses_kept as f64).max(0.5) / misses;
    let area_under = all.auc.map(|auc| format!(", area {auc:.4}"));
    let mut chart = look
        .chart(area, &caption("ROC", all, &area_under.unwrap_or_default()))
        .build_cartesian_2d((x(0)..1.0).log_scale(), 0.0..1.0)?;
    chart
        .configure_mesh()
        .label_style((FONT, look.text))
        .x_labels(look.ticks)
        .y_labels(look.ticks)
        .max_light_lines(2)
        .x_desc("misses kept")
        .y_desc("kept")
        .x_label_formatter(&|x| format!("{x}"))
        .draw()?;
    type Of = fn(&RocPoint) -> u64;
    let curves: [(&str, RGBColor, u64, Of); 2] = [
        ("hits", COLOURS[0], hits_kept.n, |corner| corner.hits_kept),
        ("hits or maybes", WANTED, wanted_kept.n, |corner| {
            corner.wanted_kept
        }),
    ];
    for (label, colour, n, kept) in curves {
        if n == 0 {
            continue;
        }
        let points = all
            .roc
            .iter()
            .map(|corner| (x(corner.misses_kept), kept(corner) as f64 / n as f64));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(label)
            .legend(move |at| swatch(at, colour));
    }
    let dropped = |filtered: &Filtered| filtered.misses_dropped.n - filtered.misses_dropped.k;
    let at = &all.deciding.filtered;
    let here = (x(dropped(at)), at.wanted_kept.fraction());
    chart
        .draw_series([Circle::new(here, 5, WANTED.filled())])?
        .label("at the threshold")
        .legend(|(x, y)| Circle::new((x + 10, y), 5, WANTED.filled()));
    for counted in &all.counted {
        let at = &counted.own.kept.filtered;
        let here = (x(dropped(at)), at.wanted_kept.fraction());
        chart
            .draw_series([Cross::new(here, 6, COUNTER.stroke_width(2))])?
            .label(format!("{}: hits or maybes", counted.counter.name()))
            .legend(|(x, y)| Cross::new((x + 10, y), 6, COUNTER.stroke_width(2)));
    }
    look.legend(&mut chart, SeriesLabelPosition::LowerRight)
}

/// What came true of what was stated.
fn draw_reliability(area: &Area<'_>, all: &Figures, look: Look) -> Result<()> {
    let error = |of: &Reliability| of.error().map_or("–".into(), |error| format!("{error:.3}"));
    let errors = format!(
        ", ECE {} and {}",
        error(&all.keep_reliability),
        error(&all.class_reliability)
    );
    let mut chart = look
        .chart(area, &caption("reliability", all, &errors))
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .label_style((FONT, look.text))
        .x_labels(look.ticks)
        .y_labels(look.ticks)
        .max_light_lines(2)
        .x_desc("stated probability (larger: more frames)")
        .y_desc("fraction that came true")
        .draw()?;
    let diagonal = [(0.0, 0.0), (1.0, 1.0)];
    chart.draw_series(LineSeries::new(diagonal, BLACK.mix(0.4)))?;
    let diagrams: [(&str, RGBColor, &Reliability); 2] = [
        ("hit or maybe", WANTED, &all.keep_reliability),
        ("the class called", COLOURS[0], &all.class_reliability),
    ];
    let frames = all.scored.len() as f64;
    for (label, colour, reliability) in diagrams {
        let bins = reliability.bins.iter().filter(|bin| bin.weight > 0.0);
        let point = |bin: &Bin| (bin.confidence(), bin.accuracy());
        let points = bins.clone().map(point);
        chart
            .draw_series(LineSeries::new(points, colour.mix(0.5).stroke_width(1)))?
            .label(label)
            .legend(move |at| swatch(at, colour));
        // A bin of one frame or two should not be taken for one of hundreds.
        let size = |bin: &Bin| (1.5 + 8.0 * (bin.weight / frames).sqrt()) as i32;
        chart.draw_series(bins.map(|bin| Circle::new(point(bin), size(bin), colour.filled())))?;
    }
    look.legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// Frames by label and class called.
fn draw_confusion(area: &Area<'_>, all: &Figures, look: Look) -> Result<()> {
    let Confusion(rows) = all.confusion;
    let right = format!(", {:.3} right", all.confusion.accuracy().fraction());
    let title = caption("confusion", all, &right);
    let area = area.titled(&title, (FONT, look.title))?;
    let (width, height) = area.dim_in_pixel();
    let (left, top) = (6 * look.text as i32, 3 * look.text as i32);
    let margin = look.margin as i32;
    let cell = (
        (width as i32 - left - margin) / 3,
        (height as i32 - top - margin) / 3,
    );
    let centred = TextStyle::from((FONT, look.text)).pos(Pos::new(HPos::Center, VPos::Center));
    let centre = |column: i32, row: i32| {
        (
            left + cell.0 * column + cell.0 / 2,
            top + cell.1 * row + cell.1 / 2,
        )
    };
    for class in Class::ALL {
        let at = class as i32;
        area.draw_text(
            &format!("called {class}"),
            &centred,
            (centre(at, 0).0, top - look.text as i32),
        )?;
        area.draw_text(&class.to_string(), &centred, (left / 2, centre(0, at).1))?;
    }
    for (row, counts) in (0..).zip(rows) {
        let of_label: u64 = counts.iter().sum();
        for (column, count) in (0..).zip(counts) {
            let share = count as f64 / of_label.max(1) as f64;
            let corner = (left + cell.0 * column, top + cell.1 * row);
            let other = (corner.0 + cell.0, corner.1 + cell.1);
            area.draw(&Rectangle::new(
                [corner, other],
                COLOURS[0].mix(share).filled(),
            ))?;
            area.draw(&Rectangle::new([corner, other], BLACK))?;
            let ink = if share > 0.6 { &WHITE } else { &BLACK };
            let words = format!("{count} ({:.1} %)", 100.0 * share);
            area.draw_text(&words, &centred.color(ink), centre(column, row))?;
        }
    }
    Ok(())
}

/// Frames of each label by their probability to be kept; a logarithmic axis shows the few on the
/// wrong side.
fn draw_scores(area: &Area<'_>, all: &Figures, look: Look, threshold: f64) -> Result<()> {
    let mut counts = [[0u32; SCORE_BINS]; 3];
    for frame in &all.scored {
        let bin = (frame.keep() * SCORE_BINS as f64) as usize;
        counts[frame.truth as usize][bin.min(SCORE_BINS - 1)] += 1;
    }
    let most = counts.iter().flatten().copied().max().unwrap_or(1);
    let mut chart = look
        .chart(area, &caption("scores", all, ""))
        .build_cartesian_2d(0.0..1.0, (0.5..2.0 * f64::from(most)).log_scale())?;
    chart
        .configure_mesh()
        .label_style((FONT, look.text))
        .x_labels(look.ticks)
        .y_labels(look.ticks)
        .max_light_lines(2)
        .x_desc("P(hit) + P(maybe)")
        .y_desc("frames in a bin")
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for class in Class::ALL {
        let colour = COLOURS[class as usize];
        // Each bin as a step from its left edge to its right one.
        let steps = counts[class as usize]
            .iter()
            .enumerate()
            .flat_map(|(bin, &count)| {
                let height = f64::from(count).max(0.5);
                [bin, bin + 1].map(|edge| (edge as f64 / SCORE_BINS as f64, height))
            });
        chart
            .draw_series(LineSeries::new(steps, colour.stroke_width(2)))?
            .label(class.name())
            .legend(move |at| swatch(at, colour));
    }
    let line = [(threshold, 0.5), (threshold, 2.0 * f64::from(most))];
    chart
        .draw_series(LineSeries::new(line, BLACK))?
        .label("threshold")
        .legend(|at| swatch(at, BLACK));
    look.legend(&mut chart, SeriesLabelPosition::UpperMiddle)
}
