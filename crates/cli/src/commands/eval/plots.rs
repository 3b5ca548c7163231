//! The figures as drawings: SVG, which needs no font of ours.

use std::path::Path;

use anyhow::{Result, anyhow};
use hitgate_core::verdict::Class;
use hitgate_import::calibration::Reliability;
use hitgate_import::metrics::{Confusion, Filtered};
use hitgate_import::roc::RocPoint;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::figures::Figures;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (720, 560);
const FONT: &str = "sans-serif";
const TEXT: (&str, u32) = (FONT, 16);
const TITLE: (&str, u32) = (FONT, 20);
const MARGIN: u32 = 16;
const LABELS: u32 = 56;
/// Hit, maybe, miss, in colours that the colour-blind tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 3] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
];
/// Of everything that is kept, and of a counter of spots.
const WANTED: RGBColor = RGBColor(0, 158, 115);
const COUNTER: RGBColor = RGBColor(204, 121, 167);
/// Bins of the histogram of scores.
const SCORE_BINS: usize = 40;

/// Draws the figures of all frames into `folder`: `roc.svg`, `reliability.svg`, `confusion.svg` and
/// `scores.svg`.
pub fn write(folder: &Path, all: &Figures, threshold: f64) -> Result<()> {
    draw(&folder.join("roc.svg"), |area| draw_roc(area, all))?;
    draw(&folder.join("reliability.svg"), |area| {
        draw_reliability(area, all)
    })?;
    draw(&folder.join("confusion.svg"), |area| {
        draw_confusion(area, all.confusion)
    })?;
    draw(&folder.join("scores.svg"), |area| {
        draw_scores(area, all, threshold)
    })
}

fn draw(path: &Path, figure: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    let drawn = || -> Result<()> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        figure(&area)?;
        Ok(area.present()?)
    };
    drawn().map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

/// Shares kept against the share of misses kept, whose axis is logarithmic: what a filter is for
/// happens at its left end.
fn draw_roc(area: &Area<'_>, all: &Figures) -> Result<()> {
    let Filtered {
        hits_kept,
        wanted_kept,
        misses_dropped,
    } = all.deciding.filtered;
    let misses = misses_dropped.n.max(1) as f64;
    // Half a miss stands for none, which a logarithm has no place for.
    let x = |misses_kept: u64| (misses_kept as f64).max(0.5) / misses;
    let title = match all.auc {
        Some(auc) => format!("ROC, area {auc:.4}"),
        None => "ROC".into(),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title, TITLE)
        .margin(MARGIN)
        .x_label_area_size(LABELS)
        .y_label_area_size(LABELS)
        .build_cartesian_2d((x(0)..1.0).log_scale(), 0.0..1.0)?;
    chart
        .configure_mesh()
        .label_style(TEXT)
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
        let at = &counted.own.at.filtered;
        let here = (x(dropped(at)), at.wanted_kept.fraction());
        chart
            .draw_series([Cross::new(here, 6, COUNTER.stroke_width(2))])?
            .label(format!("{}: hits or maybes", counted.name))
            .legend(|(x, y)| Cross::new((x + 10, y), 6, COUNTER.stroke_width(2)));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

fn draw_reliability(area: &Area<'_>, all: &Figures) -> Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption("Reliability: what came true of what was stated", TITLE)
        .margin(MARGIN)
        .x_label_area_size(LABELS)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .label_style(TEXT)
        .max_light_lines(2)
        .x_desc("stated probability, mean of a bin")
        .y_desc("fraction that came true")
        .draw()?;
    let diagonal = [(0.0, 0.0), (1.0, 1.0)];
    chart.draw_series(LineSeries::new(diagonal, BLACK.mix(0.4)))?;
    let diagrams: [(&str, RGBColor, &Reliability); 2] = [
        ("hit or maybe", WANTED, &all.keep_reliability),
        ("the class called", COLOURS[0], &all.class_reliability),
    ];
    for (label, colour, reliability) in diagrams {
        let bins = reliability.bins.iter().filter(|bin| bin.weight > 0.0);
        let points: Vec<_> = bins.map(|bin| (bin.confidence(), bin.accuracy())).collect();
        let error = reliability.error().unwrap_or(f64::NAN);
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(4))?
            .label(format!("{label}, ECE {error:.3}"))
            .legend(move |at| swatch(at, colour));
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

fn draw_confusion(area: &Area<'_>, Confusion(rows): Confusion) -> Result<()> {
    let area = area.titled("Frames by label and class called", TITLE)?;
    let (width, height) = area.dim_in_pixel();
    let (left, top) = (140, 60);
    let cell = (
        (width as i32 - left - 40) / 3,
        (height as i32 - top - 20) / 3,
    );
    let centred = TextStyle::from((FONT, 18)).pos(Pos::new(HPos::Center, VPos::Center));
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
            (centre(at, 0).0, top - 24),
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
            let words = format!("{count}  ({:.1} %)", 100.0 * share);
            area.draw_text(&words, &centred.color(ink), centre(column, row))?;
        }
    }
    Ok(())
}

/// Frames of each label by their probability to be kept; a logarithmic axis shows the few on the
/// wrong side.
fn draw_scores(area: &Area<'_>, all: &Figures, threshold: f64) -> Result<()> {
    let mut counts = [[0u32; SCORE_BINS]; 3];
    for frame in &all.scored {
        let bin = (frame.keep() * SCORE_BINS as f64) as usize;
        counts[frame.truth as usize][bin.min(SCORE_BINS - 1)] += 1;
    }
    let most = counts.iter().flatten().copied().max().unwrap_or(1);
    let mut chart = ChartBuilder::on(area)
        .caption("Scores by label", TITLE)
        .margin(MARGIN)
        .x_label_area_size(LABELS)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..1.0, (0.5..2.0 * f64::from(most)).log_scale())?;
    chart
        .configure_mesh()
        .label_style(TEXT)
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
    legend(&mut chart, SeriesLabelPosition::UpperMiddle)
}

/// A piece of a line in a legend.
fn swatch((x, y): (i32, i32), colour: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2))
}

fn legend<'a, C: CoordTranslate>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, C>,
    position: SeriesLabelPosition,
) -> Result<()> {
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.4))
        .label_font(TEXT)
        .draw()?;
    Ok(())
}
