//! Whether the filter may drop. A filter that drops has to have shown, on frames like those that it
//! sees, that it loses few hits, and stops dropping as soon as it cannot show that any more.
//!
//! A seeded sample of the misses is kept, and somebody looks at each of them a second time: a spot
//! finder, or the user's indexer. Of `looked` such frames `lost` were hits after all. What that says
//! about all misses is a bound: with 95 % confidence no more than `λ / looked` of them are hits, with
//! `λ` the upper limit of a Poisson mean of which `lost` were seen (Garwood 1936). Over the frames of a
//! window, the share of all hits that is lost is at most
//!
//! ```text
//! misses · λ / looked
//! ------------------------------
//! misses · λ / looked + kept
//! ```
//!
//! with `kept` the frames that were kept for their score. The interlock is *armed* while that bound, and
//! what it would be after one more lost hit, is no more than [`Rules::max_loss`]. Until then, and
//! whenever it is not, the path runs in *shadow*: it decides, records and drops nothing.

use crate::verdict::{Decision, reasons};

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
#[repr(u8)]
pub enum Disarmed {
    /// The bound is above `max_loss`, times 2¹⁶, or would be after one more lost hit.
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
    /// Frames that reached the threshold.
    pub kept: u64,
    /// Frames that did not: dropped, drawn, or kept in shadow.
    pub misses: u64,
    /// Misses that were drawn and looked at a second time.
    pub looked: u64,
    /// Of these, hits after all.
    pub lost: u64,
}

impl Evidence {
    const NONE: Evidence = Evidence {
        kept: 0,
        misses: 0,
        looked: 0,
        lost: 0,
    };

    fn with(self, other: &Evidence) -> Evidence {
        Evidence {
            kept: self.kept + other.kept,
            misses: self.misses + other.misses,
            looked: self.looked + other.looked,
            lost: self.lost + other.lost,
        }
    }

    /// Misses that are hits, as the looks say: `misses · lost / looked`, rounded.
    pub fn lost_hits(&self) -> u64 {
        let product = u128::from(self.misses) * u128::from(self.lost);
        let looked = u128::from(self.looked.max(1));
        ((product + looked / 2) / looked) as u64
    }

    /// Upper bound, with 95 % confidence, of the share of hits that is lost, times 2¹⁶; all of them
    /// where nobody looked.
    pub fn loss_bound(&self) -> u32 {
        const ALL: u32 = 1 << 16;
        if self.misses == 0 {
            return 0;
        }
        if self.looked == 0 {
            return ALL;
        }
        let misses = u128::from(self.misses) << 16;
        let lost = (u128::from(self.misses) * u128::from(upper_limit(self.lost)))
            .div_ceil(u128::from(self.looked))
            .min(misses);
        let hits = lost + (u128::from(self.kept) << 16);
        (lost << 16).div_ceil(hits.max(1)) as u32
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
    /// The last frames, the youngest lowest: a bit for each that was unlike the training.
    inputs: u64,
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
            inputs: 0,
        }
    }

    /// In shadow until [armed](Self::arm).
    pub const fn new(rules: Rules) -> Self {
        Interlock {
            rules: Some(rules),
            state: Err(Disarmed::Never),
            ..Interlock::none()
        }
    }

    /// Arms it if the evidence is enough. The caller has seen that the model gives its golden
    /// vector's answer.
    ///
    /// # Errors
    /// [`Disarmed`] says what is missing.
    pub fn arm(&mut self) -> Result<(), Disarmed> {
        self.state = self.evidence_is_enough();
        self.state
    }

    /// Whether the path may drop; else why not.
    pub const fn state(&self) -> Result<(), Disarmed> {
        self.state
    }

    /// What was seen of the frames in the window.
    pub fn window(&self) -> Evidence {
        self.parts
            .iter()
            .fold(Evidence::NONE, |sum, part| sum.with(part))
    }

    /// What was seen of all frames.
    pub const fn total(&self) -> Evidence {
        self.total
    }

    /// What speaks against dropping this frame: bits of [`reasons`], none while armed. A frame that is
    /// unlike those of the training is not dropped by a model that never learned such frames.
    pub(crate) const fn objections(&self, in_domain: bool) -> u32 {
        if self.rules.is_none() {
            return 0;
        }
        let disarmed = match self.state {
            Ok(()) => 0,
            Err(Disarmed::Domain { .. }) => reasons::DOMAIN,
            Err(_) => reasons::DISARMED,
        };
        disarmed | if in_domain { 0 } else { reasons::DOMAIN }
    }

    /// Takes note of a judged frame.
    pub(crate) fn judged(&mut self, decision: &Decision, in_domain: bool) {
        let Some(rules) = self.rules else { return };
        let kept = u64::from(decision.reasons & reasons::SCORE != 0);
        let frame = Evidence {
            kept,
            misses: 1 - kept,
            ..Evidence::NONE
        };
        let now = &self.parts[self.part];
        if now.kept + now.misses >= u64::from(rules.window).div_ceil(PARTS as u64) {
            self.part = (self.part + 1) % PARTS;
            self.parts[self.part] = Evidence::NONE;
        }
        self.inputs = self.inputs << 1 | u64::from(!in_domain);
        self.note(&frame);
    }

    /// Takes the answer of a second look at a miss that was drawn: whether it is a hit after all.
    pub fn looked(&mut self, hit: bool) {
        self.note(&Evidence {
            looked: 1,
            lost: u64::from(hit),
            ..Evidence::NONE
        });
    }

    fn note(&mut self, evidence: &Evidence) {
        self.parts[self.part] = self.parts[self.part].with(evidence);
        self.total = self.total.with(evidence);
        if self.state.is_ok() {
            self.state = self.evidence_is_enough();
        }
    }

    fn evidence_is_enough(&self) -> Result<(), Disarmed> {
        let Some(rules) = self.rules else {
            return Ok(());
        };
        let strays = self.inputs.count_ones() as u8;
        if strays > rules.strays {
            return Err(Disarmed::Domain { strays });
        }
        let one_more = Evidence {
            looked: 1,
            lost: 1,
            ..Evidence::NONE
        };
        let bound = self.window().with(&one_more).loss_bound();
        match bound <= u32::from(rules.max_loss) {
            true => Ok(()),
            false => Err(Disarmed::Loss { bound }),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::verdict::{Verdict, WEIGHT_ONE};

    const RULES: Rules = Rules {
        max_loss: 655,
        window: 160_000,
        strays: 4,
    };

    fn decision(kept: bool) -> Decision {
        Decision {
            verdict: if kept {
                Verdict::KeepHit
            } else {
                Verdict::DropMiss
            },
            reasons: if kept { reasons::SCORE } else { 0 },
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
    fn limits_are_never_too_low_and_little_too_high() {
        for seen in (0..200).chain([500, 1000, 5000]) {
            let limit = upper_limit(seen) as f64 / 65536.0;
            assert!(poisson_tail(seen, limit) <= 0.05, "{seen}: {limit}");
            let tighter = limit - 0.01 - if seen < 8 { 0.0 } else { 0.9 };
            assert!(poisson_tail(seen, tighter) > 0.05, "{seen}: {limit}");
        }
    }

    #[test]
    fn the_bound_is_the_share_of_hits_that_may_be_lost() {
        let evidence = Evidence {
            kept: 10_000,
            misses: 90_000,
            looked: 9_000,
            lost: 0,
        };
        // 2.996 of 9,000 misses: 29.96 of 90,000, beside 10,000 hits.
        let bound = f64::from(evidence.loss_bound()) / 65536.0;
        assert!((bound - 29.957 / 10_029.957).abs() < 3e-5, "{bound}");
        assert_eq!(evidence.lost_hits(), 0);
        let evidence = Evidence {
            lost: 3,
            ..evidence
        };
        assert_eq!(evidence.lost_hits(), 30);
        assert_eq!(
            Evidence {
                looked: 0,
                ..evidence
            }
            .loss_bound(),
            1 << 16
        );
        assert_eq!(
            Evidence {
                kept: 0,
                ..evidence
            }
            .loss_bound(),
            1 << 16
        );
        assert_eq!(Evidence::NONE.loss_bound(), 0);
        let most = Evidence {
            kept: 1 << 60,
            misses: 1 << 60,
            looked: 1,
            lost: 1 << 60,
        };
        assert!(most.loss_bound() <= 1 << 16);
    }

    /// Frames of which one in ten is a hit, and one in ten misses is looked at; `lost` of these, in
    /// 1,000, turn out to be hits.
    fn run(interlock: &mut Interlock, frames: u64, lost: u64, mut each: impl FnMut(&Interlock)) {
        for i in 0..frames {
            interlock.judged(&decision(i % 10 == 0), true);
            if i % 10 == 5 {
                interlock.looked(i / 10 % 1000 < lost);
            }
            each(interlock);
        }
    }

    #[test]
    fn it_is_armed_by_a_shadow_run_and_disarms_itself_before_the_bound_is_passed() {
        let mut interlock = Interlock::new(RULES);
        assert_eq!(interlock.objections(true), reasons::DISARMED);
        run(&mut interlock, 100, 0, |_| {});
        assert!(
            matches!(interlock.arm(), Err(Disarmed::Loss { .. })),
            "too little was seen"
        );
        run(&mut interlock, 100_000, 0, |i| {
            assert!(i.state().is_err(), "nobody armed it")
        });
        interlock.arm().unwrap();
        let armed = |interlock: &Interlock| interlock.state().is_ok();
        run(&mut interlock, 200_000, 0, |i| assert!(armed(i)));
        let mut dropped_while_beyond = 0;
        run(&mut interlock, 200_000, 200, |i| {
            let beyond = i.window().loss_bound() > u32::from(RULES.max_loss);
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
        assert_eq!(interlock.total().lost, 4_000);
    }

    #[test]
    fn strange_frames_are_kept_and_many_of_them_disarm() {
        let mut interlock = Interlock::new(RULES);
        run(&mut interlock, 80_000, 0, |_| {});
        interlock.arm().unwrap();
        for strays in 1..=4 {
            assert_eq!(interlock.objections(false), reasons::DOMAIN);
            interlock.judged(&decision(false), false);
            assert_eq!(interlock.state(), Ok(()), "{strays}");
            assert_eq!(interlock.objections(true), 0);
        }
        interlock.judged(&decision(false), false);
        assert_eq!(interlock.state(), Err(Disarmed::Domain { strays: 5 }));
        assert_eq!(interlock.objections(true), reasons::DOMAIN);
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
