//! The preparation is what `PREP.md` says: equal, byte for byte, to the reference in C, and to
//! golden vectors that anyone can make again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use hitgate_core::frame::{Fault, Frame, FrameHeader, PixelType};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_kernels::Level;

/// Exit status of the reference where no pixel of the window was measured.
const NO_VALID_PIXEL: i32 = 3;

/// A frame by formula, and how it is to be prepared.
#[derive(Clone, Debug)]
struct Case {
    pixel_type: PixelType,
    columns: u32,
    rows: u32,
    /// Ordinary counts are below.
    bright: u32,
    seed: u32,
    reduce: Reduce,
    saturation: u32,
    window: Window,
    /// Every third run of so many pixels is masked; 0 is no mask.
    masked: u32,
    values: Vec<i64>,
}

fn lcg(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state
}

impl Case {
    /// The formula stands in `prep/golden.txt`.
    fn payload(&self) -> Vec<u8> {
        let mut state = self.seed;
        let word = |_| {
            let x = lcg(&mut state);
            match x >> 24 {
                255 => u32::MAX,
                252.. => x.rotate_left(8),
                b => b % self.bright,
            }
        };
        let bytes = |word: u32| word.to_le_bytes().into_iter().take(self.pixel_type.size());
        let pixels = self.columns * self.rows;
        (0..pixels).map(word).flat_map(bytes).collect()
    }

    fn mask(&self) -> Option<Vec<u8>> {
        let run = self.masked.checked_sub(1)? + 1;
        let pixels = self.columns * self.rows;
        let mut bits = vec![0; pixels.div_ceil(8) as usize];
        for i in (0..pixels).filter(|i| i / run % 3 == 2) {
            bits[i as usize / 8] |= 1 << (i % 8);
        }
        Some(bits)
    }

    fn map(&self, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        let mask = self.mask();
        let preparation = Preparation {
            saturation: self.saturation,
            mask: mask.as_ref().map_or(Mask::NONE, |bits| {
                Mask::new(bits, self.columns, self.rows).unwrap()
            }),
            mask_values: MaskValues::from_slice(&self.values).unwrap(),
            ..Preparation::plain(
                self.columns,
                self.rows,
                self.pixel_type,
                self.window,
                self.reduce,
            )
        };
        let frame = Frame {
            header: FrameHeader::new(self.rows as u16, self.columns as u16, self.pixel_type),
            pixel_type: self.pixel_type,
            payload,
        };
        let mut words = vec![7; preparation.words()];
        let mut map = vec![255; preparation.map_bytes()];
        preparation
            .run(Level::detect(), &frame, &mut words, &mut map)
            .map(|_| map)
    }

    /// What `prep.c` reads.
    fn described(&self, payload: &[u8]) -> Vec<u8> {
        let (window, mask) = (self.window, self.mask());
        let words = [
            self.pixel_type as u32,
            self.columns,
            self.rows,
            self.reduce as u32,
            self.saturation,
            window.left as u32,
            window.top as u32,
            window.block,
            window.input,
            window.radius,
            u32::from(mask.is_some()),
            self.values.len() as u32,
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(mask.unwrap_or_default());
        bytes.extend(payload);
        bytes
    }

    /// The map, by both; `None` where no pixel of the window was measured.
    fn agreed_map(&self) -> Option<Vec<u8>> {
        self.agreed_map_of(&self.payload())
    }

    fn agreed_map_of(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let ours = match self.map(payload) {
            Ok(map) => Some(map),
            Err(Fault::NoValidPixel) => None,
            Err(fault) => panic!("{fault:?}: {self:?}"),
        };
        let (status, map, said) = reference(&self.described(payload));
        let theirs = match status {
            Some(0) => Some(map),
            Some(NO_VALID_PIXEL) => None,
            _ => panic!("prep.c ended with {status:?}, {said:?}: {self:?}"),
        };
        assert!(ours == theirs, "prep.c makes another map: {self:?}");
        ours
    }
}

/// Compiles the reference with the compiler `cc` (words of a command) to `program`.
fn compile(cc: &str, program: &Path) -> Result<(), String> {
    let mut command = cc.split_whitespace();
    let output = Command::new(command.next().ok_or("CC names no compiler: unset it")?)
        .args(command)
        .args("-std=c11 -O2 -Wall -Wextra -Werror -pedantic".split(' '))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prep/prep.c"))
        .arg("-o")
        .arg(program)
        .output()
        .map_err(|e| format!("no C compiler `{cc}` ({e}): install one, or name yours in CC"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Status, output and complaint of the reference for this input.
fn reference(input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prep-reference");
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        compile(&cc, &program).map(|()| program)
    });
    let program = PROGRAM.as_ref().unwrap_or_else(|e| panic!("{e}"));
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads everything before it writes. Where it ends early its status tells why.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output.stdout, said)
}

const TYPES: [(&str, PixelType); 5] = [
    ("u8", PixelType::U8),
    ("u16", PixelType::U16),
    ("u32", PixelType::U32),
    ("i16", PixelType::I16),
    ("i32", PixelType::I32),
];

/// The `i`-th of the pseudo-random cases.
fn drawn(i: usize) -> Case {
    let mut state = i as u32;
    let mut below = |n: u32| {
        lcg(&mut state);
        ((u64::from(lcg(&mut state)) * u64::from(n)) >> 32) as u32
    };
    let [columns, rows] = [1 + below(97), 1 + below(83)];
    let input = 1 + below(31);
    // Anywhere, and now and then beside the panel.
    let mut on = |len: u32| below(2 * len) as i32 - len as i32 / 2;
    let [x, y] = [on(columns), on(rows)];
    let window = match below(4) {
        0 => Window::whole(columns, rows, input),
        1 => Window::around(x, y, below(120), input),
        _ => Window::disc(x, y, below(60), input),
    };
    let pick = |from: &[u32], at: u32| from[at as usize];
    Case {
        pixel_type: TYPES[i % TYPES.len()].1,
        columns,
        rows,
        bright: pick(&[1, 2, 7, 200], below(4)),
        seed: below(u32::MAX),
        reduce: [Reduce::Maximum, Reduce::Mean, Reduce::Peaks, Reduce::Peaks][below(4) as usize],
        saturation: pick(&[1, 90, 30_000, u32::MAX], below(4)),
        window,
        masked: pick(&[0, 1, 5, 4 * columns], below(4)),
        values: [
            vec![],
            vec![-1, 255, 65535],
            vec![3, 4_294_967_295, i64::MIN],
        ][below(3) as usize]
            .clone(),
    }
}

#[test]
fn the_reference_in_c_makes_the_same_maps() {
    let maps: Vec<_> = (0..150).map(|i| drawn(i).agreed_map()).collect();
    let made = maps.iter().flatten().count();
    assert!((100..150).contains(&made), "{made} of 150 have a map");
    let full_size = Case {
        columns: 1030,
        rows: 1065,
        window: Window::disc(519, 540, 470, 224),
        pixel_type: PixelType::U16,
        reduce: Reduce::Peaks,
        saturation: u32::MAX,
        bright: 40,
        ..drawn(0)
    };
    assert!(full_size.agreed_map().is_some());
}

#[test]
fn golden_vectors() {
    let lines = include_str!("prep/golden.txt").lines();
    let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut read = 0;
    for row in rows {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let number = |i: usize| match fields[i] {
            "none" | "all" => u32::MAX,
            field => field.parse().unwrap_or_else(|e| panic!("{e}: {row}")),
        };
        let corner = |i: usize| fields[i].parse().unwrap_or_else(|e| panic!("{e}: {row}"));
        let pixel_type = TYPES.iter().find(|(name, _)| *name == fields[0]);
        let case = Case {
            pixel_type: pixel_type.unwrap_or_else(|| panic!("type: {row}")).1,
            columns: number(1),
            rows: number(2),
            bright: number(3),
            seed: number(4),
            reduce: Reduce::from_code(number(5) as u8).unwrap(),
            saturation: number(6),
            window: Window {
                left: corner(7),
                top: corner(8),
                block: number(9),
                input: number(10),
                radius: number(11),
            },
            masked: number(12),
            values: match fields[13] {
                "-" => vec![],
                values => values.split(',').map(|v| v.parse().unwrap()).collect(),
            },
        };
        let map = case.agreed_map().unwrap();
        let crc = crc32fast::hash(&map);
        assert_eq!(
            format!("{crc:08x}"),
            fields[14],
            "CRC-32 of the map of: {row}"
        );
        read += 1;
    }
    assert_eq!(read, 10);
}

#[test]
fn the_example_of_prep_md() {
    #[rustfmt::skip]
    let pixels = [
        0, 1, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 9,
        0, 0, 4, 3, 0, 0,
        0, 0, 2, 0, 0, 0,
        1, 0, 0, 0, 255, 255,
        0, 0, 0, 1, 255, 255,
    ];
    let case = Case {
        pixel_type: PixelType::U8,
        columns: 6,
        rows: 6,
        bright: 1,
        seed: 0,
        reduce: Reduce::Peaks,
        saturation: u32::MAX,
        window: Window::whole(6, 6, 3),
        masked: 0,
        values: vec![255],
    };
    #[rustfmt::skip]
    assert_eq!(case.agreed_map_of(&pixels).unwrap(), [
        18, 13, 26, 32, 36, 27,
        24, 27, 29, 37, 36, 27,
        10, 13, 10, 13, 0, 0,
    ]);
}

#[test]
fn the_reference_says_what_is_wrong_with_its_input() {
    let case = drawn(1);
    let whole = case.described(&case.payload());
    let cut = reference(&whole[..whole.len() - 1]);
    assert_eq!(
        cut,
        (Some(1), vec![], "prep: the input ends early\n".into())
    );
    let empty = reference(&[]);
    assert_eq!(empty, cut);
    for (word, wrong, complaint) in [
        (0, 6, "the pixel type must be 1 to 5"),
        (1, 65536, "a frame has at most 65535 columns and rows"),
        (3, 2, "the reduction must be 0, 1 or 4"),
        (8, 0, "no such window"),
        (11, 9, "there are at most one mask and 8 mask values"),
    ] {
        let mut bytes = whole.clone();
        bytes[4 * word..][..4].copy_from_slice(&u32::to_le_bytes(wrong));
        let (status, map, said) = reference(&bytes);
        assert_eq!((status, map), (Some(1), vec![]));
        assert_eq!(said, format!("prep: {complaint}\n"));
    }
}

#[test]
fn a_missing_compiler_is_named() {
    let said = compile("no-such-compiler", Path::new("nowhere")).unwrap_err();
    assert!(said.contains("`no-such-compiler`"), "{said}");
    assert!(said.contains("name yours in CC"), "{said}");
}
