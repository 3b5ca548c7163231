//! Pictures in colour with words on them, written as PNG.

use std::convert::Infallible;
use std::path::Path;

use anyhow::{Context, Result};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_6X10;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Circle, PrimitiveStyle};
use embedded_graphics::text::{Baseline, Text};
use hitgate_formats::write::WholeFile;

/// Pixels of a letter, with the space about it.
pub const LETTER: [usize; 2] = [6, 12];

/// Rows of pixels, red, green and blue.
pub struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Canvas {
    /// White.
    pub fn new(width: usize, height: usize) -> Self {
        Canvas {
            width,
            height,
            rgb: vec![255; width * height * 3],
        }
    }

    /// Fills a square of `side` pixels from `[left, top]` on, each with the colour that `colour`
    /// gives to its place in the square.
    pub fn square(
        &mut self,
        [left, top]: [usize; 2],
        side: usize,
        colour: impl Fn(usize, usize) -> [u8; 3],
    ) {
        for y in 0..side {
            for x in 0..side {
                self.set(left + x, top + y, colour(x, y));
            }
        }
    }

    /// Writes a line of ASCII, black, whose upper left corner is at `[left, top]`.
    pub fn text(&mut self, [left, top]: [usize; 2], line: &str) {
        let style = MonoTextStyle::new(&FONT_6X10, Rgb888::BLACK);
        let at = Point::new(left as i32, top as i32);
        let Ok(_) = Text::with_baseline(line, at, style, Baseline::Top).draw(self);
    }

    /// Draws a circle in `colour`.
    pub fn circle(&mut self, [x, y]: [f64; 2], radius: f64, [r, g, b]: [u8; 3]) {
        let style = PrimitiveStyle::with_stroke(Rgb888::new(r, g, b), 1);
        let centre = Point::new(x.round() as i32, y.round() as i32);
        let circle = Circle::with_center(centre, (2.0 * radius).round() as u32);
        let Ok(()) = circle.into_styled(style).draw(self);
    }

    /// Writes the picture.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, path: &Path) -> Result<()> {
        let written = || -> Result<()> {
            let mut file = WholeFile::create(path)?;
            let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.rgb)?;
            writer.finish()?;
            Ok(file.finish()?)
        };
        written().with_context(|| format!("cannot write {}", path.display()))
    }

    fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        if x < self.width && y < self.height {
            self.rgb[3 * (y * self.width + x)..][..3].copy_from_slice(&colour);
        }
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) {
                self.set(x, y, [colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}
