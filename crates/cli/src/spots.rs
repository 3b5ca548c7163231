//! The spot counter, for frames of files and of the simulator: the classical baseline.

use anyhow::Result;
use clap::Args;
use hitgate_core::frame::{Fault, Frame};
use hitgate_core::prep::{Preparation, Reduce, Window};
use hitgate_formats::geometry::{Geometry, window};
use hitgate_sim::{D_WATER, Simulated};
use hitgate_spots::{Beam, Buffers, Counter, CounterError, Ring, Settings};

use crate::module::Input;

/// What makes a spot, as the command line says it.
#[derive(Args, Clone, Debug)]
pub struct SettingsArgs {
    /// Counts above the mean of its ring about the beam that a pixel needs at least
    #[arg(long, value_name = "COUNTS", default_value_t = Settings::default().threshold, value_parser = number, help_heading = SPOTS)]
    threshold: f32,
    /// Multiple of the noise that a pixel needs in its ring, and a spot in its surroundings
    #[arg(long, value_name = "SIGMAS", default_value_t = Settings::default().snr, value_parser = number, help_heading = SPOTS)]
    snr: f32,
    /// Fewest pixels of a spot
    #[arg(long, value_name = "N", default_value_t = Settings::default().min_pixels, value_parser = clap::value_parser!(u32).range(1..), help_heading = SPOTS)]
    min_pixels: u32,
    /// Most pixels of a spot
    #[arg(long, value_name = "N", default_value_t = Settings::default().max_pixels, value_parser = clap::value_parser!(u32).range(1..), help_heading = SPOTS)]
    max_pixels: u32,
    /// How far the local background reaches beyond a spot, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = Settings::default().local_radius, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = SPOTS)]
    local_radius: u32,
}

const SPOTS: &str = "Spots";

fn number(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        _ => Err("a number from 0 to 1e9 is needed".into()),
    }
}

impl SettingsArgs {
    /// The settings.
    pub const fn settings(&self) -> Settings {
        Settings {
            threshold: self.threshold,
            snr: self.snr,
            min_pixels: self.min_pixels,
            max_pixels: self.max_pixels,
            local_radius: self.local_radius,
        }
    }
}

/// The same settings, for frames whose photons the preparation makes `unit` counts of.
pub fn in_units(settings: &Settings, unit: f32) -> Settings {
    Settings {
        threshold: settings.threshold * unit,
        ..*settings
    }
}

/// What a counter asks of the preparation: the water ring. It makes no map.
pub const INPUT: Input = Input {
    size: 1,
    d_water: D_WATER,
    reduce: Reduce::Maximum,
};

/// Where spots are looked for: within the water ring, or on the whole panel where no geometry places
/// it.
pub fn beam(geometry: Option<&Geometry>, columns: u32, rows: u32) -> Beam {
    match window(geometry, columns, rows, INPUT.d_water, INPUT.size) {
        (_, Some(placed)) => Beam {
            center: placed.beam_center_px,
            within: placed.radius_px(INPUT.d_water),
        },
        (_, None) => Beam::of_panel(columns, rows),
    }
}

/// Memory that compressed frames are decoded in: a counter reads pixels.
#[derive(Default)]
pub struct Decoded(Vec<u32>);

impl Decoded {
    /// The frame with all of its pixels, of which a counter may see more than a window.
    ///
    /// # Errors
    /// Those of [`Preparation::decode`].
    pub fn whole<'f>(
        &'f mut self,
        preparation: &Preparation<'_>,
        frame: &Frame<'f>,
    ) -> Result<Frame<'f>, Fault> {
        let whole = Preparation {
            window: Window::whole(preparation.columns, preparation.rows, 1),
            ..preparation.clone()
        };
        self.0.resize(whole.decode_words(), 0);
        let (frame, _) = whole.decode(frame, &mut self.0)?;
        Ok(frame)
    }
}

/// Memory that a thread keeps between counters.
#[derive(Default)]
pub struct CounterMemory {
    of: Vec<u16>,
    rings: Vec<Ring>,
    counts: Vec<u32>,
}

impl CounterMemory {
    /// A counter for frames of this preparation, in this memory.
    pub fn counter(
        &mut self,
        preparation: &Preparation<'_>,
        beam: &Beam,
    ) -> Result<Counter<'_>, CounterError> {
        let needs = Counter::memory(preparation, beam);
        self.of.resize(needs.pixels, 0);
        self.rings.resize(needs.rings, Ring::default());
        self.counts.resize(needs.pixels, 0);
        let buffers = Buffers {
            of: &mut self.of,
            rings: &mut self.rings,
            counts: &mut self.counts,
        };
        Counter::new(preparation, beam, buffers)
    }

    /// The spots of a simulated frame by each of the settings, from what the filter is told of the
    /// frame. One without a valid pixel has none.
    ///
    /// # Errors
    /// Where the frame has too many pixels for a counter.
    pub fn simulated(
        &mut self,
        frame: &Simulated,
        settings: &[Settings],
    ) -> Result<Vec<u32>, CounterError> {
        let beam = beam(frame.announced.as_ref(), frame.columns, frame.rows);
        let preparation = frame.preparation(INPUT.size, INPUT.reduce);
        let mut counter = self.counter(&preparation, &beam)?;
        let mut spots = vec![0; settings.len()];
        let counted = counter.count_each(&preparation, &frame.as_frame(), settings, &mut spots);
        // Without a valid pixel nothing was written.
        Ok(counted.map_or(vec![0; settings.len()], |()| spots))
    }
}
