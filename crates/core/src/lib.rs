#![no_std]
#![forbid(unsafe_code)]
//! The path of one frame, from its slot in the ring to keep or drop.
//!
//! 1. A detector's DMA engine fills a slot of the [ring](hitgate_ring) and numbers it.
//! 2. [`frame`] copies the header out of the slot and checks it.
//! 3. [`decode`] unpacks what the detector compressed; [`prep`] reduces the counts of a window to a small map, in integers; [`correct`] makes counts of
//!    an integrating detector's raw words on the way.
//! 4. [`net`] takes the map to three logits, the same on every machine.
//! 5. [`verdict`] makes a score of them, and of the score keep or drop, with its reason.
//! 6. [`link`] commits a record for every frame and lends the kept slots to whoever sends them.
//! 7. [`pipeline`] is the loop over 1 to 6; [`cpu`] is the part of it that a GPU may replace. All that judges is a
//!    [`Bank`](pipeline::Bank), which may be swapped between two frames.
//! 8. [`interlock`] says whether the path may drop at all: only while few hits are lost for sure.
//! 9. [`accounts`] are the books: expected = received + lost, received = kept + dropped.
//!
//! Nothing here allocates, and nothing panics on any bytes. A frame that cannot be judged is kept.
//!
//! Steps 2 to 6 by hand, on a frame without counts (with a ring around them they are a [`pipeline`]):
//!
//! ```
//! use hitgate_core::{frame::*, link::*, net::*, prep::*, verdict::*};
//!
//! # let bytes = include_bytes!("../../../models/mobilenet-v1-025-224/model.hgm");
//! let model = Model::parse(bytes)?;
//! let input = model.input();
//! # let level = hitgate_kernels::Level::detect();
//! # let needs = Plan::memory(&model, level);
//! # let (mut packed, mut arena) = (vec![0; needs.packed], vec![0; needs.arena]);
//! # let mut arena = Arena::new(&mut arena);
//! # let plan = Plan::new(&model, level, &mut packed)?;
//! # let window = Window::whole(64, 48, input.size);
//! # let preparation = Preparation::plain(64, 48, PixelType::U16, window, input.reduce);
//! # let (mut words, mut map) = (vec![0; preparation.words()], vec![0; preparation.map_bytes()]);
//! # let sampling = Sampling { seed: 0, one_in: 0 };
//! # let policy = Policy { threshold: model.threshold(), sampling, deadline_ns: None };
//! # let identity = Identity { model: 0, config: 0 };
//! let mut slot = [0; HEADER_LEN + 48 * 64 * 2];
//! slot[..HEADER_LEN].copy_from_slice(&FrameHeader::new(48, 64, PixelType::U16).seal());
//!
//! let frame = Frame::parse(&slot).map_err(|(fault, _)| fault)?;
//! preparation.run(level, &frame, &mut words, &mut map)?;
//! let score = model.score(plan.infer(&mut arena, &map)?);
//! let decision = policy.decide(&frame.header, Ok(score), None, 0, 0);
//! let record = Record::new(&frame.header, Some(score), &decision, identity, 0);
//!
//! assert_eq!((record.verdict(), record.class()), (Verdict::DropMiss, Some(Class::Miss)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod accounts;
pub mod correct;
pub mod cpu;
pub mod decode;
pub mod frame;
pub mod interlock;
pub mod link;
pub mod net;
pub mod pipeline;
pub mod prep;
pub mod verdict;
