//! Frames → maps: equal to those of the CPU's scalar level, which is held to PREP.md.

use half::f16;
use hitgate_core::correct::Correction;
use hitgate_core::frame::{Fault, Frame, FrameHeader, NO_CELL, PixelType};
use hitgate_core::net::Input;
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_cuda::memory::Constants;
use hitgate_cuda::preparation::{PreparationError, Preparations};
use hitgate_cuda::settings::{Job, NOWHERE, Totals};
use hitgate_kernels::Level;

use crate::program::{ORDERS, Order, run};

/// SplitMix64 (Steele et al. 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// Pedestals and gains of three stages.
type Maps = ([Vec<u16>; 3], [Vec<f16>; 3]);

/// A module and a frame of it.
#[derive(Debug)]
struct Case {
    pixel_type: PixelType,
    columns: u32,
    rows: u32,
    window: Window,
    saturation: u32,
    values: Vec<i64>,
    mask: Option<Vec<u8>>,
    payload: Vec<u8>,
    storage_cell: u16,
    /// By storage cell; none where pixels are counts.
    maps: Vec<Maps>,
    /// Pixels that the maps are for.
    mapped: usize,
}

const TYPES: [PixelType; 5] = [
    PixelType::U8,
    PixelType::U16,
    PixelType::U32,
    PixelType::I16,
    PixelType::I32,
];

impl Case {
    fn drawn(numbers: &mut Numbers, input: u32) -> Case {
        let [columns, rows] = match numbers.below(5) {
            0 => [600 + numbers.below(1500), 1 + numbers.below(9)],
            _ => [1 + numbers.below(150), 1 + numbers.below(80)],
        };
        let pixels = (columns * rows) as usize;
        let anywhere =
            |numbers: &mut Numbers, length| numbers.below(2 * length) as i32 - length as i32 / 2;
        let [x, y] = [anywhere(numbers, columns), anywhere(numbers, rows)];
        let [columns, rows] = [columns, rows].map(|n| n as u32);
        let window = match numbers.below(6) {
            0 => Window::whole(columns, rows, input),
            1 => Window::around(x, y, numbers.below(120) as u32, input),
            2 | 3 => Window::disc(x, y, numbers.below(60) as u32, input),
            4 => Window {
                block: numbers.pick(&[1, 255, 256, 257, 700]),
                ..Window::disc(x, y, 90, input)
            },
            // Any numbers at all.
            _ => Window {
                left: numbers.pick(&[i32::MIN, -5, 0, i32::MAX]),
                top: numbers.pick(&[i32::MIN, -5, 0, i32::MAX]),
                block: numbers.pick(&[0, 3, 1 << 31, u32::MAX]),
                input,
                radius: numbers.pick(&[0, 9, Window::EVERYWHERE]),
            },
        };
        let corrected = numbers.below(4) == 0;
        let pixel_type = if corrected {
            PixelType::U16
        } else {
            numbers.pick(&TYPES)
        };
        let bright = numbers.below(200);
        let most = numbers.pick(&[2, 4, 9, 300]);
        let payload = (0..pixels)
            .flat_map(|_| {
                let x = numbers.next();
                let word = match x & 255 < bright || corrected {
                    true => (x >> 20) as u32 >> (x >> 8 & 31),
                    false => (x >> 8) as u32 % most,
                };
                word.to_le_bytes().into_iter().take(pixel_type.size())
            })
            .collect();
        let masked = numbers.pick(&[None, None, Some(10), Some(230)]);
        let cells = if corrected {
            1 + numbers.below(3) as usize
        } else {
            0
        };
        let mapped = pixels - numbers.pick(&[0, 0, pixels / 3]);
        Case {
            pixel_type,
            columns,
            rows,
            window,
            saturation: numbers.pick(&[u32::MAX, 1, 90, 30_000, 70_000]),
            values: numbers.pick(&[
                vec![],
                vec![-1, 255, 65_535],
                vec![3, 4_294_967_295, i64::MIN, 0, 1, 2, 7, 8],
            ]),
            mask: masked.map(|of_256| {
                let byte = |numbers: &mut Numbers| {
                    (0..8).fold(0, |byte, bit| {
                        byte | u8::from(numbers.below(256) < of_256) << bit
                    })
                };
                (0..pixels.div_ceil(8)).map(|_| byte(numbers)).collect()
            }),
            payload,
            storage_cell: match cells {
                0 | 1 => NO_CELL,
                cells => numbers.below(cells as u64) as u16,
            },
            maps: (0..cells)
                .map(|_| {
                    let gain = |numbers: &mut Numbers, gain: f32| match numbers.below(50) {
                        0 => f16::NAN,
                        1 => f16::INFINITY,
                        2 => f16::from_bits(numbers.below(1024) as u16),
                        n => f16::from_f32(gain * (1.0 + n as f32 / 300.0)),
                    };
                    (
                        [30_000, 60_000, 65_536]
                            .map(|most| (0..pixels).map(|_| numbers.below(most) as u16).collect()),
                        [0.05, -0.5, -8.0].map(|g| (0..pixels).map(|_| gain(numbers, g)).collect()),
                    )
                })
                .collect(),
            mapped,
        }
    }

    fn corrections(&self) -> Vec<Correction<'_>> {
        let maps = self.maps.iter();
        maps.map(|(pedestals, gains)| {
            let pedestals = pedestals.each_ref().map(|map| &map[..]);
            Correction::new(pedestals, gains.each_ref().map(|map| &map[..]), self.mapped).unwrap()
        })
        .collect()
    }

    fn preparation<'c>(
        &'c self,
        reduce: Reduce,
        corrections: &'c [Correction<'c>],
    ) -> Preparation<'c> {
        let mask = self.mask.as_ref();
        Preparation {
            saturation: self.saturation,
            mask: mask.map_or(Mask::NONE, |bits| {
                Mask::new(bits, self.columns, self.rows).unwrap()
            }),
            mask_values: MaskValues::from_slice(&self.values).unwrap(),
            corrections,
            ..Preparation::plain(
                self.columns,
                self.rows,
                self.pixel_type,
                self.window,
                reduce,
            )
        }
    }
}

/// What a preparation makes of a frame: the map, the valid cells, and, channel by channel, the sum of the levels and how many
/// are 0.
type Prepared = (Vec<u8>, u32, Vec<(u32, u32)>);

fn channel_totals(map: &[u8], channels: usize) -> Vec<(u32, u32)> {
    let levels = |channel| map.iter().skip(channel).step_by(channels);
    let sum = |channel| levels(channel).map(|&level| u32::from(level)).sum();
    let zeros = |channel| levels(channel).filter(|level| **level == 0).count() as u32;
    (0..channels)
        .map(|channel| (sum(channel), zeros(channel)))
        .collect()
}

/// On the CPU.
fn expected(preparation: &Preparation<'_>, case: &Case) -> Result<Prepared, Fault> {
    let header = FrameHeader::new(case.rows as u16, case.columns as u16, case.pixel_type);
    let frame = Frame {
        header: FrameHeader {
            cell_id: case.storage_cell,
            ..header
        },
        pixel_type: case.pixel_type,
        payload: &case.payload,
    };
    let scalar = Level::by_name("scalar").unwrap();
    let mut words = vec![7; preparation.words()];
    let mut map = vec![255; preparation.map_bytes()];
    let found = preparation.run(scalar, &frame, &mut words, &mut map)?;
    let totals = channel_totals(&map, preparation.reduce.channels() as usize);
    Ok((map, found.valid_cells, totals))
}

/// By the kernels, each case a module and a frame of one batch.
fn found(
    preparations: &[Preparation<'_>],
    cases: &[Case],
    order: Order,
) -> Vec<Result<Prepared, Fault>> {
    let of = &preparations[0];
    let input = Input {
        size: of.window.input,
        channels: of.reduce.channels(),
        reduce: of.reduce,
        d_water: 3.4,
    };
    let mut constants = Constants::new();
    let prepared = Preparations::new(preparations, input, &mut constants).unwrap();
    let mut working = constants.behind().unwrap();
    // A frame more than there are modules, which is none of theirs.
    let frames = cases.len() as u32 + 1;
    let map = working
        .place(of.map_bytes() as u64 * u64::from(frames))
        .unwrap();
    let batch = prepared.place(frames, map, &mut working).unwrap();
    let mut memory = constants.bytes().to_vec();
    memory.resize(working.bytes() as usize, 0x5A);

    let mut jobs = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let at = (batch.pixels as usize + i * batch.pixel_units as usize) * 256;
        memory[at..at + case.payload.len()].copy_from_slice(&case.payload);
        let storage_cell = match case.storage_cell {
            NO_CELL => 0,
            cell => u32::from(cell),
        };
        jobs.push(Job {
            setting: i as u32,
            storage_cell,
        });
    }
    jobs.push(Job {
        setting: NOWHERE,
        storage_cell: 0,
    });
    let at = batch.jobs as usize * 256;
    let words = jobs.iter().flat_map(Job::words).flat_map(u32::to_le_bytes);
    memory[at..]
        .iter_mut()
        .zip(words)
        .for_each(|(to, byte)| *to = byte);

    // All at once, or, as the path has it, each by itself.
    let parts: Vec<_> = match order {
        Order::Forwards => std::iter::once(0..frames).collect(),
        Order::Backwards => (0..frames).rev().map(|i| i..i + 1).collect(),
    };
    let launches: Vec<_> = parts
        .into_iter()
        .flat_map(|part| prepared.launches(&batch, part))
        .collect();
    run(&launches, order, &mut memory).unwrap_or_else(|e| panic!("{e}"));

    let (bytes, channels) = (of.map_bytes(), input.channels as usize);
    let totals = memory[batch.totals as usize * 256..].as_chunks().0.iter();
    let totals: Vec<_> = totals
        .take(frames as usize * channels)
        .map(Totals::read)
        .collect();
    assert_eq!(
        totals[cases.len() * channels].valid_cells,
        0,
        "of a frame without a setting"
    );
    let one = |i: usize| {
        let totals = &totals[i * channels..][..channels];
        let valid = totals[0].valid_cells;
        assert!(
            totals.iter().all(|of| of.valid_cells == valid),
            "{totals:?}"
        );
        match valid {
            0 => Err(Fault::NoValidPixel),
            _ => Ok((
                memory[map as usize * 256 + i * bytes..][..bytes].to_vec(),
                valid,
                totals.iter().map(|of| (of.levels, of.zeros)).collect(),
            )),
        }
    };
    (0..cases.len()).map(one).collect()
}

fn compare(reduce: Reduce, cases: &[Case], order: Order) -> usize {
    let corrections: Vec<_> = cases.iter().map(Case::corrections).collect();
    let each = cases.iter().zip(&corrections);
    let preparations: Vec<_> = each
        .map(|(case, of)| case.preparation(reduce, of))
        .collect();
    let expected: Vec<_> = preparations
        .iter()
        .zip(cases)
        .map(|(preparation, case)| expected(preparation, case))
        .collect();
    let found = found(&preparations, cases, order);
    for ((case, expected), found) in cases.iter().zip(&expected).zip(&found) {
        let short = Case {
            payload: vec![],
            mask: None,
            maps: vec![],
            values: case.values.clone(),
            ..*case
        };
        assert!(
            expected == found,
            "another map, {reduce:?}, {order:?}: {short:?}\n{expected:?}\n{found:?}"
        );
    }
    expected.iter().filter(|map| map.is_ok()).count()
}

#[test]
fn maps_equal_those_of_the_cpu() {
    let mut numbers = Numbers(hitgate_testkit::cases(120).into());
    let mut made = 0;
    let batches = hitgate_testkit::cases(120);
    for i in 0..batches {
        let input = 1 + numbers.below(40) as u32;
        let reduce = [Reduce::Peaks, Reduce::Maximum, Reduce::Peaks, Reduce::Mean][i as usize % 4];
        let cases: Vec<_> = (0..4).map(|_| Case::drawn(&mut numbers, input)).collect();
        made += compare(reduce, &cases, ORDERS[i as usize % 2]);
    }
    assert!(
        made as u32 > 2 * batches,
        "{made} of {} have a map",
        4 * batches
    );
}

#[test]
fn a_detector_of_full_size() {
    let mut numbers = Numbers(3);
    let mut case = Case::drawn(&mut numbers, 224);
    case = Case {
        pixel_type: PixelType::U16,
        columns: 1030,
        rows: 1065,
        window: Window::disc(519, 540, 470, 224),
        saturation: u32::MAX,
        values: vec![65_535],
        mask: Some(
            (0..1030 * 1065 / 8 + 1)
                .map(|i| if i % 97 == 0 { 0xFF } else { 0 })
                .collect(),
        ),
        payload: (0..1030 * 1065)
            .flat_map(|_| {
                match numbers.below(1000) {
                    0 => 65_535 - numbers.below(3) as u16,
                    1..=3 => numbers.below(9000) as u16,
                    _ => numbers.below(5) as u16,
                }
                .to_le_bytes()
            })
            .collect(),
        storage_cell: NO_CELL,
        maps: vec![],
        ..case
    };
    for reduce in [Reduce::Peaks, Reduce::Maximum, Reduce::Mean] {
        assert_eq!(
            compare(reduce, std::slice::from_ref(&case), Order::Forwards),
            1
        );
    }
}

/// Counts as large as a pixel holds, in cells as large as a root and a mean may be.
#[test]
fn the_largest_counts() {
    let case = |pixel: u32, all: bool| Case {
        pixel_type: PixelType::U32,
        columns: 64,
        rows: 64,
        window: Window::whole(64, 64, 16),
        saturation: u32::MAX,
        values: vec![],
        mask: None,
        payload: (0..64 * 64u32)
            .flat_map(|i| {
                if all || i % 64 > 40 {
                    pixel - i % 7
                } else {
                    i % 5
                }
                .to_le_bytes()
            })
            .collect(),
        storage_cell: NO_CELL,
        maps: vec![],
        mapped: 0,
    };
    let cases = [
        case(u32::MAX, true),
        case(u32::MAX, false),
        case(65_540, true),
        case(4100, false),
    ];
    for reduce in [Reduce::Peaks, Reduce::Maximum, Reduce::Mean] {
        assert_eq!(compare(reduce, &cases, Order::Backwards), 4);
    }
}

/// Cells whose root rounds to the integer above, each alone among cells that are a little darker: one more of its root is
/// one more of its level.
#[test]
fn roots_just_below_an_integer() {
    let cell = |k: u64| ((k * k) % 4096 == 1537).then(|| (k * k - 1537) / 4096);
    let cells: Vec<_> = (12_000..16_384)
        .filter_map(|k| Some((k, cell(k)?)))
        .collect();
    assert!(cells.len() >= 4, "{cells:?}");
    let cases: Vec<_> = cells
        .iter()
        .map(|&(k, cell)| {
            let root = 512 * (8 * cell + 3);
            assert_eq!((root.isqrt(), (root as f32).sqrt() as u64), (k - 1, k));
            let count = |i: u32| match (i % 48 % 3, i / 48 % 3, i % 48 / 3 % 8, i / 144 % 8) {
                (1, 1, 3, 3) => cell as u16,
                (1, 1, _, _) => cell as u16 - 10,
                _ => 0,
            };
            Case {
                pixel_type: PixelType::U16,
                columns: 48,
                rows: 48,
                window: Window::whole(48, 48, 16),
                saturation: u32::MAX,
                values: vec![],
                mask: None,
                payload: (0..48 * 48).flat_map(|i| count(i).to_le_bytes()).collect(),
                storage_cell: NO_CELL,
                maps: vec![],
                mapped: 0,
            }
        })
        .collect();
    assert_eq!(compare(Reduce::Peaks, &cases, Order::Forwards), cases.len());
}

#[test]
fn preparations_that_do_not_fit_are_named() {
    let mut numbers = Numbers(1);
    let mut case = Case::drawn(&mut numbers, 8);
    case.maps.clear();
    case.window = Window::whole(case.columns, case.rows, 8);
    let input = |size, reduce: Reduce| Input {
        size,
        channels: reduce.channels(),
        reduce,
        d_water: 3.4,
    };
    let good = case.preparation(Reduce::Peaks, &[]);
    let refused = |input| {
        Preparations::new(&[good.clone(), good.clone()], input, &mut Constants::new()).err()
    };
    assert_eq!(refused(input(8, Reduce::Peaks)), None);
    assert_eq!(
        refused(input(9, Reduce::Peaks)),
        Some(PreparationError::Model(0))
    );
    assert_eq!(
        refused(input(8, Reduce::Mean)),
        Some(PreparationError::Model(0))
    );
    assert_eq!(
        refused(Input {
            channels: 1,
            ..input(8, Reduce::Peaks)
        }),
        Some(PreparationError::Model(0))
    );
    let correction = [Correction::new([&[]; 3], [&[]; 3], 0).unwrap()];
    let raw = Preparation {
        pixel_type: PixelType::I16,
        ..case.preparation(Reduce::Peaks, &correction)
    };
    let refused = Preparations::new(&[good, raw], input(8, Reduce::Peaks), &mut Constants::new());
    assert_eq!(refused.err(), Some(PreparationError::Raw(1)));
}
