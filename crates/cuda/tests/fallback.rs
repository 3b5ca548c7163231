//! A device that fails on demand: nothing is dropped for it, the CPU goes on, and the counts say so.

use std::rc::Rc;

use hitgate_core::frame::{Fault, Frame, FrameHeader, PixelType};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};
use hitgate_core::verdict::{Policy, Sampling, Score, Verdict};
use hitgate_cuda::fallback::{Counts, Device, Fallback};

type Batch = heapless::Vec<Scored, MAX_BATCH>;

fn scored(miss: u16) -> Scored {
    Scored {
        score: Ok(Score {
            hit: 0,
            maybe: 0,
            miss,
        }),
        in_domain: true,
        decode_ns: 0,
        prep_ns: 0,
        net_ns: 0,
    }
}

/// Fails with its `fails_at`-th batch, and would answer again after it.
#[derive(Default)]
struct Failing {
    batches: u32,
    fails_at: u32,
    _alive: Rc<()>,
}

impl Device for Failing {
    const BATCH: usize = 4;
    type Lost = &'static str;

    fn score(&mut self, frames: &[Frame<'_>], _: &impl Fn() -> u64) -> Result<Batch, Self::Lost> {
        self.batches += 1;
        match self.batches == self.fails_at {
            true => Err("an error of the driver"),
            false => Ok(frames.iter().map(|_| scored(65_000)).collect()),
        }
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        [b"device's 0", b"device's 1"].get(i).map(|map| &map[..])
    }
}

/// Answers otherwise, so that it is seen who did.
struct Cpu;

impl Backend for Cpu {
    const BATCH: usize = 1;

    fn score(&mut self, frames: &[Frame<'_>], _: &impl Fn() -> u64) -> Batch {
        assert_eq!(frames.len(), 1, "no more than its batch");
        frames.iter().map(|_| scored(64_000)).collect()
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        (i == 0).then_some(b"the cpu's")
    }
}

fn frame() -> Frame<'static> {
    Frame {
        header: FrameHeader::new(1, 1, PixelType::U8),
        pixel_type: PixelType::U8,
        payload: &[0],
    }
}

#[test]
fn a_lost_device_keeps_its_frames_and_the_cpu_goes_on() {
    let failing = Failing {
        fails_at: 2,
        ..Failing::default()
    };
    let mut backend = Fallback::new(failing, Cpu);
    let mut score = |n: usize| {
        let scored = backend.score(&vec![frame(); n], &|| 0);
        let scores: Vec<_> = scored
            .iter()
            .map(|scored| scored.score.map(|s| s.miss))
            .collect();
        let map = backend.map_of(0).map(<[u8]>::to_vec);
        (scores, map, backend.lost().copied(), backend.counts())
    };
    let (scores, map, lost, _) = score(3);
    assert_eq!(scores, [Ok(65_000); 3]);
    assert_eq!((map.as_deref(), lost), (Some(&b"device's 0"[..]), None));

    let (scores, map, lost, counts) = score(4);
    assert_eq!(scores, [Err(Fault::Backend); 4]);
    assert_eq!((map, lost), (None, Some("an error of the driver")));
    assert_eq!(
        counts,
        Counts {
            device: 3,
            lost: 4,
            cpu: 0
        }
    );

    let (scores, map, lost, _) = score(2);
    assert_eq!(scores, [Ok(64_000); 2], "the device is not asked again");
    assert_eq!(
        (map, lost),
        (None, Some("an error of the driver")),
        "the CPU has one map alone"
    );
    let (scores, map, _, counts) = score(1);
    assert_eq!(
        (scores, map.as_deref()),
        (vec![Ok(64_000)], Some(&b"the cpu's"[..]))
    );
    assert_eq!(
        counts,
        Counts {
            device: 3,
            lost: 4,
            cpu: 3
        }
    );
}

#[test]
fn a_frame_that_the_device_was_lost_with_is_kept() {
    let mut backend = Fallback::new(
        Failing {
            fails_at: 1,
            ..Failing::default()
        },
        Cpu,
    );
    let scored = backend.score(&[frame()], &|| 0);
    let policy = Policy {
        threshold: 1 << 15,
        sampling: Sampling { seed: 0, one_in: 0 },
        deadline_ns: None,
    };
    let decision = policy.decide(&frame().header, scored[0].score, None, 0, 0);
    assert_eq!(decision.verdict, Verdict::KeepFault);
}

#[test]
fn a_lost_device_is_given_back_outside_the_path() {
    let alive = Rc::new(());
    let failing = Failing {
        fails_at: 1,
        _alive: Rc::clone(&alive),
        ..Failing::default()
    };
    let mut backend = Fallback::new(failing, Cpu);
    for _ in 0..2 {
        backend.score(&[frame()], &|| 0);
    }
    assert!(backend.lost().is_some() && Rc::strong_count(&alive) == 2);
    drop(backend);
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn without_its_device_it_is_the_cpu_and_says_that_it_fell_back() {
    let mut backend = Fallback::<Failing, _>::without("lost before", Cpu);
    assert_eq!((backend.batch(), backend.fallen_back()), (1, 0));
    let scored = backend.score(&[frame(), frame()], &|| 0);
    assert!(
        scored
            .iter()
            .all(|of| of.score.map(|s| s.miss) == Ok(64_000))
    );
    assert_eq!(
        (backend.fallen_back(), backend.lost()),
        (2, Some(&"lost before"))
    );
    let (device, lost, cpu) = (0, 0, 2);
    assert_eq!(backend.counts(), Counts { device, lost, cpu });
}
