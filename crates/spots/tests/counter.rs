//! The counter on synthetic frames whose spots are known.

use hitgate_core::frame::{Fault, Frame, FrameHeader, PixelType};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_spots::{Beam, Buffers, Counted, Counter, CounterError, Ring, Settings, Spot};

const SIDE: u32 = 200;
const SETTINGS: Settings = Settings {
    threshold: 3.0,
    snr: 5.0,
    min_pixels: 2,
    max_pixels: 60,
    local_radius: 3,
};

/// A square frame under construction, and how it is to be read.
struct Scene {
    counts: Vec<f64>,
    excluded: Vec<u8>,
    beam: Beam,
    pixel_type: PixelType,
    saturation: u32,
}

impl Scene {
    /// Poisson noise, of a few or of many photons a pixel.
    fn new(background: impl Fn(f64, f64) -> f64) -> Self {
        let mut random = Random(7);
        let pixel = |i: u32| {
            let (x, y) = (f64::from(i % SIDE) + 0.5, f64::from(i / SIDE) + 0.5);
            random.poisson(background(x, y))
        };
        Scene {
            counts: (0..SIDE * SIDE).map(pixel).collect(),
            excluded: vec![0; (SIDE * SIDE).div_ceil(8) as usize],
            beam: Beam::of_panel(SIDE, SIDE),
            pixel_type: PixelType::U16,
            saturation: u32::MAX,
        }
    }

    fn flat(background: f64) -> Self {
        Scene::new(|_, _| background)
    }

    fn at(&mut self, x: u32, y: u32) -> &mut f64 {
        &mut self.counts[(y * SIDE + x) as usize]
    }

    /// A spot of 3 × 3 pixels around pixel `(x, y)`: a third of it in the middle, a twelfth in each
    /// other one. What lies off the frame is lost.
    fn spot(&mut self, x: i64, y: i64, counts: f64) {
        for (u, v) in (-1..=1).flat_map(|v| (-1..=1).map(move |u| (u, v))) {
            let on_frame = |at: i64| u32::try_from(at).ok().filter(|&at| at < SIDE);
            if let (Some(x), Some(y)) = (on_frame(x + u), on_frame(y + v)) {
                *self.at(x, y) += counts / if (u, v) == (0, 0) { 3.0 } else { 12.0 };
            }
        }
    }

    fn mask(&mut self, x: u32, y: u32) {
        let pixel = (y * SIDE + x) as usize;
        self.excluded[pixel / 8] |= 1 << (pixel % 8);
    }

    fn preparation(&self) -> Preparation<'_> {
        Preparation {
            saturation: self.saturation,
            mask: Mask::new(&self.excluded, SIDE, SIDE).expect("a bit a pixel"),
            mask_values: MaskValues::from_slice(&[251]).expect("one value"),
            ..Preparation::plain(
                SIDE,
                SIDE,
                self.pixel_type,
                Window::whole(SIDE, SIDE, 1),
                Reduce::Maximum,
            )
        }
    }

    fn payload(&self) -> Vec<u8> {
        let bytes = |&count: &f64| match self.pixel_type {
            PixelType::U8 => (count as u8).to_le_bytes().to_vec(),
            PixelType::U16 => (count as u16).to_le_bytes().to_vec(),
            PixelType::U32 => (count as u32).to_le_bytes().to_vec(),
            PixelType::I16 => (count as i16).to_le_bytes().to_vec(),
            PixelType::I32 => (count as i32).to_le_bytes().to_vec(),
        };
        self.counts.iter().flat_map(bytes).collect()
    }

    /// What `work` makes of the scene with a counter for it.
    fn counting<T>(
        &self,
        work: impl FnOnce(&mut Counter<'_>, &Preparation<'_>, &Frame<'_>) -> T,
    ) -> T {
        let preparation = self.preparation();
        let needs = Counter::memory(&preparation, &self.beam);
        // What the memory holds does not matter.
        let mut of = vec![9; needs.pixels];
        let mut rings = vec![Ring::default(); needs.rings];
        let mut counts = vec![9; needs.pixels];
        let buffers = Buffers {
            of: &mut of,
            rings: &mut rings,
            counts: &mut counts,
        };
        let mut counter = Counter::new(&preparation, &self.beam, buffers).expect("enough memory");
        let payload = self.payload();
        let frame = Frame {
            header: FrameHeader::new(SIDE as u16, SIDE as u16, self.pixel_type),
            pixel_type: self.pixel_type,
            payload: &payload,
        };
        work(&mut counter, &preparation, &frame)
    }

    fn count_into(&self, settings: &Settings, list: &mut [Spot]) -> Result<Counted, Fault> {
        self.counting(|counter, preparation, frame| {
            let first = counter.count(preparation, frame, settings, &mut []);
            let counted = counter.count(preparation, frame, settings, list);
            assert_eq!(
                first.map(|first| first.spots),
                counted.map(|counted| counted.spots),
                "one frame leaves nothing to the next"
            );
            counted
        })
    }

    fn spots(&self, settings: &Settings) -> Vec<Spot> {
        let mut list = vec![Spot::default(); 1000];
        let counted = self.count_into(settings, &mut list).expect("a sound frame");
        assert_eq!(counted.spots, counted.listed);
        list.truncate(counted.listed as usize);
        list
    }

    fn number(&self) -> usize {
        self.spots(&SETTINGS).len()
    }
}

struct Random(u64);

impl Random {
    /// From 0 to 1 (xorshift).
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// By multiplication of uniform numbers, a hundred photons at a time.
    fn poisson(&mut self, mean: f64) -> f64 {
        let mut photons = 0.0;
        let mut left = mean;
        while left > 0.0 {
            let limit = (-left.min(100.0)).exp();
            let mut product = self.uniform();
            while product > limit {
                photons += 1.0;
                product *= self.uniform();
            }
            left -= 100.0;
        }
        photons
    }
}

#[test]
fn spots_are_found_where_they_are_with_the_counts_that_they_have() {
    for background in [0.02, 1.0, 10.0, 120.0] {
        let mut scene = Scene::flat(background);
        assert_eq!(scene.number(), 0, "noise of {background} is no spot");
        let places = [
            (30, 40),
            (33, 120),
            (100, 60),
            (150, 150),
            (171, 22),
            (90, 180),
        ];
        for (x, y) in places {
            scene.spot(x, y, 1200.0 + 12.0 * background);
        }
        let spots = scene.spots(&SETTINGS);
        assert_eq!(spots.len(), places.len(), "on {background}");
        for (x, y) in places {
            let center = [x as f32 + 0.5, y as f32 + 0.5];
            let near = |spot: &&Spot| (spot.x - center[0]).hypot(spot.y - center[1]) < 0.3;
            let spot = spots.iter().find(near).expect("a spot at each place");
            assert_eq!(spot.pixels, 9);
            let expected = 1200.0 + 12.0 * background as f32;
            assert!((spot.counts / expected - 1.0).abs() < 0.15, "{spot:?}");
            assert!((spot.background - background as f32).abs() < 0.2 + 0.1 * background as f32);
            // In the dark no photon may fall around a spot: then the least noise stands in.
            if background >= 1.0 {
                let snr = spot.counts / (3.0 * background.sqrt() as f32);
                assert!((spot.snr / snr - 1.0).abs() < 0.4, "{spot:?} {snr}");
            }
        }
    }
}

#[test]
fn every_pixel_type_and_any_offset_count_alike() {
    let places = [(30, 40), (100, 60), (150, 150)];
    for pixel_type in [
        PixelType::U8,
        PixelType::U16,
        PixelType::U32,
        PixelType::I16,
        PixelType::I32,
    ] {
        for offset in [0.0, 50.0] {
            let mut scene = Scene::flat(2.0);
            scene.pixel_type = pixel_type;
            scene.counts.iter_mut().for_each(|count| *count += offset);
            for (x, y) in places {
                scene.spot(x, y, 360.0);
            }
            assert_eq!(scene.number(), places.len(), "{pixel_type:?} from {offset}");
        }
    }
}

#[test]
fn a_pixel_alone_is_a_spot_only_where_one_is_enough() {
    let mut scene = Scene::flat(1.0);
    for i in 0..20 {
        *scene.at(10 + 9 * i, 10 + 7 * i) = 5000.0;
    }
    assert_eq!(scene.number(), 0);
    let one = Settings {
        min_pixels: 1,
        threshold: 12.0,
        ..SETTINGS
    };
    assert_eq!(scene.spots(&one).len(), 20);
}

#[test]
fn pixels_that_touch_by_a_corner_are_one_spot_and_too_many_are_none() {
    let mut scene = Scene::flat(1.0);
    for i in 0..5 {
        *scene.at(50 + i, 50 + i) = 300.0;
        *scene.at(59 - i, 50 + i) = 300.0;
    }
    let spots = scene.spots(&SETTINGS);
    assert_eq!(spots.len(), 1, "a V of ten pixels, joined at its tip");
    assert_eq!(spots[0].pixels, 10);
    let fewer = Settings {
        max_pixels: 9,
        ..SETTINGS
    };
    assert_eq!(scene.spots(&fewer).len(), 0, "no part of it is a spot");
}

#[test]
fn powder_rings_and_gradients_are_no_spots() {
    let ring = |x: f64, y: f64| {
        let radius = (x - 100.0).hypot(y - 100.0);
        let line = |at: f64| (-((radius - at) / 1.5).powi(2)).exp();
        2.0 + 200.0 * line(40.0) + 90.0 * line(70.0)
    };
    let mut scene = Scene::new(ring);
    assert_eq!(scene.number(), 0, "rings about the beam");
    scene.spot(170, 100, 900.0);
    assert_eq!(scene.number(), 1, "a spot on a ring");

    let slope = Scene::new(|x, _| 5.0 + 0.2 * x);
    assert_eq!(slope.number(), 0, "brighter to one side");
    let shadow = Scene::new(|x, y| {
        if (x - 60.0).hypot(y - 90.0) < 30.0 {
            0.5
        } else {
            20.0
        }
    });
    assert_eq!(shadow.number(), 0, "a shadow");
}

#[test]
fn a_wide_glow_does_not_stand_out_of_its_surroundings() {
    // Half of a ring is bright: the ring's bar is too low for it, its surroundings are not.
    let scene = Scene::new(|x, _| if x < 40.0 { 60.0 } else { 1.0 });
    let lenient = Settings {
        max_pixels: u32::MAX,
        ..SETTINGS
    };
    assert!(
        scene.spots(&lenient).len() < 2,
        "{:?}",
        scene.spots(&lenient)
    );
}

#[test]
fn masked_pixels_and_mask_values_are_not_counted() {
    let mut scene = Scene::flat(1.0);
    scene.spot(50, 50, 600.0);
    scene.spot(100, 50, 600.0);
    for (x, y) in (49..=51).flat_map(|y| (49..=51).map(move |x| (x, y))) {
        scene.mask(x, y);
    }
    for x in 20..180 {
        // Declared no measurement, and far above everything.
        *scene.at(x, 120) = 251.0;
        *scene.at(x, 121) = 251.0;
    }
    scene.spot(60, 123, 600.0);
    let spots = scene.spots(&SETTINGS);
    let rounded: Vec<_> = spots.iter().map(|s| (s.x as u32, s.y as u32)).collect();
    assert_eq!(rounded, [(100, 50), (60, 123)]);
}

#[test]
fn an_overload_is_signal_and_clipped() {
    let mut scene = Scene::flat(1.0);
    scene.spot(50, 50, 60_000.0);
    scene.saturation = 1000;
    let spots = scene.spots(&SETTINGS);
    assert_eq!(spots.len(), 1);
    assert!((8000.0..=9000.0).contains(&spots[0].counts), "{spots:?}");
}

#[test]
fn spots_at_the_edges_count_and_those_beyond_the_water_ring_do_not() {
    let mut scene = Scene::flat(1.0);
    for (x, y) in [
        (0, 0),
        (199, 0),
        (0, 199),
        (199, 199),
        (100, 0),
        (0, 90),
        (199, 77),
    ] {
        scene.spot(x, y, 600.0);
    }
    assert_eq!(scene.number(), 7);
    scene.spot(120, 100, 600.0);
    scene.spot(100, 161, 600.0);
    scene.beam.within = Some(60.0);
    let spots = scene.spots(&SETTINGS);
    assert_eq!(spots.len(), 1);
    assert!((spots[0].x - 120.5).abs() < 0.2 && (spots[0].y - 100.5).abs() < 0.2);
}

#[test]
fn a_full_list_says_so_and_the_count_goes_on() {
    let mut scene = Scene::flat(1.0);
    for i in 0..100 {
        scene.spot(10 + 20 * (i % 10), 10 + 20 * (i / 10), 600.0);
    }
    let mut list = [Spot::default(); 7];
    let counted = scene.count_into(&SETTINGS, &mut list);
    let expected = Counted {
        spots: 100,
        listed: 7,
    };
    assert_eq!(counted, Ok(expected));
    let places = list.map(|spot| (spot.x as u32, spot.y as u32));
    assert_eq!(places, core::array::from_fn(|i| (10 + 20 * i as u32, 10)));
}

#[test]
fn what_cannot_be_counted_says_why() {
    let mut scene = Scene::flat(1.0);
    scene.excluded.fill(0xFF);
    let counted = scene.count_into(&SETTINGS, &mut []);
    assert_eq!(counted, Err(Fault::NoValidPixel));
    // No pixel is within reach of a beam that is far off.
    let mut scene = Scene::flat(1.0);
    scene.beam = Beam {
        center: [1e6, 1e6],
        within: Some(10.0),
    };
    let counted = scene.count_into(&SETTINGS, &mut []);
    assert_eq!(counted, Err(Fault::NoValidPixel));

    let scene = Scene::flat(1.0);
    let preparation = scene.preparation();
    let needs = Counter::memory(&preparation, &scene.beam);
    let mut of = vec![0; needs.pixels];
    let mut rings = vec![Ring::default(); needs.rings];
    let mut counts = vec![0; needs.pixels];
    let short = Buffers {
        of: &mut of,
        rings: &mut rings[1..],
        counts: &mut counts,
    };
    let made = Counter::new(&preparation, &scene.beam, short);
    assert_eq!(made.err(), Some(CounterError::Memory));
    let whole = Buffers {
        of: &mut of,
        rings: &mut rings,
        counts: &mut counts,
    };
    let mut counter = Counter::new(&preparation, &scene.beam, whole).expect("enough memory");
    let payload = scene.payload();
    let frame = Frame {
        header: FrameHeader::new(SIDE as u16, SIDE as u16, PixelType::U16),
        pixel_type: PixelType::U16,
        payload: &payload[2..],
    };
    let counted = counter.count(&preparation, &frame, &SETTINGS, &mut []);
    assert_eq!(counted, Err(Fault::Shape));
}

#[test]
fn counting_by_many_settings_at_once_is_counting_by_each() {
    let mut scene = Scene::new(|x, _| 0.1 + x / 20.0);
    for i in 0..12 {
        let (x, y) = (15 + 15 * i, 20 + 13 * i);
        scene.spot(x, y, 20.0 * (i + 1) as f64);
        // One pixel, and two.
        *scene.at(x as u32, 190) += 15.0 * (i + 1) as f64;
        for column in [x, x + 1] {
            *scene.at(column as u32, 5) += 15.0 * (i + 1) as f64;
        }
    }
    let with = |threshold, snr, min_pixels, local_radius| Settings {
        threshold,
        snr,
        min_pixels,
        local_radius,
        ..SETTINGS
    };
    // Neighbours of one bar in any order of sizes, other bars, and one that came before.
    let settings = [
        with(2.0, 4.0, 2, 3),
        with(2.0, 4.0, 1, 3),
        with(2.0, 4.0, 3, 3),
        with(2.0, 4.0, 3, 5),
        with(60.0, 4.0, 1, 3),
        with(2.0, 8.0, 1, 3),
        with(2.0, 4.0, 2, 3),
    ];
    let by_each = settings.map(|settings| scene.count_into(&settings, &mut []).unwrap().spots);
    assert!(
        by_each[1] > by_each[0] && by_each[0] > by_each[2],
        "{by_each:?}"
    );
    assert!(
        by_each[4] != by_each[1] && by_each[5] != by_each[1],
        "{by_each:?}"
    );
    // What the places held does not matter; a place too few leaves the last settings out.
    let mut at_once = [99; 7];
    let mut short = [99; 6];
    scene.counting(|counter, preparation, frame| {
        for spots in [&mut at_once[..], &mut short] {
            let counted = counter.count_each(preparation, frame, &settings, spots);
            assert_eq!(counted, Ok(()));
        }
    });
    assert_eq!(at_once, by_each);
    assert_eq!(short, by_each[..6]);
}
