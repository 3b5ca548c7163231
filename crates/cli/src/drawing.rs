//! Drawings: SVG, which needs no font of ours.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

/// What is drawn on.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The letters of all drawings.
pub const FONT: &str = "sans-serif";

/// How large a drawing is, and what is in it, in pixels.
#[derive(Clone, Copy)]
pub struct Look {
    /// Width and height.
    pub size: (u32, u32),
    /// Letters.
    pub text: u32,
    /// Letters of the title.
    pub title: u32,
    /// Free space around.
    pub margin: u32,
    /// Beside an axis, for its numbers and its name.
    pub labels: u32,
    /// Numbers on an axis, about.
    pub ticks: usize,
    /// Whether it says what its colours mean.
    pub legend: bool,
}

/// A drawing on a page of its own.
pub const PAGE: Look = Look {
    size: (720, 560),
    text: 16,
    title: 20,
    margin: 16,
    labels: 56,
    ticks: 10,
    legend: true,
};

/// Colours that the colour-blind tell apart (Okabe and Ito).
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub const SKY: RGBColor = RGBColor(86, 180, 233);
/// For as many curves as there are.
pub const MANY: [RGBColor; 7] = [BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK];

/// Draws `figure` into the file at `path`.
pub fn draw(
    path: &Path,
    size: (u32, u32),
    figure: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<()> {
    let drawn = || -> Result<()> {
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        figure(&area)?;
        Ok(area.present()?)
    };
    drawn().map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

/// A piece of a line in a legend.
pub fn swatch((x, y): (i32, i32), colour: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2))
}

impl Look {
    /// A chart with a caption, and room for its axes.
    pub fn chart<'a, 'b>(
        &self,
        area: &'a Area<'b>,
        caption: &str,
    ) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
        let mut chart = ChartBuilder::on(area);
        chart
            .caption(caption, (FONT, self.title))
            .margin(self.margin)
            .x_label_area_size(self.labels)
            .y_label_area_size(self.labels + self.text);
        chart
    }

    /// Says what the series are, where this look has a legend.
    pub fn legend<'a, C: CoordTranslate>(
        &self,
        chart: &mut ChartContext<'a, SVGBackend<'a>, C>,
        position: SeriesLabelPosition,
    ) -> Result<()> {
        if self.legend {
            chart
                .configure_series_labels()
                .position(position)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.4))
                .label_font((FONT, self.text))
                .draw()?;
        }
        Ok(())
    }
}
