//! Every format in, and what is written read back.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{COLUMNS, ROWS, counts, data, image, marccd, metadata, smv, tiff, value, values};
use hitgate_formats::write::{NpyStack, write_cbf, write_npy};
use hitgate_formats::{
    FormatError, FrameFile, GeometryFile, Kind, Mask, Metadata, Pixels, Sidecar,
};
use tempfile::tempdir;

fn u16s(frame: u64) -> Vec<u16> {
    values(frame).map(|v| v as u16).collect()
}

fn bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn cbf_comes_back_with_its_geometry() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.cbf");
    write_cbf(&path, &counts(), &metadata()).unwrap();
    let mut file = FrameFile::open(&path).unwrap();
    assert_eq!((file.kind(), file.frames()), (Kind::Cbf, 1));
    assert_eq!(file.metadata(), &metadata());
    assert_eq!(file.read(0).unwrap(), counts());
}

#[test]
fn cbf_widens_what_is_narrow_and_refuses_floats() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.cbf");
    write_cbf(&path, &image(Pixels::U16(u16s(1))), &metadata()).unwrap();
    let wide = values(1).map(|v| v as i32).collect();
    assert_eq!(
        FrameFile::open(&path).unwrap().read(0).unwrap().pixels,
        Pixels::I32(wide)
    );
    let floats = image(Pixels::F32(vec![0.0; (COLUMNS * ROWS) as usize]));
    assert!(matches!(
        write_cbf(&path, &floats, &metadata()),
        Err(FormatError::PixelType { .. })
    ));
}

#[test]
fn gzip_is_unpacked_whatever_the_name() {
    let folder = tempdir().unwrap();
    let plain = folder.path().join("plain.cbf");
    write_cbf(&plain, &counts(), &metadata()).unwrap();
    let packed = folder.path().join("no_extension");
    let mut gzip = flate2::write::GzEncoder::new(
        fs::File::create(&packed).unwrap(),
        flate2::Compression::fast(),
    );
    gzip.write_all(&fs::read(&plain).unwrap()).unwrap();
    gzip.finish().unwrap();
    assert_eq!(FrameFile::open(&packed).unwrap().read(0).unwrap(), counts());
}

/// A detector on an arm that is swung out by 30°: the beam meets the panel beside its foot.
#[test]
fn full_imgcif_axes_win_over_the_comment_lines() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.cbf");
    write_cbf(&path, &counts(), &metadata()).unwrap();
    let axes = include_str!("imgcif_axes.txt");
    let written = fs::read(&path).unwrap();
    let marker = b"_array_data.data";
    let at = written
        .windows(marker.len())
        .position(|w| w == marker)
        .unwrap();
    let full = [&written[..at], axes.as_bytes(), &written[at..]].concat();
    fs::write(&path, full).unwrap();

    let file = FrameFile::open(&path).unwrap();
    let geometry = file.metadata().geometry.unwrap();
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert_eq!((geometry.wavelength_a, geometry.pixel_mm), (0.6889, 0.172));
    assert!(close(
        geometry.distance_mm,
        160.0 / 30f64.to_radians().cos()
    ));
    let [x, y] = geometry.beam_center_px;
    assert!(
        close(x, (125.56 - 160.0 * 30f64.to_radians().tan()) / 0.172),
        "{x}"
    );
    assert!(close(y, 148.78 / 0.172), "{y}");
    assert_eq!(file.metadata().saturation, Some(388_705));
}

#[test]
fn npy_comes_back_in_every_type() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.npy");
    let every = [
        Pixels::U8(values(0).map(|v| v as u8).collect()),
        Pixels::U16(u16s(0)),
        Pixels::U32(values(0).map(|v| v as u32).collect()),
        Pixels::I16(values(0).map(|v| v as i16 - 500).collect()),
        Pixels::I32(values(0).map(|v| v as i32 - 500).collect()),
        Pixels::F32(values(0).map(|v| v as f32 - 0.5).collect()),
    ];
    for pixels in every {
        write_npy(&path, &image(pixels.clone())).unwrap();
        assert_eq!(
            FrameFile::open(&path).unwrap().read(0).unwrap(),
            image(pixels)
        );
    }
}

#[test]
fn floats_become_integers_to_nearest() {
    let floats = [0.4, 0.6, -1.6, f32::NAN, 1e20, f32::NEG_INFINITY];
    let mut pixels = vec![0.0; (COLUMNS * ROWS) as usize];
    pixels[..floats.len()].copy_from_slice(&floats);
    let Pixels::I32(integers) = image(Pixels::F32(pixels)).into_integer().pixels else {
        panic!("not integers");
    };
    assert_eq!(
        integers[..floats.len()],
        [0, 1, -2, i32::MIN, i32::MAX, i32::MIN + 1]
    );
}

#[test]
fn stacks_grow_and_get_their_count_at_the_end() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("maps.npy");
    let map = |frame| values(frame).map(|v| (v % 128) as u8).collect::<Vec<_>>();
    let mut stack = NpyStack::create(&path, COLUMNS, ROWS).unwrap();
    for frame in 0..5 {
        stack.push(&map(frame)).unwrap();
    }
    assert!(matches!(
        stack.push(&[0; 3]),
        Err(FormatError::Shape { .. })
    ));
    assert_eq!(stack.finish().unwrap(), 5);

    let mut file = FrameFile::open(&path).unwrap();
    assert_eq!(file.frames(), 5);
    for frame in (0..5).rev() {
        assert_eq!(
            file.read(frame).unwrap(),
            image(Pixels::U8(map(frame as u64)))
        );
    }
    assert!(matches!(
        file.read(5),
        Err(FormatError::NoFrame {
            index: 5,
            frames: 5,
            ..
        })
    ));

    // One that is given up leaves the one before as it was, and nothing of itself.
    let mut dropped = NpyStack::create(&path, COLUMNS, ROWS).unwrap();
    dropped.push(&map(0)).unwrap();
    drop(dropped);
    assert_eq!(FrameFile::open(&path).unwrap().frames(), 5);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_sidecar_wins_over_the_header() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.cbf.gz");
    write_cbf(&path, &counts(), &metadata()).unwrap();
    let sidecar = Sidecar {
        distance_mm: Some(100.0),
        gain: Some(2.5),
        offset: Some(3.0),
        mask_values: Some(vec![-7]),
        ..Sidecar::default()
    };
    for name in ["frame.json", "frame.cbf.json", "frame.cbf.gz.json"] {
        let beside = folder.path().join(name);
        sidecar.write(&beside).unwrap();
        assert_eq!(Sidecar::read(&beside).unwrap(), sidecar);
        let expected = Metadata {
            geometry: metadata().geometry.map(|g| hitgate_formats::Geometry {
                distance_mm: 100.0,
                ..g
            }),
            gain: 2.5,
            offset: 3.0,
            mask_values: vec![-7],
            ..metadata()
        };
        assert_eq!(
            FrameFile::open(&path).unwrap().metadata(),
            &expected,
            "{name}"
        );
        fs::remove_file(&beside).unwrap();
    }
    for (text, word) in [
        ("{\"gain\": \"much\"}", "line 1"),
        ("[]", "a map"),
        ("{\"wavelength\": 1.0}", "unknown key `wavelength`"),
        ("{\"distance_mm\": 0.15}", "10 to 20000 millimetres"),
        ("{\"wavelength_A\": 12398}", "0.1 to 20 ångström"),
        ("{\"pixel_mm\": 75}", "0.005 to 1 millimetres"),
        ("{\"saturation\": 0}", "saturation is 0"),
    ] {
        fs::write(folder.path().join("frame.json"), text).unwrap();
        let Err(refused @ FormatError::Json { .. }) = FrameFile::open(&path) else {
            panic!("{text} is taken")
        };
        let said = refused.to_string();
        assert!(said.contains(word) && said.contains("frame.json"), "{said}");
    }
}

#[test]
fn an_array_has_its_geometry_from_a_sidecar() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.npy");
    write_npy(&path, &counts()).unwrap();
    Sidecar::from(&metadata())
        .write(&folder.path().join("frame.npy.json"))
        .unwrap();
    assert_eq!(FrameFile::open(&path).unwrap().metadata(), &metadata());
}

#[test]
fn tiff_in_every_type() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.tif");
    let header = "# Pixel_size 172e-6 m x 172e-6 m\n# Wavelength 1.0 A\n# Detector_distance 0.2 m\n# Beam_xy (10, 20) pixels\n";
    let every = [
        (8, 1, Pixels::U8(values(0).map(|v| v as u8).collect())),
        (16, 1, Pixels::U16(u16s(0))),
        (32, 1, Pixels::U32(values(0).map(|v| v as u32).collect())),
        (
            16,
            2,
            Pixels::I16(values(0).map(|v| v as i16 - 500).collect()),
        ),
        (
            32,
            2,
            Pixels::I32(values(0).map(|v| v as i32 - 500).collect()),
        ),
        (
            32,
            3,
            Pixels::F32(values(0).map(|v| v as f32 - 0.5).collect()),
        ),
    ];
    for (bits, format, pixels) in every {
        fs::write(&path, tiff(bits, format, pixels.as_bytes(), header)).unwrap();
        let mut file = FrameFile::open(&path).unwrap();
        assert_eq!(file.kind(), Kind::Tiff);
        let geometry = file.metadata().geometry.unwrap();
        assert_eq!(
            (geometry.distance_mm, geometry.beam_center_px),
            (200.0, [10.0, 20.0])
        );
        assert_eq!(file.metadata().mask_values, [-1, -2]);
        assert_eq!(file.read(0).unwrap(), image(pixels));
    }
    fs::write(&path, tiff(64, 3, &[0; (COLUMNS * ROWS * 8) as usize], "")).unwrap();
    assert!(matches!(
        FrameFile::open(&path),
        Err(FormatError::PixelType { .. })
    ));
}

#[test]
fn marccd_and_smv_with_their_headers() {
    let folder = tempdir().unwrap();
    let pixels = u16s(0);
    let swapped: Vec<u8> = pixels.iter().flat_map(|v| v.to_be_bytes()).collect();
    let files = [
        ("a.mccd", Kind::MarCcd, marccd(&bytes(&pixels)), 0.079),
        ("b.img", Kind::Smv, smv(&bytes(&pixels), false), 0.1),
        ("c.img", Kind::Smv, smv(&swapped, true), 0.1),
    ];
    for (name, kind, content, pixel_mm) in files {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let mut file = FrameFile::open(&path).unwrap();
        assert_eq!(file.kind(), kind);
        let g = file.metadata().geometry.unwrap();
        let found = [
            g.wavelength_a,
            g.distance_mm,
            g.beam_center_px[0],
            g.beam_center_px[1],
            g.pixel_mm,
        ];
        // SMV: BEAM_CENTER_Y of 1.75 mm is the fast direction.
        let center = if kind == Kind::Smv {
            [17.5, 12.5]
        } else {
            [18.25, 11.75]
        };
        for (found, expected) in found
            .into_iter()
            .zip([0.9763, 200.5, center[0], center[1], pixel_mm])
        {
            assert!(
                (found - expected).abs() < 1e-9,
                "{name}: {found} for {expected}"
            );
        }
        assert_eq!(
            (file.metadata().saturation, &file.metadata().mask_values[..]),
            (Some(65_535), &[0][..])
        );
        assert_eq!(file.read(0).unwrap().pixels, Pixels::U16(pixels.clone()));
    }
}

#[test]
fn a_dectris_master_leads_to_its_images() {
    let mut file = FrameFile::open(&data("eiger_master.h5")).unwrap();
    assert_eq!((file.kind(), file.frames()), (Kind::Hdf5, 5));
    for frame in [4, 0, 2, 3, 1] {
        assert_eq!(
            file.read(frame).unwrap(),
            image(Pixels::U16(u16s(frame as u64)))
        );
    }
    let metadata = file.metadata();
    let g = metadata.geometry.unwrap();
    assert_eq!(
        (g.wavelength_a, g.beam_center_px, g.pixel_mm),
        (0.9763, [18.5, 11.25], 0.075)
    );
    assert!((g.distance_mm - 150.0).abs() < 1e-4);
    assert_eq!(metadata.saturation, Some(60_000));
    assert_eq!(metadata.mask_values, [65_535]);
    assert_eq!(metadata.detector.as_deref(), Some("Dectris EIGER2 Si 16M"));
    let mask = metadata.mask.as_ref().unwrap();
    let excluded: Vec<usize> = (0..(COLUMNS * ROWS) as usize)
        .filter(|&i| mask.excludes(i))
        .collect();
    assert_eq!(excluded, [3 * 37 + 4, 23 * 37 + 36]);
}

#[test]
fn hdf5_in_every_packing() {
    let open = |name: &str| FrameFile::open(&data(&format!("kinds.h5:images/{name}")));
    let i32s = |frame| Pixels::I32(values(frame).map(|v| v as i32).collect());
    let expected: [(&str, &dyn Fn(u64) -> Pixels); 6] = [
        ("bitshuffle", &|f| {
            Pixels::U32(values(f).map(|v| v as u32).collect())
        }),
        ("bitshuffle_lz4", &i32s),
        ("lz4", &|f| {
            Pixels::I16(values(f).map(|v| v as i16).collect())
        }),
        ("deflate", &|f| {
            Pixels::F32(values(f).map(|v| v as f32).collect())
        }),
        ("bytes", &|f| {
            Pixels::U8(values(f).map(|v| v as u8).collect())
        }),
        ("big_endian", &|f| Pixels::U16(u16s(f))),
    ];
    for (name, pixels) in expected {
        let mut file = open(name).unwrap();
        for frame in 0..file.frames() {
            assert_eq!(
                file.read(frame).unwrap(),
                image(pixels(frame as u64)),
                "{name} {frame}"
            );
        }
    }
    assert!(matches!(
        open("bitshuffle_zstd").unwrap().read(0),
        Err(FormatError::Compression { .. })
    ));
    assert!(matches!(
        open("doubles"),
        Err(FormatError::PixelType { .. })
    ));
    assert!(matches!(open("cube"), Err(FormatError::Shape { .. })));
    let Err(FormatError::NoDataset { available, .. }) = open("nothing") else {
        panic!("a dataset that is not there");
    };
    assert!(
        available.contains(&"/images/bytes [2, 24, 37]".to_owned()),
        "{available:?}"
    );
    assert!(matches!(
        FrameFile::open(&data("virtual.h5")),
        Err(FormatError::Compression { .. })
    ));
}

#[test]
fn masks_from_files_and_values() {
    let named = Mask::read(data("kinds.h5:images/mask").to_str().unwrap()).unwrap();
    assert_eq!(
        (named.columns, named.rows, named.count(), named.excludes(5)),
        (COLUMNS, ROWS, 1, true)
    );
    let own = Mask::read(data("eiger_master.h5").to_str().unwrap()).unwrap();
    assert_eq!(own.count(), 2);

    let folder = tempdir().unwrap();
    let path = folder.path().join("mask.npy");
    let mut bits = vec![0u8; (COLUMNS * ROWS) as usize];
    bits[7] = 255;
    write_npy(&path, &image(Pixels::U8(bits))).unwrap();
    let mask = Mask::read(path.to_str().unwrap()).unwrap();
    assert_eq!(mask.bits[..2], [0b1000_0000, 0]);
    let with = mask.with_values(&counts(), &[-1, -2]);
    let excluded: Vec<usize> = (0..(COLUMNS * ROWS) as usize)
        .filter(|&i| with.excludes(i))
        .collect();
    assert_eq!(excluded, [5, 6, 7]);
}

/// Raw words have a median in the range of pedestals; photons, even many, do not.
#[test]
fn raw_jungfrau_words_wait_for_their_correction() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.npy");
    let module = |word: &dyn Fn(u32) -> u16| {
        let image = hitgate_formats::Image {
            columns: 1024,
            rows: 512,
            pixels: Pixels::U16((0..1024 * 512).map(word).collect()),
        };
        write_npy(&path, &image).unwrap();
        let mut file = FrameFile::open(&path).unwrap();
        (
            file.kind(),
            file.read(0).is_ok(),
            file.read_raw(0).unwrap() == image,
        )
    };
    let pedestal = |i: u32| 2800 + (i % 331) as u16;
    assert_eq!(module(&pedestal), (Kind::JungfrauRaw, false, true));
    let switched = |i: u32| pedestal(i) | if i.is_multiple_of(50) { 0xc000 } else { 0 };
    assert_eq!(module(&switched), (Kind::JungfrauRaw, false, true));
    let named = Sidecar {
        detector: Some("CCD".into()),
        ..Sidecar::default()
    };
    named.write(&folder.path().join("frame.json")).unwrap();
    assert_eq!(module(&pedestal), (Kind::Npy, true, true));
    fs::remove_file(folder.path().join("frame.json")).unwrap();
    let photons = |i: u32| {
        if i.is_multiple_of(97) {
            5000
        } else {
            (i % 200) as u16
        }
    };
    assert_eq!(module(&photons), (Kind::Npy, true, true));
    let gaps = |i: u32| {
        if i % 1024 < 100 {
            u16::MAX
        } else {
            (i % 7) as u16
        }
    };
    assert_eq!(module(&gaps), (Kind::Npy, true, true));
    let smooth = |i: u32| (i % 65_536) as u16;
    assert_eq!(module(&smooth), (Kind::Npy, true, true));
}

/// `Content-MD5`, put into a file that has none.
#[test]
fn a_flipped_bit_in_a_cbf_with_a_checksum_is_seen() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("frame.cbf");
    write_cbf(&path, &counts(), &metadata()).unwrap();
    let plain = fs::read(&path).unwrap();
    let find = |what: &[u8]| plain.windows(what.len()).position(|w| w == what).unwrap();
    let (line, image) = (find(b"X-Binary-ID"), find(b"\x0c\x1a\x04\xd5") + 4);
    let text = String::from_utf8_lossy(&plain[..image]);
    let (_, size) = text.split_once("X-Binary-Size: ").unwrap();
    let size: usize = size.lines().next().unwrap().parse().unwrap();
    let stated = |md5: &str| {
        let header = format!("Content-MD5: {md5}\r\n");
        [&plain[..line], header.as_bytes(), &plain[line..]].concat()
    };
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        FrameFile::open(&path).err().map(|e| e.to_string())
    };
    let wrong = refusal(&stated("AAAAAAAAAAAAAAAAAAAAAA==")).unwrap();
    let (_, right) = wrong.split_once("MD5 is ").unwrap();
    let right = right.split(' ').next().unwrap();
    assert_eq!(refusal(&stated(right)), None);
    let mut flipped = stated(right);
    let middle = flipped.len() - plain.len() + image + size / 2;
    flipped[middle] ^= 4;
    let said = refusal(&flipped).unwrap();
    assert!(said.contains("damaged") && said.contains("MD5"), "{said}");
}

#[test]
fn a_name_with_a_colon_is_a_file_first_and_a_dataset_second() {
    let folder = tempdir().unwrap();
    fs::copy(data("kinds.h5"), folder.path().join("kinds.h5")).unwrap();
    let named = folder.path().join("kinds.h5:mask");
    let Err(FormatError::NoDataset { .. }) = FrameFile::open(&named) else {
        panic!("no dataset of that name, and no such file")
    };
    write_npy(&named, &counts()).unwrap();
    assert_eq!(FrameFile::open(&named).unwrap().read(0).unwrap(), counts());
}

#[test]
fn a_cut_hdf5_file_is_called_cut_short() {
    let folder = tempdir().unwrap();
    for name in ["kinds.h5", "eiger_data_000001.h5"] {
        let whole = fs::read(data(name)).unwrap();
        let path = folder.path().join(name);
        for kept in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..kept]).unwrap();
            let refused = FrameFile::open(&path).err();
            assert!(
                matches!(refused, Some(FormatError::Truncated { .. })),
                "{name} cut to {kept}: {refused:?}"
            );
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let folder = tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        FrameFile::open(&path)
            .err()
            .unwrap_or_else(|| panic!("{name} opens"))
    };
    assert!(matches!(
        FrameFile::open(&folder.path().join("none")),
        Err(FormatError::Missing { .. })
    ));
    assert!(matches!(
        FrameFile::open(folder.path()),
        Err(FormatError::Directory { .. })
    ));
    let nowhere = folder.path().join("no/such/frame.cbf");
    assert!(matches!(
        write_cbf(&nowhere, &counts(), &metadata()),
        Err(FormatError::NoFolder { .. })
    ));
    let Err(full) = write_cbf("/dev/full".as_ref(), &counts(), &metadata()) else {
        panic!("/dev/full takes nothing")
    };
    assert!(std::error::Error::source(&full).is_none() && full.to_string().contains("space"));
    assert!(matches!(file("empty", b""), FormatError::Foreign { .. }));
    assert!(matches!(
        file("text", b"once upon a time"),
        FormatError::Foreign { .. }
    ));
    let odd = smv(&bytes(&u16s(0)), false);
    assert!(matches!(
        file("short.img", &odd[..odd.len() - 1]),
        FormatError::Truncated { .. }
    ));
    let doubles = b"\x93NUMPY\x01\0\x46\0{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }            \n";
    assert!(matches!(
        file("doubles.npy", doubles),
        FormatError::PixelType { .. }
    ));
    let e = file("x.h5:y", b"once");
    assert!(
        e.to_string().starts_with(folder.path().to_str().unwrap()) && !e.to_string().contains('\n'),
        "{e}"
    );
    let named = FrameFile::open(&data("make.py:images")).err().unwrap();
    assert!(matches!(named, FormatError::Shape { .. }), "{named}");
}

/// Modules of `columns` by `rows` pixels in a row with a column between them, the beam at the left
/// upper corner of the first.
fn row_of_modules(folder: &Path, modules: u32, columns: u32, rows: u32, more: &str) -> PathBuf {
    let path = folder.join("row.geom");
    let panels: String = (0..modules)
        .map(|n| {
            format!(
                "m{n}/dim1 = {n}\nm{n}/min_fs = 0\nm{n}/max_fs = {}\nm{n}/min_ss = 0\nm{n}/max_ss = {}\nm{n}/corner_x = {}\nm{n}/corner_y = 0\n",
                columns - 1,
                rows - 1,
                n * (columns + 1)
            )
        })
        .collect();
    std::fs::write(&path, format!("res = 10000\nclen = 0.2\n{more}{panels}")).unwrap();
    path
}

#[test]
fn images_of_modules_become_frames_and_take_their_mask_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let five = GeometryFile::read(&row_of_modules(folder.path(), 5, COLUMNS, ROWS, "")).unwrap();
    let mut file = FrameFile::open_placed(&data("eiger_master.h5"), &five).unwrap();
    assert_eq!(file.frames(), 1);
    let frame = file.read(0).unwrap();
    assert_eq!((frame.columns, frame.rows), (5 * COLUMNS + 4, ROWS));
    let Pixels::U16(pixels) = &frame.pixels else {
        panic!("the type of the file");
    };
    let at = |x: u32, y: u32| (y * frame.columns + x) as usize;
    for (module, x, y) in [(0, 0, 0), (1, 5, 7), (4, 36, 23)] {
        let place = at(module * (COLUMNS + 1) + x, y);
        let of_module = value(module.into(), (y * COLUMNS + x).into());
        assert_eq!(u64::from(pixels[place]), of_module);
    }
    // The wavelength is the file's, the rest the geometry's.
    let known = file.metadata().geometry.unwrap();
    assert_eq!((known.wavelength_a, known.distance_mm), (0.9763, 200.0));
    assert_eq!((known.beam_center_px, known.pixel_mm), ([0.0, 0.0], 0.1));
    let mask = file.metadata().mask.as_ref().unwrap();
    assert_eq!(mask.count() as u32, 4 * ROWS + 5 * 2);
    assert!(mask.excludes(at(37, 0)) && mask.excludes(at(2 * 38 + 4, 3)));
    assert!(matches!(file.read(1), Err(FormatError::NoFrame { .. })));
}

#[test]
fn four_dimensions_are_frames_of_modules() {
    let folder = tempfile::tempdir().unwrap();
    let two = GeometryFile::read(&row_of_modules(folder.path(), 2, 2, 2, "")).unwrap();
    let cube = format!("{}:images/cube", data("kinds.h5").display());
    let mut file = FrameFile::open_placed(cube.as_ref(), &two).unwrap();
    assert_eq!(file.frames(), 2);
    let frame = file.read(1).unwrap();
    assert_eq!((frame.columns, frame.rows), (5, 2));
    let Err(error) = FrameFile::open(cube.as_ref()) else {
        panic!("modules need a geometry");
    };
    assert!(error.to_string().contains("--geometry"), "{error}");
}

#[test]
fn four_dimensions_of_an_array_are_frames_of_modules_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modules.npy");
    let array = |shape: &str, pixels: u16| {
        let header = format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({shape}), }}");
        let mut array = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        array.extend(format!("{header:<117}\n").bytes());
        array.extend(bytes(&(0..pixels).collect::<Vec<_>>()));
        fs::write(&path, array).unwrap();
    };
    // Three frames of two modules of three rows and four columns.
    array("3, 2, 3, 4", 72);
    let two = GeometryFile::read(&row_of_modules(folder.path(), 2, 4, 3, "")).unwrap();
    let mut file = FrameFile::open_placed(&path, &two).unwrap();
    assert_eq!((file.kind(), file.frames()), (Kind::Npy, 3));
    let frame = file.read(2).unwrap();
    assert_eq!((frame.columns, frame.rows), (9, 3));
    // Side by side, with an empty column between them.
    let Pixels::U16(pixels) = &frame.pixels else {
        panic!("the type of the file");
    };
    for (module, row) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
        let first = 48 + 12 * module + 4 * row;
        let expected: Vec<u16> = (first..first + 4).collect();
        let at = usize::from(9 * row + 5 * module);
        assert_eq!(pixels[at..at + 4], expected, "{module} {row}");
    }
    let refused = || FrameFile::open(&path).err().unwrap().to_string();
    let said = refused();
    assert!(
        said.contains("2 modules of 4 x 3") && said.contains("--geometry"),
        "{said}"
    );
    array("1, 3, 2, 3, 4", 72);
    assert!(refused().contains("[1, 3, 2, 3, 4]"), "{}", refused());
    assert!(FrameFile::open_placed(&path, &two).is_err());
    // What no file can hold is refused, not multiplied into something that it can.
    array("3, 18446744073709551615, 3, 4", 72);
    assert!(FrameFile::open_placed(&path, &two).is_err());
}

#[test]
fn a_mask_is_read_as_the_geometry_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(data("kinds.h5"), folder.path().join("bad.h5")).unwrap();
    let of = |more: &str| {
        let path = row_of_modules(folder.path(), 1, COLUMNS, ROWS, more);
        let one = GeometryFile::read(&path).unwrap();
        FrameFile::open_placed(&data("eiger_data_000001.h5"), &one).map(|file| {
            let mask = file.metadata().mask.clone().unwrap();
            (mask.count() as u32, mask.excludes(5))
        })
    };
    let named = "mask_file = bad.h5\nmask = /images/mask\n";
    assert_eq!(of("").unwrap(), (0, false));
    assert_eq!(of(&format!("{named}mask_bad = 0x1\n")).unwrap(), (1, true));
    let good = format!("{named}mask_good = 0x1\nmask_bad = 0x0\n");
    assert_eq!(of(&good).unwrap(), (COLUMNS * ROWS - 1, false));
    let missing = of("mask_file = bad.h5\nmask = /images/other\nmask_bad = 1\n");
    assert!(matches!(missing, Err(FormatError::NoDataset { .. })));
}

#[test]
fn panels_that_are_not_in_the_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (modules, columns, rows) in [
        (2, COLUMNS, ROWS),
        (1, COLUMNS + 1, ROWS),
        (1, COLUMNS, ROWS + 1),
    ] {
        let path = row_of_modules(folder.path(), modules, columns, rows, "");
        let geometry = GeometryFile::read(&path).unwrap();
        let refused = FrameFile::open_placed(&data("eiger_data_000001.h5"), &geometry);
        assert!(
            matches!(refused, Err(FormatError::Shape { .. })),
            "{modules} {columns} {rows}"
        );
    }
}

#[test]
fn frames_of_cxidb_76_come_in_the_order_of_their_annotations() {
    let mut file = FrameFile::open(&data("idh5.h5")).unwrap();
    assert_eq!((file.kind(), file.frames()), (Kind::Hdf5, 3));
    assert!(file.is_cxidb_76());
    for other in ["eiger_master.h5", "kinds.h5:images/mask"] {
        assert!(!FrameFile::open(&data(other)).unwrap().is_cxidb_76());
    }
    for index in 0..3 {
        let counts = values(index as u64).map(|v| v as i32).collect();
        assert_eq!(file.read(index).unwrap(), image(Pixels::I32(counts)));
    }
    let metadata = file.metadata();
    let geometry = metadata.geometry.unwrap();
    assert_eq!((geometry.wavelength_a, geometry.distance_mm), (1.3, 105.5));
    let [x, y] = geometry.beam_center_px;
    assert!(
        (x - 18.5).abs() < 1e-9 && (y - 11.5).abs() < 1e-9,
        "{x} {y}"
    );
    assert_eq!(
        (geometry.pixel_mm, metadata.saturation),
        (0.11, Some(10_000))
    );
    // Two areas of 24 rows and 18 columns, without their outermost pixels.
    let mask = metadata.mask.as_ref().unwrap();
    assert_eq!(mask.count() as u32, COLUMNS * ROWS - 2 * 22 * 16);
    let at = |x: u32, y: u32| (y * COLUMNS + x) as usize;
    assert!(mask.excludes(at(17, 5)) && mask.excludes(at(18, 5)) && mask.excludes(at(19, 5)));
    assert!(!mask.excludes(at(16, 5)) && !mask.excludes(at(20, 1)) && mask.excludes(at(20, 0)));
}
