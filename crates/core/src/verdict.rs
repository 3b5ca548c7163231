//! Logits → a score → keep or drop, in integers: the same answer on every machine.

use core::fmt;

use crate::frame::{Fault, FrameHeader, flags, pulse_kind};

/// What the network says of a frame. The order decides ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Ten Bragg spots or more within the water ring.
    Hit = 0,
    /// Four to nine.
    Maybe = 1,
    /// Three or fewer.
    Miss = 2,
}

impl Class {
    /// Every class, in the order of the logits.
    pub const ALL: [Class; 3] = [Class::Hit, Class::Maybe, Class::Miss];

    /// The class of a frame with `spots` counted Bragg spots.
    pub const fn of_spots(spots: u32) -> Self {
        match spots {
            10.. => Class::Hit,
            4..=9 => Class::Maybe,
            _ => Class::Miss,
        }
    }

    /// `hit`, `maybe`, `miss`.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Hit => "hit",
            Class::Maybe => "maybe",
            Class::Miss => "miss",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Probabilities of the three classes, each as `p · 2¹⁶`, at most 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Score {
    /// Probability of a hit.
    pub hit: u16,
    /// Probability of a maybe.
    pub maybe: u16,
    /// Probability of a miss.
    pub miss: u16,
}

impl Score {
    /// Softmax of `logits · scale · ln 2`: `scale` (finite, positive) takes the network's integers
    /// to powers of two, with the temperature folded in.
    ///
    /// Each product is rounded to Q16.16 half to even and clamped to ±2¹⁴, the largest is
    /// subtracted, 2⁻ᵈ comes from a table of 256 entries with linear interpolation, and
    /// `p = min(65535, (e << 16) / Σe)`.
    pub fn from_logits(logits: [i32; 3], scale: f32) -> Self {
        let x = logits.map(|logit| to_q16(logit as f32 * scale));
        let largest = x[0].max(x[1]).max(x[2]);
        let e = x.map(|x| exp2_of_minus(largest.abs_diff(x)));
        let sum = e[0] + e[1] + e[2];
        let [hit, maybe, miss] = e.map(|e| ((e << 16) / sum).min(0xFFFF) as u16);
        Score { hit, maybe, miss }
    }

    /// Whether a softmax can say this: the three are fractions of one whole, each rounded down, so that their sum is
    /// 65534 to 65536.
    pub const fn is_whole(&self) -> bool {
        let sum = self.hit as u32 + self.maybe as u32 + self.miss as u32;
        sum >= 65534 && sum <= 65536
    }

    /// The largest; ties go to the first of hit, maybe, miss.
    pub fn class(&self) -> Class {
        if self.hit >= self.maybe && self.hit >= self.miss {
            Class::Hit
        } else if self.maybe >= self.miss {
            Class::Maybe
        } else {
            Class::Miss
        }
    }

    /// `p_hit + p_maybe`, times 2¹⁶.
    pub fn keep(&self) -> u32 {
        u32::from(self.hit) + u32::from(self.maybe)
    }
}

/// `x` in Q16.16, half to even, clamped to ±2¹⁴.
fn to_q16(x: f32) -> i32 {
    // Adding 1.5 · 2⁵² leaves the nearest integer in the low bits, ties to even; core has no
    // `round_ties_even`.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let scaled = f64::from(x.clamp(-16384.0, 16384.0)) * 65536.0;
    (scaled + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}

/// `65535 · 2^(−d / 2¹⁶)`.
fn exp2_of_minus(d: u32) -> u32 {
    let (whole, entry, rest) = (d >> 16, (d >> 8 & 0xFF) as usize, d & 0xFF);
    let from = u32::from(EXP2[entry]);
    let to = EXP2
        .get(entry + 1)
        .map_or(u32::from(EXP2[0]).div_ceil(2), |&next| u32::from(next));
    let value = from - (((from - to) * rest + 128) >> 8);
    value.checked_shr(whole).unwrap_or(0)
}

/// `round(65535 · 2^(−i / 256))`.
#[rustfmt::skip]
const EXP2: [u16; 256] = [
    65535, 65358, 65181, 65005, 64829, 64654, 64479, 64305, 64131, 63957, 63784, 63612,
    63440, 63268, 63097, 62927, 62757, 62587, 62418, 62249, 62081, 61913, 61745, 61578,
    61412, 61246, 61080, 60915, 60750, 60586, 60422, 60259, 60096, 59933, 59771, 59610,
    59449, 59288, 59127, 58968, 58808, 58649, 58491, 58332, 58175, 58017, 57860, 57704,
    57548, 57392, 57237, 57082, 56928, 56774, 56621, 56468, 56315, 56163, 56011, 55859,
    55708, 55558, 55407, 55258, 55108, 54959, 54811, 54662, 54515, 54367, 54220, 54074,
    53927, 53781, 53636, 53491, 53346, 53202, 53058, 52915, 52772, 52629, 52487, 52345,
    52203, 52062, 51921, 51781, 51641, 51501, 51362, 51223, 51085, 50947, 50809, 50671,
    50534, 50398, 50261, 50126, 49990, 49855, 49720, 49586, 49452, 49318, 49184, 49051,
    48919, 48787, 48655, 48523, 48392, 48261, 48131, 48000, 47871, 47741, 47612, 47483,
    47355, 47227, 47099, 46972, 46845, 46718, 46592, 46466, 46340, 46215, 46090, 45965,
    45841, 45717, 45593, 45470, 45347, 45225, 45102, 44980, 44859, 44737, 44617, 44496,
    44376, 44256, 44136, 44017, 43898, 43779, 43660, 43542, 43425, 43307, 43190, 43073,
    42957, 42841, 42725, 42609, 42494, 42379, 42265, 42150, 42036, 41923, 41809, 41696,
    41584, 41471, 41359, 41247, 41136, 41024, 40914, 40803, 40693, 40583, 40473, 40363,
    40254, 40145, 40037, 39929, 39821, 39713, 39606, 39498, 39392, 39285, 39179, 39073,
    38967, 38862, 38757, 38652, 38548, 38443, 38339, 38236, 38132, 38029, 37926, 37824,
    37722, 37620, 37518, 37416, 37315, 37214, 37114, 37013, 36913, 36813, 36714, 36615,
    36516, 36417, 36318, 36220, 36122, 36025, 35927, 35830, 35733, 35637, 35540, 35444,
    35348, 35253, 35157, 35062, 34968, 34873, 34779, 34685, 34591, 34497, 34404, 34311,
    34218, 34126, 34033, 33941, 33850, 33758, 33667, 33576, 33485, 33394, 33304, 33214,
    33124, 33035, 32945, 32856,
];

/// What happens to a frame, and why. The numbers stand in records and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Dropped: the network says miss.
    DropMiss = 1,
    /// Dropped: an external veto.
    DropVeto = 2,
    /// Kept: probably a hit.
    KeepHit = 3,
    /// Kept: probably a maybe.
    KeepMaybe = 4,
    /// Kept: a miss, drawn as a sample of what is dropped.
    KeepSample = 5,
    /// Kept: the source or an operator asked for it.
    KeepForced = 6,
    /// Kept: the decision came after the deadline.
    KeepLate = 7,
    /// Kept: one module's vote, until a combiner has seen the others.
    KeepPartial = 8,
    /// Kept: the frame could not be judged.
    KeepFault = 9,
    /// Not a frame: a contiguous range of frames that never came, from `frame_number` on.
    Lost = 10,
    /// Kept: would have been dropped, but the [interlock](crate::interlock) is not armed, or the frame is
    /// unlike those of the model's training.
    KeepShadow = 11,
}

impl Verdict {
    /// Every verdict on a frame that was received.
    pub const ALL: [Verdict; 10] = [
        Verdict::DropMiss,
        Verdict::DropVeto,
        Verdict::KeepHit,
        Verdict::KeepMaybe,
        Verdict::KeepSample,
        Verdict::KeepForced,
        Verdict::KeepLate,
        Verdict::KeepPartial,
        Verdict::KeepFault,
        Verdict::KeepShadow,
    ];

    /// The verdict that a record's number names.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            10 => Some(Verdict::Lost),
            _ => Verdict::ALL
                .into_iter()
                .find(|verdict| *verdict as u8 == code),
        }
    }

    /// Whether the frame goes on.
    pub const fn keeps(self) -> bool {
        !matches!(self, Verdict::DropMiss | Verdict::DropVeto | Verdict::Lost)
    }

    /// The reason in one word.
    pub const fn reason(self) -> &'static str {
        match self {
            Verdict::DropMiss => "miss",
            Verdict::DropVeto => "veto",
            Verdict::KeepHit => "hit",
            Verdict::KeepMaybe => "maybe",
            Verdict::KeepSample => "sample",
            Verdict::KeepForced => "forced",
            Verdict::KeepLate => "late",
            Verdict::KeepPartial => "partial",
            Verdict::KeepFault => "fault",
            Verdict::Lost => "lost",
            Verdict::KeepShadow => "shadow",
        }
    }
}

/// Bits of a record's reasons: everything that was true of the frame, not only what decided.
/// Faults have bits 16 and up, see [`Fault::reason_bit`].
pub mod reasons {
    /// An operator, or another system, asked to keep the frame.
    pub const EXTERNAL_KEEP: u32 = 1 << 0;
    /// The source's keep-raw flag.
    pub const KEEP_RAW: u32 = 1 << 1;
    /// The source's calibration flag.
    pub const CALIBRATION: u32 = 1 << 2;
    /// The source's test-pattern flag.
    pub const TEST_PATTERN: u32 = 1 << 3;
    /// An external veto.
    pub const VETO: u32 = 1 << 4;
    /// Decided after the deadline.
    pub const LATE: u32 = 1 << 5;
    /// One module of several.
    pub const PARTIAL: u32 = 1 << 6;
    /// `p_hit + p_maybe` reaches the threshold.
    pub const SCORE: u32 = 1 << 7;
    /// Drawn as a sample.
    pub const SAMPLE: u32 = 1 << 8;
    /// The interlock was not armed, for whatever cause.
    pub const DISARMED: u32 = 1 << 9;
    /// This frame is unlike those of the model's training.
    pub const DOMAIN: u32 = 1 << 10;
}

/// A decision that came from outside, such as a fast companion detector's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum External {
    /// Keep, whatever the network says.
    Keep,
    /// Drop, unless something forces the frame to be kept.
    Veto,
}

/// Keeps a known fraction of what would be dropped, so that the filter can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// Seed; the same on all modules, so that they keep the same pulses.
    pub seed: u64,
    /// One miss in so many is kept; 0 keeps none.
    pub one_in: u16,
}

impl Sampling {
    /// Whether the pulse of this header is drawn. A function of seed and pulse alone; where the
    /// source tells neither pulse nor number, of seed and number in the ring.
    fn draws(&self, header: &FrameHeader) -> bool {
        let key = match header.pulse_kind {
            pulse_kind::NONE if header.frame_number != 0 => header.frame_number,
            // Of all that a frame without a name has, only this differs from one to the next.
            pulse_kind::NONE => header.seq,
            _ => header.pulse_key ^ u64::from(header.pulse_in_train).rotate_left(40),
        };
        // SplitMix64 (Steele et al. 2014).
        let mut z = self
            .seed
            .wrapping_add(key.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.one_in != 0 && (z ^ z >> 31).is_multiple_of(u64::from(self.one_in))
    }
}

/// The rule of keep or drop. Frames are lost for good when it is wrong, so it fails open: only a
/// veto and a judged miss drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Keep when `p_hit + p_maybe` is at least this, times 2¹⁶; 0 keeps every frame.
    pub threshold: u16,
    /// The sample of misses that is kept.
    pub sampling: Sampling,
    /// A decision that takes longer than this many ns is late. `None`: never.
    pub deadline_ns: Option<u32>,
}

/// What was decided, and everything that spoke for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Keep or drop.
    pub verdict: Verdict,
    /// Bits of [`reasons`] and faults.
    pub reasons: u32,
    /// How many frames this one stands for, Q16.16.
    pub weight: u32,
}

/// A weight of one frame.
pub const WEIGHT_ONE: u32 = 1 << 16;

impl Policy {
    /// Decides in the order: forced, veto, fault, late, partial, hit or maybe, sample, miss. Where the
    /// interlock has `objections`, bits of [`reasons`], nothing is dropped.
    pub fn decide(
        &self,
        header: &FrameHeader,
        score: Result<Score, Fault>,
        external: Option<External>,
        elapsed_ns: u64,
        objections: u32,
    ) -> Decision {
        const FORCED: u32 = reasons::EXTERNAL_KEEP
            | reasons::KEEP_RAW
            | reasons::CALIBRATION
            | reasons::TEST_PATTERN;
        let late = self
            .deadline_ns
            .is_some_and(|deadline| elapsed_ns > u64::from(deadline));
        let found = [
            (external == Some(External::Keep), reasons::EXTERNAL_KEEP),
            (header.flags & flags::KEEP_RAW != 0, reasons::KEEP_RAW),
            (header.flags & flags::CALIBRATION != 0, reasons::CALIBRATION),
            (
                header.flags & flags::TEST_PATTERN != 0,
                reasons::TEST_PATTERN,
            ),
            (external == Some(External::Veto), reasons::VETO),
            (late, reasons::LATE),
            (header.modules > 1, reasons::PARTIAL),
            (
                score.is_ok_and(|s| s.keep() >= u32::from(self.threshold)),
                reasons::SCORE,
            ),
            (self.sampling.draws(header), reasons::SAMPLE),
        ]
        .into_iter()
        .fold(
            objections,
            |bits, (is, bit)| {
                if is { bits | bit } else { bits }
            },
        );
        let fault = score.map_or_else(Fault::reason_bit, |_| 0);

        let verdict = match score {
            _ if found & FORCED != 0 => Verdict::KeepForced,
            _ if found & reasons::VETO != 0 => match objections {
                0 => Verdict::DropVeto,
                _ => Verdict::KeepShadow,
            },
            Err(_) => Verdict::KeepFault,
            Ok(_) if late => Verdict::KeepLate,
            Ok(_) if found & reasons::PARTIAL != 0 => Verdict::KeepPartial,
            Ok(score) if found & reasons::SCORE != 0 && score.hit >= score.maybe => {
                Verdict::KeepHit
            }
            Ok(_) if found & reasons::SCORE != 0 => Verdict::KeepMaybe,
            Ok(_) if found & reasons::SAMPLE != 0 => Verdict::KeepSample,
            Ok(_) if objections != 0 => Verdict::KeepShadow,
            Ok(_) => Verdict::DropMiss,
        };
        let weight = match verdict {
            // In shadow those that were not drawn are kept too, and stand for themselves.
            Verdict::KeepSample if objections == 0 => u32::from(self.sampling.one_in) << 16,
            _ => WEIGHT_ONE,
        };
        Decision {
            verdict,
            reasons: found | fault,
            weight,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::frame::PixelType;

    const HIT: Score = Score {
        hit: 40000,
        maybe: 20000,
        miss: 5535,
    };
    const MAYBE: Score = Score {
        hit: 20000,
        maybe: 40000,
        miss: 5535,
    };
    const MISS: Score = Score {
        hit: 100,
        maybe: 100,
        miss: 65335,
    };

    #[test]
    fn the_table_is_the_power_of_two() {
        for (i, &entry) in EXP2.iter().enumerate() {
            assert_eq!(
                f64::from(entry),
                (65535.0 * (-(i as f64) / 256.0).exp2()).round()
            );
        }
    }

    #[test]
    fn score_is_the_softmax() {
        for (logits, scale) in [
            ([0, 0, 0], 1.0),
            ([100, 0, -100], 0.01),
            ([5, 9, 7], 0.37),
            ([i32::MAX, i32::MIN, 0], f32::MAX),
            ([-70000, -70010, -70400], 0.003),
        ] {
            let score = Score::from_logits(logits, scale);
            let x = logits.map(|l| f64::from(l as f32 * scale).clamp(-16384.0, 16384.0));
            let largest = x.iter().copied().fold(f64::MIN, f64::max);
            let e = x.map(|x| (x - largest).exp2());
            let sum: f64 = e.iter().sum();
            for (found, e) in [score.hit, score.maybe, score.miss].into_iter().zip(e) {
                let expected = e / sum * 65536.0;
                assert!(
                    (f64::from(found) - expected).abs() < 3.0,
                    "{logits:?}: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn what_the_softmax_says_is_whole_and_all_that_is_whole_it_can_say() {
        let mut sums = [0; 3];
        let mut at = 0x2545_F491_4F6C_DD1D_u64;
        for _ in 0..200_000 {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let logits = [at >> 52, at >> 40 & 0xFFF, at >> 28 & 0xFFF].map(|word| word as i32);
            let score = Score::from_logits(logits, 0.003);
            assert!(score.is_whole(), "{logits:?}: {score:?}");
            let sum = score.keep() + u32::from(score.miss);
            sums[sum as usize - 65534] += 1;
        }
        assert!(sums[0] > 0 && sums[1] > 0, "{sums:?}");
        let sure = Score::from_logits([0, -70_000, -70_000], 1.0);
        let torn = Score::from_logits([0, 0, -70_000], 1.0);
        assert_eq!(
            [sure, torn].map(|s| (s.keep(), s.miss)),
            [(65535, 0), (65536, 0)]
        );
        assert!(sure.is_whole() && torn.is_whole());
        let sums_to = |sum: u32| Score {
            hit: 2,
            maybe: (sum / 2) as u16,
            miss: (sum - 2 - sum / 2) as u16,
        };
        for sum in [5, 32768, 65533, 65537, 131_070] {
            assert!(!sums_to(sum).is_whole(), "{sum}");
        }
        let (hit, maybe, miss) = (0, 0, 0);
        assert!(!Score { hit, maybe, miss }.is_whole());
    }

    #[test]
    fn rounding_is_half_to_even_and_clamped() {
        let half = 0.5 / 65536.0;
        for (x, q) in [
            (half, 0),
            (3.0 * half, 2),
            (-half, 0),
            (5.0 * half, 2),
            (1.0, 65536),
        ] {
            assert_eq!(to_q16(x), q);
        }
        assert_eq!(
            (to_q16(f32::INFINITY), to_q16(f32::MIN)),
            (1 << 30, -(1 << 30))
        );
    }

    #[test]
    fn exp2_falls_monotonically() {
        let values = (0..40 << 16).step_by(37).map(exp2_of_minus);
        assert!(values.clone().zip(values.skip(1)).all(|(a, b)| a >= b));
        assert_eq!((exp2_of_minus(0), exp2_of_minus(u32::MAX)), (65535, 0));
    }

    #[test]
    fn ties_go_to_the_class_that_keeps() {
        let class = |hit, maybe, miss| Score { hit, maybe, miss }.class();
        assert_eq!(class(5, 5, 5), Class::Hit);
        assert_eq!(class(4, 5, 5), Class::Maybe);
        assert_eq!(class(4, 4, 5), Class::Miss);
    }

    #[test]
    fn precedence() {
        let policy = Policy {
            threshold: 1 << 15,
            sampling: Sampling { seed: 1, one_in: 0 },
            deadline_ns: Some(10),
        };
        let plain = FrameHeader::new(1, 1, PixelType::U8);
        let raw = FrameHeader {
            flags: flags::KEEP_RAW,
            ..plain
        };
        let vote = FrameHeader {
            modules: 8,
            ..plain
        };
        let fault = Err(Fault::Shape);
        let veto = Some(External::Veto);
        let decide = |header, score, external, elapsed| {
            policy.decide(header, score, external, elapsed, 0).verdict
        };
        assert_eq!(decide(&raw, fault, veto, 11), Verdict::KeepForced);
        assert_eq!(
            decide(&plain, Ok(MISS), Some(External::Keep), 0),
            Verdict::KeepForced
        );
        assert_eq!(decide(&vote, fault, veto, 11), Verdict::DropVeto);
        assert_eq!(decide(&vote, fault, None, 11), Verdict::KeepFault);
        assert_eq!(decide(&vote, Ok(MISS), None, 11), Verdict::KeepLate);
        assert_eq!(decide(&vote, Ok(MISS), None, 10), Verdict::KeepPartial);
        assert_eq!(decide(&plain, Ok(HIT), None, 0), Verdict::KeepHit);
        assert_eq!(decide(&plain, Ok(MAYBE), None, 0), Verdict::KeepMaybe);
        assert_eq!(decide(&plain, Ok(MISS), None, 0), Verdict::DropMiss);
    }

    #[test]
    fn nothing_is_dropped_against_an_objection() {
        let policy = Policy {
            threshold: 1 << 15,
            sampling: Sampling { seed: 1, one_in: 2 },
            deadline_ns: Some(10),
        };
        let mut shadowed = 0;
        for number in 1..100 {
            let header = FrameHeader {
                frame_number: number,
                ..FrameHeader::new(1, 1, PixelType::U8)
            };
            for score in [Ok(HIT), Ok(MISS), Err(Fault::Shape)] {
                for external in [None, Some(External::Keep), Some(External::Veto)] {
                    let free = policy.decide(&header, score, external, 0, 0);
                    let held = policy.decide(&header, score, external, 0, reasons::DISARMED);
                    let expected = match free.verdict {
                        Verdict::DropMiss | Verdict::DropVeto => Verdict::KeepShadow,
                        other => other,
                    };
                    assert_eq!(held.verdict, expected);
                    assert_eq!(held.reasons, free.reasons | reasons::DISARMED);
                    shadowed += u32::from(expected == Verdict::KeepShadow);
                }
            }
        }
        assert!(shadowed > 100);
    }

    #[test]
    fn reasons_tell_everything_that_was_true() {
        let policy = Policy {
            threshold: 0,
            sampling: Sampling { seed: 1, one_in: 1 },
            deadline_ns: Some(1),
        };
        let header = FrameHeader {
            flags: flags::CALIBRATION,
            modules: 2,
            ..FrameHeader::new(1, 1, PixelType::U8)
        };
        let decision = policy.decide(&header, Ok(MISS), None, 2, 0);
        let all = reasons::CALIBRATION
            | reasons::LATE
            | reasons::PARTIAL
            | reasons::SCORE
            | reasons::SAMPLE;
        assert_eq!(decision.reasons, all);
        let decision = policy.decide(&header, Err(Fault::Packets), None, 0, 0);
        assert_eq!(decision.reasons >> 16, Fault::Packets.reason_bit() >> 16);
    }

    #[test]
    fn samples_are_drawn_at_their_rate_and_weigh_it() {
        let policy = Policy {
            threshold: 1 << 15,
            sampling: Sampling {
                seed: 3,
                one_in: 50,
            },
            deadline_ns: None,
        };
        let decide = |frame_number| {
            let header = FrameHeader {
                frame_number,
                ..FrameHeader::new(1, 1, PixelType::U8)
            };
            policy.decide(&header, Ok(MISS), None, 0, 0)
        };
        let kept = (0..100_000)
            .map(decide)
            .filter(|d| d.verdict == Verdict::KeepSample)
            .count();
        assert!((1800..2200).contains(&kept), "{kept} of 2000");
        let sample = (0..).map(decide).find(|d| d.verdict.keeps()).unwrap();
        assert_eq!(sample.weight, 50 << 16);
    }

    #[test]
    fn frames_without_pulse_and_number_are_sampled_one_by_one() {
        let sampling = Sampling {
            seed: 3,
            one_in: 50,
        };
        let draws = |seq| {
            sampling.draws(&FrameHeader {
                seq,
                ..FrameHeader::new(1, 1, PixelType::U8)
            })
        };
        let drawn = (1..=100_000).filter(|seq| draws(*seq)).count();
        assert!((1800..2200).contains(&drawn), "{drawn} of 2000");
    }

    #[test]
    fn modules_of_a_pulse_are_drawn_together_wherever_they_lie_in_their_rings() {
        let sampling = Sampling { seed: 3, one_in: 4 };
        for frame_number in 1..1000 {
            let draws = |seq| {
                sampling.draws(&FrameHeader {
                    seq,
                    frame_number,
                    ..FrameHeader::new(1, 1, PixelType::U8)
                })
            };
            assert_eq!(draws(1), draws(frame_number + 5));
        }
    }

    #[test]
    fn codes_name_their_verdicts() {
        for code in 0..=255 {
            let verdict = Verdict::from_code(code);
            assert_eq!(
                verdict.map(|v| v as u8),
                (1..=11).contains(&code).then_some(code)
            );
        }
    }
}
