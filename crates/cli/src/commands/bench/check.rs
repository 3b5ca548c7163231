//! Whether a GPU computes what the CPU computes.

use anyhow::{Result, bail};
use hitgate_core::frame::{Frame, PixelType};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use hitgate_cuda::fallback::Device;

use super::subject::Subject;
use crate::filter::FilterMemory;
use crate::model;
use crate::progress::Progress;

/// What has to be the same: the score or why there is none, whether the frame is like those of the training, and its map.
type Answer = (Scored, Option<Vec<u8>>);

/// Scores the same frames on both, in batches of every length, and compares them, `==`. They are those of the subject, in both
/// views, as counts and, where the detector has such, as raw words; dark and overexposed ones; and some of no module's.
///
/// # Errors
/// Where anything is not the same, or the GPU fails.
pub fn run(subject: &Subject) -> Result<()> {
    let model = model::parse(subject.network.file(), None)?;
    let raw = subject.panel.raw();
    let corrections: Vec<_> = raw.iter().filter_map(|raw| raw.correction()).collect();
    let mut preparations = subject.preparations();
    if !corrections.is_empty() {
        let corrected = preparations.iter().map(|of| Preparation {
            corrections: &corrections,
            saturation: u32::MAX,
            ..of.clone()
        });
        let corrected: Vec<_> = corrected.collect();
        preparations.extend(corrected);
    }

    let pixels = subject.panel.pixels() * PixelType::U16.size();
    let (dark, bright) = (vec![0; pixels], vec![0xFE; pixels]);
    let mut payloads: Vec<&[u8]> = vec![&dark, &bright];
    payloads.extend(subject.panel.frames.iter().map(|frame| frame.payload()));
    payloads.extend(raw.iter().flat_map(|raw| &raw.frames).map(Vec::as_slice));
    let Frame { header, .. } =
        Frame::parse(subject.frame(0).bytes()).map_err(|(fault, _)| fault)?;
    let mut frames = Vec::new();
    // One more module than there are.
    for module in 0..=preparations.len() {
        for payload in &payloads {
            let mut header = header;
            header.module_id = module as u16;
            header.cell_id = 0;
            // A few are of another shape.
            header.rows += u16::from(frames.len() % 11 == 10);
            frames.push(Frame {
                header,
                pixel_type: PixelType::U16,
                payload,
            });
        }
    }

    let mut memory = FilterMemory::new(&model, subject.level, &preparations);
    let mut cpu = memory.cpu(&model, subject.level, &preparations)?;
    let mut gpu = subject.hardware.cuda(&model, &preparations)?;
    let total = frames.len() + (1..=MAX_BATCH).sum::<usize>();
    let progress = Progress::start("comparing", total as u64);
    let expected: Vec<Answer> = frames
        .iter()
        .map(|frame| {
            progress.advance();
            let scored = cpu.score(&[*frame], &|| 0)[0];
            answer(scored, cpu.map_of(0))
        })
        .collect();
    let (mut first, mut judged) = (0, 0);
    for length in 1..=MAX_BATCH {
        let number = |i: usize| (first + i) % frames.len();
        let batch: Vec<Frame<'_>> = (0..length).map(|i| frames[number(i)]).collect();
        let scored = gpu.score(&batch, &|| 0)?;
        for (i, scored) in scored.iter().enumerate() {
            progress.advance();
            let (found, expected) = (answer(*scored, gpu.map_of(i)), &expected[number(i)]);
            if found != *expected {
                progress.clear();
                bail!(
                    "frame {} of {}, as number {i} of a batch of {length}: the GPU says {:?}, the CPU {:?}, and the maps are {}: do not use this GPU, and please report this",
                    number(i),
                    frames.len(),
                    found.0,
                    expected.0,
                    if found.1 == expected.1 {
                        "the same"
                    } else {
                        "others"
                    }
                );
            }
        }
        first += length;
        judged += scored.len();
    }
    progress.clear();
    let faults = expected.iter().filter(|(scored, _)| scored.score.is_err());
    say!(
        "check      {judged} frames, {} different ones and {} of them faults, in batches of 1 to {MAX_BATCH} on {}: scores, faults, domain and maps are the CPU's, to the bit",
        frames.len(),
        faults.count(),
        subject.hardware.gpu().unwrap_or("no GPU")
    );
    Ok(())
}

/// Without what is not compared: times, and the map of a frame that has no score.
fn answer(scored: Scored, map: Option<&[u8]>) -> Answer {
    let map = map.filter(|_| scored.score.is_ok()).map(<[u8]>::to_vec);
    let untimed = Scored {
        prep_ns: 0,
        net_ns: 0,
        ..scored
    };
    (untimed, map)
}
