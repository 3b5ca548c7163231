//! Whether a GPU computes what the CPU computes.

use anyhow::{Result, bail};
use hitgate_core::frame::{Frame, FrameHeader, HEADER_LEN, PixelType};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use hitgate_cuda::fallback::Device;
use hitgate_host::Ring;
use hitgate_ring::Layout;

use super::subject::Subject;
use crate::filter::FilterMemory;
use crate::model;
use crate::progress::Progress;
use crate::slot::{SlotFrame, put, stride};

/// What has to be the same: the score or why there is none, whether the frame is like those of the training, and its map.
type Answer = (Scored, Option<Vec<u8>>);

/// Scores the same frames on both, in batches of many lengths, and compares them, `==`. They are those of the subject, in both
/// views, as counts and, where the detector has such, as raw words; dark and overexposed ones; and some of no module's. The GPU has
/// each of them from a ring, which it reads by itself as in a run, and from memory that the driver copies.
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
    // One more module than there are.
    let modules = preparations.len() + 1;
    let frames = frames_of(header, modules, &payloads);

    // Half of the slots may be lent.
    let slots = 2 * payloads.len() as u32;
    let layout = Layout::new(slots, stride(HEADER_LEN + pixels)?, slots)?;
    let ring = Ring::anonymous(&layout, 1)?;
    let mut writer = ring.writer()?;
    for payload in &payloads {
        let frame = SlotFrame::fresh(&subject.panel.modules[0], 0, payload)?;
        if !put(&mut writer, &frame, |_| ())? {
            bail!("the ring is full before all frames are in it");
        }
    }
    let mut reader = ring.reader()?;
    let registered = subject.hardware.register(&ring);
    let there = reader.read(slots)?;
    let in_slots: Vec<&[u8]> = (there.frames())
        .map(|frame| &frame.bytes()[HEADER_LEN..][..pixels])
        .collect();
    let in_ring = frames_of(header, modules, &in_slots);
    if in_ring.len() != frames.len() {
        bail!("the ring does not hold all frames");
    }

    let mut memory = FilterMemory::new(&model, subject.level, &preparations);
    let mut cpu = memory.cpu(&model, subject.level, &preparations)?;
    let mut gpu = subject.hardware.cuda(&model, &preparations)?;
    let places = [(RING, &in_ring), (PAGEABLE, &frames)];
    let total = frames.len() + places.len() * LENGTHS.iter().sum::<usize>();
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
    for length in LENGTHS {
        let number = |i: usize| (first + i) % frames.len();
        for (place, frames) in places {
            let batch: Vec<Frame<'_>> = (0..length).map(|i| frames[number(i)]).collect();
            let scored = gpu.score(&batch, &|| 0)?;
            for (i, scored) in scored.iter().enumerate() {
                progress.advance();
                let (found, expected) = (answer(*scored, gpu.map_of(i)), &expected[number(i)]);
                if found != *expected {
                    progress.clear();
                    bail!(
                        "frame {} of {} from {place}, as number {i} of a batch of {length}: the GPU says {:?}, the CPU {:?}, and the maps are {}: do not use this GPU, and please report this",
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
            judged += scored.len();
        }
        first += length;
    }
    progress.clear();
    let faults = expected.iter().filter(|(scored, _)| scored.score.is_err());
    say!(
        "check      {judged} frames, {} different ones and {} of them faults, {}, in batches of 1 to {MAX_BATCH} ({} lengths) on {}: scores, faults, domain and maps are the CPU's, to the bit",
        frames.len(),
        faults.count(),
        if registered.is_empty() {
            "none by DMA"
        } else {
            "each by DMA and copied"
        },
        LENGTHS.len(),
        subject.hardware.gpu().unwrap_or("no GPU")
    );
    Ok(())
}

/// Frames of a batch: of each size that a network is recorded for some, the most among them.
const LENGTHS: [usize; 13] = [1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 25, 31, MAX_BATCH];

/// Where frames lie, in words.
const RING: &str = "the ring";
const PAGEABLE: &str = "pageable memory";

/// Each payload as a frame of each module.
fn frames_of<'p>(header: FrameHeader, modules: usize, payloads: &[&'p [u8]]) -> Vec<Frame<'p>> {
    let mut frames = Vec::new();
    for module in 0..modules {
        for payload in payloads {
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
    frames
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
