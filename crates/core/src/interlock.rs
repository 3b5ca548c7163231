//! Whether the filter may drop. A filter that drops has to have shown, on frames like those that it
//! sees, that it loses few hits, and stops dropping as soon as it cannot show that any more.
//!
//! A seeded sample of all frames is drawn, and somebody looks at each of them a second time: a spot finder, or
//! the user's indexer. Misses that were drawn are kept for that. Of the misses that were looked at `lost`
//! were hits after all, so that with 95 % confidence no more than
//!
//! ```text
//! missed = λ(lost) · misses / looked
//! ```
//!
//! of all misses are, with `λ` the upper limit of a Poisson mean of which so many were seen (Garwood 1936), and
//! `misses / looked` that of the part of the window where looks were rarest. Of the frames that were kept for
//! their score, with 95 % confidence at least
//!
//! ```text
//! found = Σ w · hits − 1.645 √(Σ w² · hits)
//! ```
//!
//! are hits, summed over the parts of the window. A look stands for `w = kept / looked` frames of its own part, so that
//! none speaks for frames of a part where nobody looked; or for fewer, where more is found so: one look at very many
//! frames must not cost what the others have shown. The share of the hits that is lost is then at most
//! `missed / (missed + found)`, and the interlock is *armed* only while that, and what it would be after one more lost hit, is no more than
//! [`Rules::max_loss`]. Until then, and whenever it is not, the path runs in *shadow*: it decides, records and drops
//! nothing.
//!
//! What was seen is of one model and one calibration: where they are [swapped](crate::pipeline::Pipeline::swap), the
//! proof begins anew.

use hitgate_ring::Seq;

use crate::link::Record;
use crate::verdict::{Decision, Verdict, reasons};

/// Parts of a window: the oldest goes when a new one begins.
const PARTS: usize = 16;
/// Frames whose inputs are remembered, a bit each.
const INPUTS: u32 = 64;

/// When the path may drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The largest share of hits that may be lost, as far as the bound says, times 2¹⁶.
    pub max_loss: u16,
    /// Judged frames that the bound looks back on, about.
    pub window: u32,
    /// Of the last 64 judged frames so many may be unlike those of the model's training.
    pub strays: u8,
}

/// Why the interlock is not armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disarmed {
    /// After one more lost hit the bound would be above [`Rules::max_loss`].
    Loss {
        /// The bound after one more lost hit, times 2¹⁶.
        bound: u32,
    },
    /// Too many frames were unlike those of the training.
    Domain {
        /// How many of the last 64.
        strays: u8,
    },
    /// Nobody armed it.
    Never,
}

impl core::fmt::Display for Disarmed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Disarmed::Loss { bound } => write!(
                f,
                "one more lost hit would let the loss be {:.2} % of the hits with 95 % confidence",
                percent(*bound)
            ),
            Disarmed::Domain { strays } => write!(
                f,
                "{strays} of the last {INPUTS} frames are unlike those that the model was trained on"
            ),
            Disarmed::Never => f.write_str("it has not been armed"),
        }
    }
}

fn percent(q16: u32) -> f32 {
    q16 as f32 * (100.0 / 65536.0)
}

/// What was seen of some frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Frames that were kept for their score.
    pub kept: Looked,
    /// Frames that were dropped for their score, or would have been.
    pub missed: Looked,
}

/// Frames, and what second looks at some of them saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// How many there were.
    pub frames: u64,
    /// At how many somebody looked again.
    pub looks: u64,
    /// How many of these are hits.
    pub hits: u64,
}

impl Looked {
    const NONE: Looked = Looked {
        frames: 0,
        looks: 0,
        hits: 0,
    };

    fn with(self, other: Looked) -> Looked {
        Looked {
            frames: self.frames + other.frames,
            looks: self.looks + other.looks,
            hits: self.hits + other.hits,
        }
    }

    /// Hits among all frames, as the looks say: `frames · hits / looks`, rounded.
    pub fn estimated_hits(&self) -> u64 {
        let product = u128::from(self.frames) * u128::from(self.hits);
        let looks = u128::from(self.looks.max(1));
        ((product + looks / 2) / looks) as u64
    }

    /// What its looks tell of hits.
    fn sampled(&self) -> Sampled {
        let frames = self.frames.min(Sampled::MOST) << 16;
        Sampled {
            stands_for: frames.checked_div(self.looks).unwrap_or(0),
            hits: self.hits.min(self.looks).min(Sampled::MOST),
        }
    }
}

/// Hits that were seen, and for how many frames each of the looks stands, times 2¹⁶; for none where nobody looked.
#[derive(Clone, Copy, Default)]
struct Sampled {
    stands_for: u64,
    hits: u64,
}

impl Sampled {
    /// More frames than a part of a window has, and so few that no sum overflows.
    const MOST: u64 = 1 << 30;
}

/// Of frames of which this was seen, part by part, at least so many are hits, times 2¹⁶.
fn least_hits(parts: &[Sampled]) -> u128 {
    let looks = || parts.iter().map(|part| part.stands_for);
    let Some(least) = looks().filter(|it| *it > 0).min() else {
        return 0;
    };
    let most = looks().max().unwrap_or(least);
    // The cuts are powers of two, and half as much again, wherever looks are: if the best cut followed them, fewer looks
    // could make for more hits.
    let first = 1 << least.checked_ilog2().unwrap_or(1).max(1);
    let next = |cut: &u64| match cut.is_power_of_two() {
        true => Some(cut + cut / 2),
        false => Some(cut / 3 * 4),
    };
    core::iter::successors(Some(first), next)
        .take_while(|cut| cut / 2 < most)
        .map(|cut| least_hits_up_to(parts, cut))
        .max()
        .unwrap_or(0)
}

/// As [`least_hits`], where no look stands for more than `cut` frames, times 2¹⁶.
fn least_hits_up_to(parts: &[Sampled], cut: u64) -> u128 {
    let (mut hits, mut variance) = (0, 0);
    for part in parts {
        let stands_for = u128::from(part.stands_for.min(cut));
        let of_part = stands_for * u128::from(part.hits);
        hits += of_part;
        variance += stands_for * of_part;
    }
    // 1.645, rather more.
    hits.saturating_sub((variance.isqrt() + 1) * 422 / 256)
}

impl Evidence {
    const NONE: Evidence = Evidence {
        kept: Looked::NONE,
        missed: Looked::NONE,
    };

    fn with(self, other: &Evidence) -> Evidence {
        Evidence {
            kept: self.kept.with(other.kept),
            missed: self.missed.with(other.missed),
        }
    }
}

/// All hits, times 2¹⁶.
const ALL: u32 = 1 << 16;

/// Upper bound of the share of hits that is lost in frames of which this was seen, part by part, times 2¹⁶; all
/// of them where in a part nobody looked at a miss.
fn loss_bound(parts: impl Iterator<Item = Evidence>) -> u32 {
    let (mut all, mut misses_a_look) = (Evidence::NONE, 0);
    let mut kept = [Sampled::default(); PARTS];
    for (part, kept) in parts.zip(&mut kept) {
        *kept = part.kept.sampled();
        let Looked { frames, looks, .. } = part.missed;
        let rarity = match (frames, looks) {
            (0, _) => 0,
            (_, 0) => return ALL,
            _ => (u128::from(frames) << 16).div_ceil(u128::from(looks)),
        };
        misses_a_look = misses_a_look.max(rarity);
        all = all.with(&part);
    }
    let most = u128::from(all.missed.frames) << 16;
    let missed = u128::from(upper_limit(all.missed.hits)).saturating_mul(misses_a_look);
    let missed = missed.div_ceil(1 << 16).min(most);
    match missed {
        0 => 0,
        _ => (missed << 16).div_ceil((missed + least_hits(&kept)).max(1)) as u32,
    }
}

/// The 95 % upper limit of a Poisson mean of which `seen` were seen, times 2¹⁶; rather more than less.
fn upper_limit(seen: u64) -> u64 {
    /// Solutions of `P(X <= seen | λ) = 0.05`.
    const EXACT: [f32; 8] = [
        2.995_74, 4.743_87, 6.295_8, 7.753_66, 9.153_52, 10.513_04, 11.842_4, 13.148_12,
    ];
    match usize::try_from(seen).ok().and_then(|seen| EXACT.get(seen)) {
        Some(limit) => (limit * 65536.0) as u64 + 1,
        None => {
            // seen + 1.645 √(seen + 1) + 2.
            let seen = seen.min(1 << 40);
            let root = ((seen + 1) << 16).isqrt() + 1;
            (seen << 16) + root * 422 + (2 << 16)
        }
    }
}

/// The switch between shadow and dropping.
#[derive(Clone, Debug)]
pub struct Interlock {
    rules: Option<Rules>,
    state: Result<(), Disarmed>,
    /// The window, part by part, and which of them is being filled.
    parts: [Evidence; PARTS],
    part: usize,
    total: Evidence,
    /// Drawn frames that nobody has looked at yet: kept ones, and misses.
    drawn: [u64; 2],
    /// The last frames, the youngest lowest: a bit for each that was unlike the training.
    inputs: u64,
    /// The first frame that counts.
    since: Seq,
}

impl Interlock {
    /// Never stops the path from dropping: for who has other means, and for replays.
    pub const fn none() -> Self {
        Interlock {
            rules: None,
            state: Ok(()),
            parts: [Evidence::NONE; PARTS],
            part: 0,
            total: Evidence::NONE,
            drawn: [0; 2],
            inputs: 0,
            since: Seq::FIRST,
        }
    }

    /// In shadow until [armed](Self::arm). A path has [a way of its own](crate::pipeline::Pipeline::guard), as it knows from
    /// which frame on.
    pub const fn new(rules: Rules) -> Self {
        Interlock {
            rules: Some(rules),
            state: Err(Disarmed::Never),
            ..Interlock::none()
        }
    }

    /// The same rules, in shadow, with nothing seen of the frames from `since` on.
    pub(crate) fn anew(&self, since: Seq) -> Self {
        let anew = self.rules.map_or(Interlock::none(), Interlock::new);
        Interlock { since, ..anew }
    }

    /// Arms it if the evidence is enough. The caller has seen that the model gives its golden
    /// vector's answer.
    ///
    /// # Errors
    /// [`Disarmed`] says what is missing.
    pub fn arm(&mut self) -> Result<(), Disarmed> {
        // Not at the edge that it was disarmed at.
        let strays = match self.state {
            Err(Disarmed::Domain { .. }) => 2 * self.strays(),
            _ => self.strays(),
        };
        self.state = self.evidence_is_enough(strays);
        self.state
    }

    /// Whether the path may drop; else why not.
    pub const fn state(&self) -> Result<(), Disarmed> {
        self.state
    }

    /// When it lets the path drop; nothing where nobody asks.
    pub const fn rules(&self) -> Option<Rules> {
        self.rules
    }

    /// Upper bound of the share of hits that was lost in the window, times 2¹⁶.
    pub fn loss_bound(&self) -> u32 {
        loss_bound(self.window(&Evidence::NONE))
    }

    /// What was seen of all frames, those that another bank judged left out.
    pub const fn total(&self) -> Evidence {
        self.total
    }

    /// What speaks against dropping this frame: bits of [`reasons`]. [`reasons::DISARMED`] says that nothing is dropped now,
    /// for whatever cause; [`reasons::DOMAIN`] is of this frame alone, which a model that never learned such frames
    /// does not drop.
    pub const fn objections(&self, in_domain: bool) -> u32 {
        if self.rules.is_none() {
            return 0;
        }
        let disarmed = match self.state {
            Ok(()) => 0,
            Err(_) => reasons::DISARMED,
        };
        disarmed | if in_domain { 0 } else { reasons::DOMAIN }
    }

    /// Takes note of a decision. Only those count that the score made, or would have made.
    pub fn judged(&mut self, decision: &Decision, in_domain: bool) {
        let Some(rules) = self.rules else { return };
        self.inputs = self.inputs << 1 | u64::from(!in_domain);
        let one = Looked {
            frames: 1,
            ..Looked::NONE
        };
        let mut frame = Evidence::NONE;
        let place = match Side::of(decision.verdict, decision.reasons) {
            None => return,
            Some(Side::Kept) => {
                frame.kept = one;
                0
            }
            Some(Side::Missed) => {
                frame.missed = one;
                1
            }
        };
        self.drawn[place] += u64::from(decision.reasons & reasons::SAMPLE != 0);
        let now = &self.parts[self.part];
        if now.kept.frames + now.missed.frames >= u64::from(rules.window).div_ceil(PARTS as u64) {
            self.part = (self.part + 1) % PARTS;
            self.parts[self.part] = Evidence::NONE;
        }
        self.note(&frame);
    }

    /// Takes the answer of a second look at the frame of `record`: whether it is a hit. Only frames count that
    /// were [drawn](Side::drawn), on a path by this run and by the bank that judges now. One answer a frame: which one
    /// it is of is not remembered.
    pub fn looked(&mut self, record: &Record, hit: bool) {
        match Side::drawn(record) {
            Some(side) if record.seq >= self.since.get() => self.note_look(side, hit),
            _ => {}
        }
    }

    fn note_look(&mut self, side: Side, hit: bool) {
        let look = Looked {
            looks: 1,
            hits: u64::from(hit),
            ..Looked::NONE
        };
        let (place, look) = match side {
            Side::Kept => (
                0,
                Evidence {
                    kept: look,
                    ..Evidence::NONE
                },
            ),
            Side::Missed => (
                1,
                Evidence {
                    missed: look,
                    ..Evidence::NONE
                },
            ),
        };
        if let Some(left) = self.drawn[place].checked_sub(1) {
            self.drawn[place] = left;
            self.note(&look);
        }
    }

    fn note(&mut self, evidence: &Evidence) {
        self.parts[self.part] = self.parts[self.part].with(evidence);
        self.total = self.total.with(evidence);
        if self.state.is_ok() {
            self.state = self.evidence_is_enough(self.strays());
        }
    }

    /// The parts of the window, with something more in the youngest. That has just begun, and counts with the one
    /// before: looks come later than frames.
    fn window(&self, more: &Evidence) -> impl Iterator<Item = Evidence> {
        let before = (self.part + PARTS - 1) % PARTS;
        let young = self.parts[self.part].with(&self.parts[before]).with(more);
        let old = self.parts.iter().enumerate();
        let old = old.filter(move |(i, _)| *i != self.part && *i != before);
        core::iter::once(young).chain(old.map(|(_, part)| *part))
    }

    fn strays(&self) -> u8 {
        self.inputs.count_ones() as u8
    }

    fn evidence_is_enough(&self, strays: u8) -> Result<(), Disarmed> {
        let Some(rules) = self.rules else {
            return Ok(());
        };
        if strays > rules.strays {
            return Err(Disarmed::Domain {
                strays: self.strays(),
            });
        }
        let one_more = Evidence {
            missed: Looked {
                frames: 1,
                looks: 1,
                hits: 1,
            },
            ..Evidence::NONE
        };
        let bound = loss_bound(self.window(&one_more));
        match bound <= u32::from(rules.max_loss) {
            true => Ok(()),
            false => Err(Disarmed::Loss { bound }),
        }
    }
}

/// On which side of the threshold a frame was, where the score decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Kept for its score.
    Kept,
    /// Dropped for its score, or kept only because it was drawn or the path is in shadow.
    Missed,
}

impl Side {
    /// The side that a decision, or a record, tells; none where something else decided.
    pub const fn of(verdict: Verdict, reasons: u32) -> Option<Self> {
        match verdict {
            Verdict::KeepHit | Verdict::KeepMaybe => Some(Side::Kept),
            Verdict::KeepShadow if reasons & reasons::VETO != 0 => None,
            Verdict::KeepSample | Verdict::KeepShadow | Verdict::DropMiss => Some(Side::Missed),
            _ => None,
        }
    }

    /// The side of a frame that is to be looked at again; none where it was not drawn.
    pub fn drawn(record: &Record) -> Option<Self> {
        match record.reasons & reasons::SAMPLE {
            0 => None,
            _ => Side::of(record.verdict(), record.reasons),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::link::Worth;
    use crate::verdict::WEIGHT_ONE;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const RULES: Rules = Rules {
        max_loss: 655,
        window: 160_000,
        strays: 4,
    };

    fn decision(verdict: Verdict, drawn: bool) -> Decision {
        Decision {
            verdict,
            reasons: if drawn { reasons::SAMPLE } else { 0 },
            weight: WEIGHT_ONE,
        }
    }

    /// `P(X <= seen | λ)`, in logarithms so that no term is lost.
    fn poisson_tail(seen: u64, mean: f64) -> f64 {
        let (mut term, mut sum) = (0.0f64, 0.0f64);
        for k in 0..=seen {
            if k > 0 {
                term += mean.ln() - (k as f64).ln();
            }
            sum += (term - mean).exp();
        }
        sum
    }

    #[test]
    fn limits_are_on_the_safe_side_and_near() {
        for seen in (0..200).chain([500, 1000, 5000]) {
            let limit = upper_limit(seen) as f64 / 65536.0;
            assert!(poisson_tail(seen, limit) <= 0.05, "{seen}: {limit}");
            let tighter = limit - 0.01 - if seen < 8 { 0.0 } else { 0.9 };
            assert!(poisson_tail(seen, tighter) > 0.05, "{seen}: {limit}");
            let limit = lower_limit(seen);
            if seen > 0 && limit > 0.0 {
                // P(X >= seen | λ).
                assert!(
                    1.0 - poisson_tail(seen - 1, limit) <= 0.05,
                    "{seen}: {limit}"
                );
                assert!(
                    1.0 - poisson_tail(seen - 1, limit + 0.9) > 0.05,
                    "{seen}: {limit}"
                );
            }
        }
        assert_eq!(lower_limit(0), 0.0);
    }

    /// Of so many hits, each frame looked at.
    fn lower_limit(seen: u64) -> f64 {
        least_hits(&[looked(seen, seen, seen).sampled()]) as f64 / 65536.0
    }

    fn looked(frames: u64, looks: u64, hits: u64) -> Looked {
        Looked {
            frames,
            looks,
            hits,
        }
    }

    fn bound(kept: Looked, missed: Looked) -> f64 {
        f64::from(loss_bound([Evidence { kept, missed }].into_iter())) / 65536.0
    }

    #[test]
    fn the_bound_is_of_the_share_of_hits_that_may_be_lost() {
        // 2.996 of 9,000 misses, 29.96 of 90,000, beside 10,000 kept frames that are hits but for chance.
        let kept = looked(10_000, 1_000, 1_000);
        let found = 10.0 * (1_000.0 - 1.645 * 1_000f64.sqrt());
        let expected = 29.957 / (29.957 + found);
        assert!((bound(kept, looked(90_000, 9_000, 0)) - expected).abs() < 5e-5);
        assert_eq!(looked(90_000, 9_000, 3).estimated_hits(), 30);
        // Kept frames that are no hits find nothing.
        assert!(bound(looked(10_000, 1_000, 10), looked(90_000, 9_000, 0)) > 0.3);
        assert_eq!(bound(kept, looked(90_000, 0, 0)), 1.0, "nobody looked");
        assert_eq!(bound(looked(0, 0, 0), looked(90_000, 9_000, 0)), 1.0);
        assert_eq!(bound(kept, Looked::NONE), 0.0, "nothing was missed");
        let most = looked(1 << 60, 1, 1 << 60);
        assert!(bound(most, most) <= 1.0);
    }

    #[test]
    fn looks_that_are_rare_where_frames_changed_are_not_made_up_for_elsewhere() {
        let kept = looked(100_000, 5_000, 5_000);
        let parts = [looked(900_000, 45_000, 0), looked(100_000, 500, 50)];
        let parts = parts.map(|missed| Evidence { kept, missed });
        let bound = f64::from(loss_bound(parts.into_iter())) / 65536.0;
        // 10,000 of some 210,000 hits are lost.
        assert!(bound > 0.045, "{bound}");
    }

    #[test]
    fn kept_frames_that_nobody_looked_at_find_nothing() {
        let missed = looked(100_000, 10_000, 0);
        let of = |kept: &[Looked]| {
            let parts = kept.iter().map(|kept| Evidence {
                kept: *kept,
                missed: looked(0, 0, 0),
            });
            let misses = Evidence {
                missed,
                ..Evidence::NONE
            };
            f64::from(loss_bound(parts.chain([misses]))) / 65536.0
        };
        let looks = looked(10_000, 500, 500);
        let [alone, beside] = [of(&[looks]), of(&[looks, looked(90_000, 0, 0)])];
        assert_eq!(alone, beside);
        assert!(
            (alone - 29.957 / (29.957 + 9_260.0)).abs() < 5e-5,
            "{alone}"
        );
        // One look at them says little, and takes away nothing.
        let with_one = of(&[looks, looked(90_000, 1, 1)]);
        assert!((0.9 * alone..=alone).contains(&with_one), "{with_one}");
        // Even looks find what they would find together.
        let (even, together) = (of(&[looks; 10]), of(&[looked(100_000, 5_000, 5_000)]));
        assert!((even - together).abs() < 5e-5, "{even} {together}");
    }

    proptest! {
        /// Whichever looks are taken away of kept frames, as many hits among them as among all.
        #[test]
        fn fewer_looks_at_kept_frames_never_lower_the_bound(
            parts in vec((0u64..2000, 1u64..6, 0u64..6, 0u64..400), 1..PARTS),
            taken in vec(0u64..400, PARTS),
            missed in (1u64..100_000, 1u64..100_000, 0u64..20),
        ) {
            let missed = looked(missed.0.max(missed.1), missed.0.min(missed.1), missed.2);
            let bound = |taken: &[u64]| {
                let kept = parts.iter().zip(taken).map(|((more, of, hits, times), taken)| {
                    let left = times.saturating_sub(*taken);
                    looked(of * times + more, of * left, hits.min(of) * left)
                });
                let parts = kept.map(|kept| Evidence { kept, ..Evidence::NONE });
                let misses = Evidence { missed, ..Evidence::NONE };
                loss_bound(parts.chain([misses]))
            };
            let (all, fewer) = (bound(&[0; PARTS]), bound(&taken));
            // Shares are rounded.
            prop_assert!(fewer + 1 >= all, "{all} {fewer}");
        }
    }

    /// Frames of which one in ten is a hit and is kept, and one in ten is drawn; `lost` of the misses that
    /// are looked at, in 1,000, turn out to be hits.
    fn run(interlock: &mut Interlock, frames: u64, lost: u64, mut each: impl FnMut(&Interlock)) {
        for i in 0..frames {
            let is_kept = i % 10 == 0;
            let drawn = i % 100 < 10;
            let verdict = match is_kept {
                true => Verdict::KeepHit,
                false => Verdict::DropMiss,
            };
            interlock.judged(&decision(verdict, drawn), true);
            match is_kept {
                _ if !drawn => {}
                true => interlock.note_look(Side::Kept, true),
                false => interlock.note_look(Side::Missed, i / 10 % 1000 < lost),
            }
            each(interlock);
        }
    }

    #[test]
    fn it_is_armed_by_a_shadow_run_and_disarms_itself_before_the_bound_is_passed() {
        let mut interlock = Interlock::new(RULES);
        assert_eq!(interlock.objections(true), reasons::DISARMED);
        assert_eq!(
            interlock.arm(),
            Err(Disarmed::Loss { bound: ALL }),
            "no evidence"
        );
        interlock = Interlock::new(RULES);
        run(&mut interlock, 1_000, 0, |_| {});
        assert!(interlock.arm().is_err(), "too little was seen");
        run(&mut interlock, 150_000, 0, |i| {
            assert!(i.state().is_err(), "nobody armed it")
        });
        interlock.arm().unwrap();
        let armed = |interlock: &Interlock| interlock.state().is_ok();
        run(&mut interlock, 200_000, 0, |i| assert!(armed(i)));
        let mut dropped_while_beyond = 0;
        run(&mut interlock, 200_000, 200, |i| {
            let beyond = i.loss_bound() > u32::from(RULES.max_loss);
            dropped_while_beyond += u32::from(armed(i) && beyond);
        });
        assert_eq!(dropped_while_beyond, 0);
        assert!(matches!(interlock.state(), Err(Disarmed::Loss { .. })));
        assert!(
            interlock.arm().is_err(),
            "the window still holds the losses"
        );
        run(&mut interlock, 400_000, 0, |_| {});
        interlock.arm().unwrap();
    }

    #[test]
    fn looks_that_stop_disarm() {
        let mut interlock = Interlock::new(RULES);
        run(&mut interlock, 150_000, 0, |_| {});
        interlock.arm().unwrap();
        let miss = decision(Verdict::DropMiss, true);
        (0..40_000).for_each(|_| interlock.judged(&miss, true));
        assert!(matches!(interlock.state(), Err(Disarmed::Loss { .. })));
    }

    #[test]
    fn answers_about_frames_that_nobody_drew_do_not_count() {
        let mut interlock = Interlock::new(RULES);
        interlock.note_look(Side::Missed, false);
        interlock.judged(&decision(Verdict::DropVeto, true), true);
        interlock.judged(&decision(Verdict::KeepForced, true), true);
        interlock.note_look(Side::Kept, true);
        assert_eq!(interlock.total(), Evidence::NONE);
    }

    #[test]
    fn another_bank_begins_in_shadow_with_nothing_seen() {
        let mut interlock = Interlock::new(RULES);
        run(&mut interlock, 150_000, 0, |_| {});
        interlock.arm().unwrap();
        let next = Seq::from_position(150_000);
        interlock = interlock.anew(next);
        assert_eq!(interlock.state(), Err(Disarmed::Never));
        assert_eq!(interlock.total(), Evidence::NONE);
        assert!(interlock.arm().is_err());

        let record = |seq: Seq, reasons| Record {
            seq: seq.get(),
            verdict: Verdict::KeepShadow as u8,
            reasons,
            ..Record::default()
        };
        interlock.judged(&decision(Verdict::KeepShadow, true), true);
        let before = Seq::from_position(149_999);
        interlock.looked(&record(before, reasons::SAMPLE), true);
        interlock.looked(&record(next, 0), true);
        assert_eq!(interlock.total().missed, looked(1, 0, 0));
        interlock.looked(&record(next, reasons::SAMPLE), true);
        assert_eq!(interlock.total().missed, looked(1, 1, 1));

        // Who asked for no proof is not asked for one by a swap.
        assert_eq!(Interlock::none().anew(next).state(), Ok(()));
    }

    #[test]
    fn strange_frames_are_kept_and_many_of_them_disarm() {
        let mut interlock = Interlock::new(RULES);
        run(&mut interlock, 150_000, 0, |_| {});
        interlock.arm().unwrap();
        let miss = decision(Verdict::KeepShadow, false);
        for strays in 1..=4 {
            assert_eq!(interlock.objections(false), reasons::DOMAIN);
            interlock.judged(&miss, false);
            assert_eq!(interlock.state(), Ok(()), "{strays}");
            assert_eq!(interlock.objections(true), 0);
        }
        interlock.judged(&miss, false);
        assert_eq!(interlock.state(), Err(Disarmed::Domain { strays: 5 }));
        // All is kept now, but a link that cannot carry all of it still gives up misses first.
        let worth = |in_domain| {
            let objections = interlock.objections(in_domain);
            assert_ne!(objections & reasons::DISARMED, 0);
            Worth::of(Verdict::KeepShadow, objections)
        };
        assert_eq!([worth(true), worth(false)], [Worth::Sample, Worth::Most]);
        assert!(interlock.arm().is_err());
        run(&mut interlock, 64, 0, |_| {});
        interlock.arm().unwrap();
    }

    #[test]
    fn without_rules_nothing_is_held() {
        let mut interlock = Interlock::none();
        run(&mut interlock, 1000, 1000, |i| {
            assert_eq!(i.objections(false), 0)
        });
        assert_eq!(interlock.arm(), Ok(()));
    }
}
