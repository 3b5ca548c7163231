//! Verdicts joined with what an indexing program made of the same frames.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, bail};
use hitgate_formats::indexing::Attempt;
use hitgate_import::metrics::Share;

use crate::records::Told;

/// One frame in both.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Its verdict; the file is named as there.
    pub told: Told,
    /// What the indexing program made of it.
    pub attempt: Attempt,
}

/// Frames with their verdicts and results.
#[derive(Debug, Default)]
pub struct Audit {
    /// Frames that have both.
    pub joined: Vec<Joined>,
    /// Verdicts of frames that the indexing program does not name.
    pub without_result: Vec<Told>,
    /// Results of frames that have no verdict.
    pub without_record: Vec<Attempt>,
}

/// Joins verdicts with results by file and event. Files of the same path are the same, and else
/// those of the same base name, where only one on either side has it. Verdicts that name no file
/// are those of the one file that the results name. Of several results of one frame that with the
/// most lattices counts.
///
/// # Errors
/// Where it cannot be known which frames belong together, with what to do.
pub fn join(told: Vec<Told>, attempts: Vec<Attempt>) -> Result<Audit> {
    let mut best: BTreeMap<(String, usize), Attempt> = BTreeMap::new();
    for attempt in attempts {
        let known = best
            .entry((path_of(&attempt.file).to_owned(), attempt.index))
            .or_insert_with(|| attempt.clone());
        if attempt.lattices > known.lattices {
            *known = attempt;
        }
    }
    let results: BTreeSet<&str> = best.keys().map(|(file, _)| file.as_str()).collect();
    let mut verdicts: BTreeMap<(String, usize), Told> = BTreeMap::new();
    for told in told {
        let file = file_of(&told, &results)?.to_owned();
        let (index, line) = (told.index, told.line);
        if let Some(other) = verdicts.insert((file.clone(), index), told) {
            bail!(
                "{file} //{index} has two verdicts, in lines {} and {line}: give the records of one screening, or of one run",
                other.line
            );
        }
    }
    let records: BTreeSet<&str> = verdicts.keys().map(|(file, _)| file.as_str()).collect();
    let partners = partners(&records, &results)?;
    let mut audit = Audit::default();
    for ((file, index), attempt) in &best {
        let partner = partners.get(file.as_str());
        match partner.and_then(|file| verdicts.remove(&(file.clone(), *index))) {
            Some(told) => audit.joined.push(Joined {
                told,
                attempt: attempt.clone(),
            }),
            None => audit.without_record.push(attempt.clone()),
        }
    }
    audit.without_result = verdicts.into_values().collect();
    Ok(audit)
}

/// A path, as it is compared.
fn path_of(name: &str) -> &str {
    name.trim_start_matches("./")
}

/// The file of a verdict, as it is compared: without the dataset that was named, as an event is one
/// of the file.
fn file_of<'a>(told: &'a Told, results: &BTreeSet<&'a str>) -> Result<&'a str> {
    const ENDINGS: [&str; 5] = [".h5", ".hdf5", ".hdf", ".cxi", ".nxs"];
    let Some(name) = told.file.as_deref().map(path_of) else {
        match Vec::from_iter(results)[..] {
            [only] => return Ok(only),
            _ => bail!(
                "records of `hitgate run` name no file, and the results name {}: frame n of a run is taken for event n − 1 of one file; give the results of that file, or the lines that `hitgate screen` prints of the files",
                results.len()
            ),
        }
    };
    Ok(match name.rsplit_once(':') {
        Some((file, _)) if ENDINGS.iter().any(|ending| file.ends_with(ending)) => file,
        _ => name,
    })
}

/// For each file of the results its name in the records, where it is there.
fn partners<'a>(
    records: &BTreeSet<&str>,
    results: &BTreeSet<&'a str>,
) -> Result<HashMap<&'a str, String>> {
    let (in_records, in_results) = (by_base(records), by_base(results));
    let mut partners = HashMap::new();
    for &file in results {
        if records.contains(file) {
            partners.insert(file, file.to_owned());
            continue;
        }
        let Some(named) = in_records.get(base(file)) else {
            continue;
        };
        match (&named[..], &in_results[base(file)][..]) {
            ([one], [_]) => _ = partners.insert(file, (*one).to_owned()),
            (here, there) => bail!(
                "which file is {file} of the results? The records name {}, the results {}; give `hitgate screen` the very paths that the indexing program was given, or audit one folder at a time",
                here.join(" and "),
                there.join(" and ")
            ),
        }
    }
    Ok(partners)
}

/// The last part of a path, of whatever system.
fn base(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn by_base<'a>(files: &BTreeSet<&'a str>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for &file in files {
        named.entry(base(file)).or_default().push(file);
    }
    named
}

impl Joined {
    /// Whether it was indexed although the filter dropped it.
    pub fn is_lost(&self) -> bool {
        self.attempt.is_indexed() && !self.told.keep
    }
}

impl Audit {
    /// Joined frames by class of the network, the last row those that were not judged: indexed, and
    /// not.
    pub fn classes(&self) -> [[u64; 2]; 4] {
        let mut classes = [[0; 2]; 4];
        for Joined { told, attempt } in &self.joined {
            let row = told.class.map_or(3, |class| class as usize);
            classes[row][usize::from(!attempt.is_indexed())] += 1;
        }
        classes
    }

    /// Frames that were indexed.
    pub fn indexed(&self) -> impl Iterator<Item = &Joined> {
        self.joined
            .iter()
            .filter(|frame| frame.attempt.is_indexed())
    }

    /// Frames of the records, and of the results.
    pub fn sizes(&self) -> [usize; 2] {
        [self.without_result.len(), self.without_record.len()].map(|rest| rest + self.joined.len())
    }

    /// Whether so few frames are in both that records and results may not be of one run.
    pub fn is_strange(&self) -> bool {
        const NEARLY_NONE: f64 = 0.1;
        let [records, results] = self.sizes();
        (self.joined.len() as f64) < NEARLY_NONE * records.min(results) as f64
    }

    /// Whether frames were joined by their numbers alone, as records that name no file are.
    pub fn is_by_number(&self) -> bool {
        self.joined.iter().any(|frame| frame.told.file.is_none())
    }

    /// Indexed frames that the filter dropped.
    pub fn lost(&self) -> Share {
        share(self.indexed(), Joined::is_lost)
    }

    /// Of the misses that were kept as a sample, those that indexed: what a run that drops the rest
    /// can know of its loss.
    pub fn sampled(&self) -> Share {
        let sampled = self
            .joined
            .iter()
            .filter(|frame| frame.told.reason == "sample");
        share(sampled, |frame| frame.attempt.is_indexed())
    }

    /// Whether the results can show no loss, whatever was lost: they tell of frames that did not
    /// index, and of no dropped frame.
    pub fn is_blind(&self) -> bool {
        let results = self.joined.iter().map(|frame| &frame.attempt);
        let mut results = results.chain(&self.without_record);
        let dropped = |told: &Told| !told.keep;
        self.without_result.iter().any(dropped)
            && !self.joined.iter().any(|frame| dropped(&frame.told))
            && results.any(|attempt| !attempt.is_indexed())
    }

    /// What was lost of the indexed frames of each bin in which there are any, and where `of` tells
    /// nothing, under no bin.
    pub fn lost_by(
        &self,
        bins: &'static [Bin],
        of: impl Fn(&Attempt) -> Option<f64>,
    ) -> Vec<(Option<&'static Bin>, Share)> {
        let bins = bins.iter().map(Some).chain([None]);
        let in_bin = |frame: &&Joined, bin: Option<&Bin>| match (of(&frame.attempt), bin) {
            (Some(value), Some(bin)) => bin.holds(value),
            (value, bin) => value.is_none() && bin.is_none(),
        };
        bins.map(|bin| {
            let frames = self.indexed().filter(|frame| in_bin(frame, bin));
            (bin, share(frames, Joined::is_lost))
        })
        .filter(|(_, share)| share.n > 0)
        .collect()
    }
}

fn share<'a>(frames: impl Iterator<Item = &'a Joined>, counts: impl Fn(&Joined) -> bool) -> Share {
    frames.fold(Share::default(), |share, frame| Share {
        k: share.k + u64::from(counts(frame)),
        n: share.n + 1,
    })
}

/// Values from one number to below another.
#[derive(Debug, PartialEq)]
pub struct Bin {
    /// The lowest value.
    pub from: f64,
    /// Above the highest.
    pub below: f64,
    /// What people read.
    pub name: &'static str,
}

impl Bin {
    fn holds(&self, value: f64) -> bool {
        (self.from..self.below).contains(&value)
    }
}

const fn bin(from: f64, below: f64, name: &'static str) -> Bin {
    Bin { from, below, name }
}

/// Spots: miss, maybe, then twice as many or so a bin.
pub const SPOTS: [Bin; 7] = [
    bin(0.0, 4.0, "0 to 3"),
    bin(4.0, 10.0, "4 to 9"),
    bin(10.0, 20.0, "10 to 19"),
    bin(20.0, 50.0, "20 to 49"),
    bin(50.0, 100.0, "50 to 99"),
    bin(100.0, 200.0, "100 to 199"),
    bin(200.0, f64::INFINITY, "200 and more"),
];

/// Resolution in ångström, the best first.
pub const RESOLUTIONS: [Bin; 6] = [
    bin(0.0, 2.0, "better than 2 Å"),
    bin(2.0, 2.5, "2 to 2.5 Å"),
    bin(2.5, 3.0, "2.5 to 3 Å"),
    bin(3.0, 4.0, "3 to 4 Å"),
    bin(4.0, 6.0, "4 to 6 Å"),
    bin(6.0, f64::INFINITY, "6 Å and worse"),
];

/// Lattices.
pub const LATTICES: [Bin; 3] = [
    bin(1.0, 2.0, "1"),
    bin(2.0, 3.0, "2"),
    bin(3.0, f64::INFINITY, "3 and more"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::verdict::Class;

    fn told(file: Option<&str>, index: usize, class: Class) -> Told {
        Told {
            file: file.map(String::from),
            index,
            class: Some(class),
            keep: class != Class::Miss,
            reason: class.name().into(),
            line: index + 1,
        }
    }

    fn attempt(file: &str, index: usize, lattices: u32) -> Attempt {
        Attempt {
            file: file.into(),
            index,
            lattices,
            spots: Some(30),
            resolution_a: None,
            place: 0,
        }
    }

    #[test]
    fn every_frame_is_counted_once_wherever_it_is() {
        use Class::{Hit, Maybe, Miss};
        let verdicts = vec![
            told(Some("./d/a.h5:/entry/data"), 0, Hit),
            told(Some("d/a.h5"), 1, Miss),
            told(Some("d/a.h5"), 2, Miss),
            told(Some("d/a.h5"), 3, Maybe),
            told(Some("b.h5"), 0, Hit),
        ];
        let results = vec![
            attempt("/data/a.h5", 0, 1),
            attempt("/data/a.h5", 1, 0),
            attempt("/data/a.h5", 1, 2),
            attempt("/data/a.h5", 2, 0),
            attempt("/data/a.h5", 9, 1),
            attempt("c.h5", 0, 0),
        ];
        let audit = join(verdicts, results).unwrap();
        assert_eq!(audit.classes(), [[1, 0], [0, 0], [1, 1], [0, 0]]);
        assert_eq!(audit.lost(), Share { k: 1, n: 2 });
        let names = |files: Vec<(&str, usize)>| format!("{files:?}");
        let unmet = audit.without_result.iter();
        let unmet = unmet
            .map(|t| (t.file.as_deref().unwrap(), t.index))
            .collect();
        assert_eq!(names(unmet), r#"[("b.h5", 0), ("d/a.h5", 3)]"#);
        let unknown = audit.without_record.iter();
        let unknown = unknown.map(|a| (a.file.as_str(), a.index)).collect();
        assert_eq!(names(unknown), r#"[("/data/a.h5", 9), ("c.h5", 0)]"#);
        let two = audit.lost_by(&LATTICES, |a| Some(f64::from(a.lattices)));
        assert_eq!(two[1], (Some(&LATTICES[1]), Share { k: 1, n: 1 }));
        let spots = audit.lost_by(&SPOTS, |a| a.spots.map(f64::from));
        assert_eq!(spots, [(Some(&SPOTS[3]), Share { k: 1, n: 2 })]);
        let resolution = audit.lost_by(&RESOLUTIONS, |a| a.resolution_a);
        assert_eq!(resolution, [(None, Share { k: 1, n: 2 })]);
    }

    #[test]
    fn the_same_path_wins_over_the_same_name() {
        let verdicts = || {
            vec![
                told(Some("d1/a.h5"), 0, Class::Hit),
                told(Some("d2/a.h5"), 0, Class::Miss),
            ]
        };
        let audit = join(verdicts(), vec![attempt("d2/a.h5", 0, 1)]).unwrap();
        assert_eq!(audit.lost(), Share { k: 1, n: 1 });
        for results in [
            vec![attempt("/x/a.h5", 0, 1)],
            vec![attempt("d1/a.h5", 0, 1), attempt("/x/a.h5", 0, 1)],
        ] {
            let error = join(verdicts(), results).unwrap_err().to_string();
            assert!(
                error.contains("/x/a.h5") && error.contains("d1/a.h5 and d2/a.h5"),
                "{error}"
            );
        }
        let results = vec![attempt("/x/a.h5", 0, 1), attempt("/y/a.h5", 0, 1)];
        let error = join(verdicts()[..1].to_vec(), results).unwrap_err();
        assert!(error.to_string().contains("/x/a.h5 and /y/a.h5"), "{error}");
    }

    #[test]
    fn records_of_a_run_are_of_the_one_file() {
        let run = || vec![told(None, 0, Class::Miss), told(None, 1, Class::Hit)];
        let audit = join(run(), vec![attempt("a.h5", 0, 1), attempt("a.h5", 1, 1)]).unwrap();
        assert_eq!(audit.lost(), Share { k: 1, n: 2 });
        let error = join(run(), vec![attempt("a.h5", 0, 1), attempt("b.h5", 1, 1)]).unwrap_err();
        assert!(error.to_string().contains("the results name 2"), "{error}");
    }

    #[test]
    fn two_verdicts_of_one_frame_are_refused() {
        let twice = vec![
            told(Some("a.h5"), 0, Class::Hit),
            told(Some("a.h5:/x"), 0, Class::Hit),
        ];
        let error = join(twice, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("a.h5 //0 has two verdicts"), "{error}");
    }

    #[test]
    fn results_of_kept_frames_alone_show_no_loss() {
        let verdicts = || {
            vec![
                told(Some("a.h5"), 0, Class::Hit),
                told(Some("a.h5"), 1, Class::Miss),
            ]
        };
        let kept_only = vec![attempt("a.h5", 0, 0)];
        assert!(join(verdicts(), kept_only).unwrap().is_blind());
        let all = vec![attempt("a.h5", 0, 1), attempt("a.h5", 1, 0)];
        assert!(!join(verdicts(), all).unwrap().is_blind());
        let indexed_only = vec![attempt("a.h5", 0, 1)];
        assert!(!join(verdicts(), indexed_only).unwrap().is_blind());
    }
}
