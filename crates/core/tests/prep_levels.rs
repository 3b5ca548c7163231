//! The preparation equals its definition on every level of this machine: `PREP.md` in plain loops,
//! which nobody optimises, on frames and settings drawn at random.

use half::f16;
use hitgate_core::correct::Correction;
use hitgate_core::frame::{Compression, Fault, Frame, FrameHeader, PixelType};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_formats::bitshuffle::{encode_in_blocks, encode_lz4};
use hitgate_kernels::Level;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[derive(Clone, Debug)]
struct Case {
    pixel_type: PixelType,
    columns: u32,
    rows: u32,
    window: Window,
    reduce: Reduce,
    saturation: u32,
    values: Vec<i64>,
    /// Of 256 pixels so many are masked; `None` is no mask.
    masked: Option<u8>,
    corrected: bool,
    /// Of 256 pixels so many are bright.
    bright: u8,
    seed: u64,
    /// How it is compressed, in blocks of so many times eight pixels.
    packed: (Compression, usize),
}

/// A number for each index, the same every time.
fn random(seed: u64, index: usize) -> u64 {
    let x = (index as u64)
        .wrapping_add(seed)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ x >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ x >> 32
}

/// The maps of a correction.
struct Maps {
    pedestals: [Vec<u16>; 3],
    gains: [Vec<f16>; 3],
}

impl Case {
    fn pixels(&self) -> usize {
        (self.columns * self.rows) as usize
    }

    /// The words that pixels store.
    fn word(&self, i: usize) -> u32 {
        let x = random(self.seed, i);
        match x as u8 {
            n if n < self.bright => (x >> 20) as u32 >> (x >> 8 & 31),
            _ => (x >> 8 & 3) as u32,
        }
    }

    fn payload(&self) -> Vec<u8> {
        let size = self.pixel_type.size();
        let bytes = |i| self.word(i).to_le_bytes().into_iter().take(size);
        (0..self.pixels()).flat_map(bytes).collect()
    }

    fn stored(&self, i: usize) -> i64 {
        let word = self.word(i);
        match self.pixel_type {
            PixelType::U8 => i64::from(word as u8),
            PixelType::U16 => i64::from(word as u16),
            PixelType::U32 => i64::from(word),
            PixelType::I16 => i64::from(word as i16),
            PixelType::I32 => i64::from(word as i32),
        }
    }

    fn mask(&self) -> Option<Vec<u8>> {
        let masked = self.masked?;
        let mut bits = vec![0; self.pixels().div_ceil(8)];
        for i in (0..self.pixels()).filter(|&i| (random(!self.seed, i) as u8) < masked) {
            bits[i / 8] |= 1 << (i % 8);
        }
        Some(bits)
    }

    fn maps(&self) -> Maps {
        let numbers = |salt: u64| (0..self.pixels()).map(move |i| random(salt, i));
        let gains = [0.05, -0.5, -8.0];
        Maps {
            pedestals: [10, 11, 12].map(|s| numbers(s).map(|x| (x % 30_000) as u16).collect()),
            gains: [0, 1, 2].map(|s| {
                let gain = |x: u64| match x % 50 {
                    0 => f16::NAN,
                    x => f16::from_f32(gains[s] * (1.0 + x as f32 / 500.0)),
                };
                numbers(20 + s as u64).map(gain).collect()
            }),
        }
    }

    /// Section 2: the count of pixel `i`, unless it is excluded.
    fn count(&self, i: usize, mask: Option<&[u8]>, maps: &Maps) -> Option<i64> {
        if mask.is_some_and(|bits| bits[i / 8] >> (i % 8) & 1 == 1) {
            return None;
        }
        let saturation = i64::from(self.saturation);
        if self.corrected {
            let word = self.stored(i);
            let stage = [Some(0), Some(1), None, Some(2)][(word >> 14) as usize]?;
            let gain = maps.gains[stage][i].to_f32();
            let quarters = 4 * (word & 0x3FFF) - i64::from(maps.pedestals[stage][i]);
            let sixteenths = quarters as f32 * gain * 4.0;
            return (!sixteenths.is_nan())
                .then(|| (sixteenths.round_ties_even().max(0.0) as i64).min(saturation));
        }
        let stored = self.stored(i);
        (!self.values.contains(&stored)).then(|| stored.max(0).min(saturation))
    }

    /// The chunk that a detector sends in place of the pixels.
    fn chunk(&self) -> Vec<u8> {
        let (compression, groups) = self.packed;
        let size = self.pixel_type.size();
        let block = groups * 8 * size;
        match compression {
            Compression::Lz4 => encode_lz4(block, &self.payload()),
            Compression::BitshuffleLz4 => encode_in_blocks(size, block, &self.payload()),
        }
    }

    /// The map of the frame, and of the same frame where it comes compressed.
    fn found(&self, level: Level) -> [Result<Vec<u8>, Fault>; 2] {
        [None, Some(self.packed.0)].map(|compression| self.map(level, compression))
    }

    fn map(&self, level: Level, compression: Option<Compression>) -> Result<Vec<u8>, Fault> {
        let (mask, maps) = (self.mask(), self.maps());
        let pedestals = [0, 1, 2].map(|stage| &maps.pedestals[stage][..]);
        let gains = [0, 1, 2].map(|stage| &maps.gains[stage][..]);
        let correction = [Correction::new(pedestals, gains, self.pixels()).unwrap()];
        let preparation = Preparation {
            columns: self.columns,
            rows: self.rows,
            pixel_type: self.pixel_type,
            window: self.window,
            reduce: self.reduce,
            saturation: self.saturation,
            mask: mask.as_ref().map_or(Mask::NONE, |bits| {
                Mask::new(bits, self.columns, self.rows).unwrap()
            }),
            mask_values: MaskValues::from_slice(&self.values).unwrap(),
            corrections: if self.corrected { &correction } else { &[] },
            compressed: compression.is_some(),
        };
        let payload = match compression {
            None => self.payload(),
            Some(_) => self.chunk(),
        };
        let header = FrameHeader::new(self.rows as u16, self.columns as u16, self.pixel_type);
        let frame = Frame {
            header: header.with_payload(compression, payload.len() as u32),
            pixel_type: self.pixel_type,
            payload: &payload,
        };
        let mut words = vec![self.seed as u32; preparation.words()];
        let mut map = vec![255; preparation.map_bytes()];
        preparation
            .run(level, &frame, &mut words, &mut map)
            .map(|_| map)
    }

    /// `PREP.md`, step by step.
    fn expected(&self) -> Result<Vec<u8>, Fault> {
        let (mask, maps) = (self.mask(), self.maps());
        let Window {
            left,
            top,
            block,
            input,
            radius,
        } = self.window;
        let [k, n] = [block, input].map(i64::from);
        let counts: Vec<Option<i64>> = (0..self.pixels())
            .map(|i| self.count(i, mask.as_deref(), &maps))
            .collect();
        let inside = |x: i64, y: i64| {
            let [u, v] = [x - i64::from(left), y - i64::from(top)];
            let in_window = (0..k * n).contains(&u) && (0..k * n).contains(&v);
            let [columns, rows] = [self.columns, self.rows].map(i64::from);
            in_window && (0..columns).contains(&x) && (0..rows).contains(&y)
        };
        let count = |x: i64, y: i64| match inside(x, y) {
            true => counts[(y * i64::from(self.columns) + x) as usize],
            false => None,
        };
        let seen = |u: i64, v: i64| {
            let [du, dv] = [u, v].map(|at| i128::from((2 * at + 1 - n) * k));
            let reach = 2 * i128::from(radius);
            radius == Window::EVERYWHERE || du * du + dv * dv <= reach * reach
        };
        // The places of a cell's block on the panel.
        let places = |u: i64, v: i64| {
            let part = |from: i32, at: i64, len: u32| {
                let start = i64::from(from) + at * k;
                start.max(0)..(start + k).min(i64::from(len))
            };
            let xs = part(left, u, self.columns);
            part(top, v, self.rows).flat_map(move |y| xs.clone().map(move |x| (x, y)))
        };
        let cells = |of: &dyn Fn(i64, i64) -> i64| -> Vec<Option<i64>> {
            let cell = |i| {
                let (u, v) = (i % n, i / n);
                let valid = seen(u, v) && places(u, v).any(|(x, y)| count(x, y).is_some());
                valid.then(|| of(u, v))
            };
            (0..n * n).map(cell).collect()
        };
        let block_counts = |u, v| places(u, v).filter_map(move |(x, y)| count(x, y));
        let nine = |x: i64, y: i64| -> Vec<i64> {
            let near = (-1..=1).flat_map(|v| (-1..=1).map(move |u| (x + u, y + v)));
            near.filter_map(|(x, y)| Some(count(x, y)?.min(65535)))
                .collect()
        };
        let sum = |x, y| nine(x, y).iter().sum::<i64>();
        let rest = |x, y| sum(x, y) - nine(x, y).into_iter().max().unwrap_or(0);
        let channels = match self.reduce {
            Reduce::Maximum => {
                let cell = |u, v| block_counts(u, v).max().unwrap_or(0).min(65535);
                vec![ranks(&cells(&cell))]
            }
            Reduce::Mean => {
                let cell = |u, v| {
                    let (sum, m) = block_counts(u, v).fold((0, 0), |(s, m), c| (s + c, m + 1));
                    ((16 * sum + m / 2) / m).min(65535)
                };
                vec![ranks(&cells(&cell))]
            }
            Reduce::Peaks => {
                let largest_sum = |u, v| places(u, v).map(|(x, y)| sum(x, y)).max().unwrap_or(0);
                let largest_rest = |u, v| places(u, v).map(|(x, y)| rest(x, y)).max().unwrap_or(0);
                vec![
                    contrast(&cells(&largest_sum), n),
                    contrast(&cells(&largest_rest), n),
                ]
            }
        };
        let cells = (0..(n * n) as usize).map(|i| channels.iter().map(move |c| c[i]));
        let map: Option<Vec<u8>> = cells
            .flatten()
            .map(|level| level.map(|l| l.unwrap_or(0)))
            .collect();
        map.ok_or(Fault::NoValidPixel)
    }
}

/// Levels, `None` for an invalid cell; nothing where all are invalid.
type Levels = Vec<Option<Option<u8>>>;

/// Section 6.
fn ranks(cells: &[Option<i64>]) -> Levels {
    let valid = cells.iter().flatten().count();
    let level = |cell: &Option<i64>| {
        let below = |cell: i64| {
            cells
                .iter()
                .flatten()
                .filter(|&&other| other <= cell)
                .count()
        };
        (valid > 0).then(|| cell.map(|cell| (127 * below(cell) / valid) as u8))
    };
    cells.iter().map(level).collect()
}

/// Section 5.
fn contrast(cells: &[Option<i64>], n: i64) -> Levels {
    let near = |of: &[Option<i64>], i: i64, reach: i64| -> Vec<i64> {
        let (u, v) = (i % n, i / n);
        let axis = |at: i64| (at - reach).max(0)..(at + reach + 1).min(n);
        let places = axis(v).flat_map(|v| axis(u).map(move |u| v * n + u));
        places.filter_map(|i| of[i as usize]).collect()
    };
    let y: Vec<Option<i64>> = (cells.iter())
        .map(|cell| cell.map(|cell| (512 * (8 * cell + 3)).isqrt()))
        .collect();
    let d: Vec<Option<i64>> = (0..n * n)
        .map(|i| {
            let near = near(&y, i, 3);
            let m = near.len() as i64;
            y[i as usize].map(|y| y - (near.iter().sum::<i64>() + m / 2) / m)
        })
        .collect();
    let valid = d.iter().flatten().count() as i64;
    let sizes = d.iter().flatten().map(|d| d.abs()).sum::<i64>();
    let mean = ((sizes + valid - 1) / valid.max(1)).max(13);
    let cut: Vec<_> = (d.iter())
        .map(|d| d.map(|d| d.abs().min(4 * mean)))
        .collect();
    let level = |i: i64| {
        let near = near(&cut, i, 8);
        let m = near.len() as i64;
        let unit = near.iter().sum::<i64>().max(13 * m);
        let level = |d: i64| (24 + (8 * d * m).div_euclid(unit)).clamp(1, 127) as u8;
        (valid > 0).then(|| d[i as usize].map(level))
    };
    (0..n * n).map(level).collect()
}

/// Windows of small blocks that reach over a panel on any side, of blocks that are wider than it, or of
/// any numbers at all.
fn window() -> impl Strategy<Value = Window> {
    let narrow = (1u32..=20, 1u32..=20, -60i32..=40, -60i32..=40);
    let wide = (
        prop_oneof![1200u32..=1400, 2000u32..=2300, 1u32 << 20..1 << 30],
        1u32..=3,
        prop_oneof![-1500i32..=300, -(1 << 20)..=0],
        prop_oneof![-1500i32..=20, -(1 << 20)..=0],
    );
    let corner = || prop_oneof![Just(i32::MIN), Just(i32::MAX), any::<i32>(), -9i32..9];
    let block = prop_oneof![Just(0), Just(u32::MAX), any::<u32>(), 1u32..9];
    let any_at_all = (block, 1u32..=3, corner(), corner());
    let radius = prop_oneof![3 => Just(Window::EVERYWHERE), 2 => 0u32..200, 1 => 200u32..2000];
    (prop_oneof![6 => narrow, 1 => wide, 1 => any_at_all], radius).prop_map(
        |((block, input, left, top), radius)| Window {
            left,
            top,
            block,
            input,
            radius,
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let shape = prop_oneof![4 => (1u32..=150, 1u32..=60), 1 => (600u32..=3000, 1u32..=8)];
    let pixel_type = prop_oneof![
        Just(PixelType::U8),
        Just(PixelType::U16),
        Just(PixelType::U32),
        Just(PixelType::I16),
        Just(PixelType::I32),
    ];
    let reduce = prop_oneof![
        2 => Just(Reduce::Peaks),
        1 => Just(Reduce::Maximum),
        1 => Just(Reduce::Mean)
    ];
    let saturation = prop_oneof![Just(u32::MAX), 0u32..100, 1u32 << 15..1 << 17];
    let value = prop_oneof![
        0i64..4,
        Just(-1),
        Just(255),
        Just(65535),
        Just(u32::MAX.into()),
        any::<i64>()
    ];
    let values = prop::collection::vec(value, 0..=8);
    let masked = prop::option::of(prop_oneof![0u8..20, 200u8..=255]);
    let content = (masked, prop::bool::weighted(0.5), any::<u8>(), any::<u64>());
    let compression = prop_oneof![
        1 => Just(Compression::Lz4),
        2 => Just(Compression::BitshuffleLz4)
    ];
    let packed = (compression, prop_oneof![3 => 1usize..40, 1 => Just(512)]);
    (
        shape,
        pixel_type,
        window(),
        reduce,
        saturation,
        values,
        content,
        packed,
    )
        .prop_map(
            |((columns, rows), pixel_type, window, reduce, saturation, values, content, packed)| {
                let (masked, corrected, bright, seed) = content;
                Case {
                    pixel_type,
                    columns,
                    rows,
                    window,
                    reduce,
                    saturation,
                    values,
                    masked,
                    corrected: corrected && pixel_type == PixelType::U16,
                    bright,
                    seed,
                    packed,
                }
            },
        )
}

#[test]
fn every_level_equals_the_definition() {
    let levels: Vec<Level> = Level::all_available().collect();
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    println!("CPU levels tested: {}", names.join(", "));
    for expected in hitgate_testkit::expected_levels() {
        assert!(names.contains(&expected.as_str()), "{expected} did not run");
    }
    let mut runner = TestRunner::new(ProptestConfig {
        cases: hitgate_testkit::cases(1500),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&case(), |case| {
        let expected = case.expected();
        for level in &levels {
            for found in case.found(*level) {
                prop_assert_eq!(&found, &expected, "{}", level.name());
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
}

/// No map and no memory is as large as these ask for, wherever they are asked.
#[test]
fn preparations_that_no_machine_has_room_for_are_refused() {
    let numbers = [0, 1, 5, 65_535, 65_536, 1 << 31, u32::MAX];
    let corners = [i32::MIN, -1, 0, i32::MAX];
    for input in [65_536, 1 << 31, u32::MAX] {
        for (side, block) in numbers
            .into_iter()
            .flat_map(|side| numbers.map(|block| (side, block)))
        {
            for (corner, reduce) in corners
                .into_iter()
                .flat_map(|corner| [Reduce::Peaks, Reduce::Mean].map(|reduce| (corner, reduce)))
            {
                let preparation = Preparation::plain(
                    side,
                    side,
                    PixelType::U16,
                    Window {
                        left: corner,
                        top: corner,
                        block,
                        input,
                        radius: Window::EVERYWHERE,
                    },
                    reduce,
                );
                assert!(preparation.words() > 1 << 29 && preparation.map_bytes() >= 1 << 31);
                let frame = Frame {
                    header: FrameHeader::new(1, 1, PixelType::U16),
                    pixel_type: PixelType::U16,
                    payload: &[0; 2],
                };
                for level in Level::all_available() {
                    let (words, map) = (&mut [0; 64], &mut [0; 64]);
                    let refused = preparation.run(level, &frame, words, map);
                    assert_eq!(refused, Err(Fault::Shape));
                }
            }
        }
    }
}

/// Windows as wide as the detectors', so that tiles meet inside of them.
#[test]
fn tiles_are_not_seen() {
    for (columns, rows, block, left) in [
        (1030, 9, 5, -45),
        (2068, 23, 10, -86),
        (4148, 43, 20, 3),
        (4148, 43, 19, -54),
        (1290, 7, 1, 1),
        (2700, 6, 1277, -1),
        (2700, 6, 1278, 200),
        (2700, 6, 2109, 3),
        (2700, 6, 2110, 3),
    ] {
        for reduce in [Reduce::Maximum, Reduce::Mean, Reduce::Peaks] {
            let input = (columns as u32 / block + 4).min(40);
            let case = Case {
                pixel_type: PixelType::U16,
                columns: columns as u32,
                rows,
                window: Window {
                    left: left
                        + if input == 40 {
                            columns - 20 * block as i32
                        } else {
                            0
                        },
                    top: -3,
                    block,
                    input,
                    radius: Window::EVERYWHERE,
                },
                reduce,
                saturation: u32::MAX,
                values: vec![2],
                masked: Some(10),
                corrected: false,
                bright: 20,
                seed: 5,
                packed: (Compression::BitshuffleLz4, 512),
            };
            let expected = case.expected();
            for level in Level::all_available() {
                for found in case.found(level) {
                    assert_eq!(found, expected, "{}: {case:?}", level.name());
                }
            }
        }
    }
}
