//! DIALS' experiment lists: JSON, an experiment for each lattice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Attempt;
use crate::FormatError;

/// The parts of an experiment list that say which image an experiment is of. All others are passed
/// over, whatever they are.
#[derive(Deserialize)]
struct List {
    #[serde(rename = "__id__")]
    id: String,
    experiment: Vec<Experiment>,
    imageset: Vec<Images>,
    #[serde(default)]
    scan: Vec<Scan>,
    #[serde(default)]
    crystal: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Experiment {
    imageset: Option<usize>,
    scan: Option<usize>,
    crystal: Option<usize>,
}

/// Stills have `images`, a file each, sequences a `template`.
#[derive(Deserialize)]
struct Images {
    images: Option<Vec<String>>,
    template: Option<String>,
    single_file_indices: Option<Vec<usize>>,
}

#[derive(Deserialize)]
struct Scan {
    /// First and last image, counted from 1 in files of several.
    image_range: [usize; 2],
}

/// Reads the images of an experiment list, in the order in which it first names them: each
/// experiment with a crystal is a lattice, and several may be of one image. An image whose
/// experiments have no crystal was not indexed. Spots and resolution are not in such a list.
///
/// # Errors
/// [`FormatError::Missing`], [`FormatError::Io`], or [`FormatError::Malformed`] with the experiment,
/// counted from 0.
pub fn read_expt(path: &Path) -> Result<Vec<Attempt>, FormatError> {
    let file = File::open(path).map_err(|e| FormatError::reading(path, e))?;
    let damaged = |what: String| FormatError::malformed(path, what);
    let list: List =
        serde_json::from_reader(BufReader::new(file)).map_err(|e| match e.is_io() {
            true => FormatError::reading(path, e.into()),
            false => damaged(format!("it is no experiment list of DIALS ({e})")),
        })?;
    if list.id != "ExperimentList" {
        return Err(damaged(format!("it is a {}, no ExperimentList", list.id)));
    }
    let mut places = BTreeMap::new();
    let mut attempts: Vec<Attempt> = Vec::new();
    for (number, experiment) in list.experiment.iter().enumerate() {
        let images = list
            .images(experiment)
            .map_err(|what| damaged(format!("experiment {number}: {what}")))?;
        let indexed = u32::from(experiment.crystal.is_some());
        for image in images {
            let at = *places.entry(image.clone()).or_insert_with(|| {
                let (file, index) = image;
                attempts.push(Attempt {
                    file,
                    index,
                    lattices: 0,
                    spots: None,
                    resolution_a: None,
                    place: number,
                });
                attempts.len() - 1
            });
            attempts[at].lattices += indexed;
        }
    }
    Ok(attempts)
}

impl List {
    /// File and index of each image of an experiment; in error what is wrong with it.
    fn images(&self, experiment: &Experiment) -> Result<Vec<(String, usize)>, String> {
        let number = experiment.imageset.ok_or("it has no imageset")?;
        let set = self
            .imageset
            .get(number)
            .ok_or_else(|| format!("there is no imageset {number}"))?;
        if let Some(crystal) = experiment.crystal.filter(|&c| c >= self.crystal.len()) {
            return Err(format!("there is no crystal {crystal}"));
        }
        let scan = match experiment.scan {
            Some(number) => Some(
                self.scan
                    .get(number)
                    .ok_or_else(|| format!("there is no scan {number}"))?,
            ),
            None => None,
        };
        let images = match (&set.images, &set.template, scan) {
            (Some(files), _, _) => set.stills(files)?,
            (None, Some(template), Some(scan)) => set.sequence(template, scan)?,
            (None, Some(template), None) => match &set.single_file_indices {
                Some(indices) => indices.iter().map(|&i| (template.clone(), i)).collect(),
                None => return Err("it has no scan, and its imageset no indices".into()),
            },
            (None, None, _) => {
                return Err(format!(
                    "imageset {number} has neither images nor a template"
                ));
            }
        };
        match (experiment.crystal, scan, images.len()) {
            (Some(_), None, 2..) => Err(format!(
                "it is a lattice of one of {} images, and no scan says of which",
                images.len()
            )),
            _ => Ok(images),
        }
    }
}

impl Images {
    fn stills(&self, files: &[String]) -> Result<Vec<(String, usize)>, String> {
        let indices = match &self.single_file_indices {
            Some(indices) if indices.len() != files.len() => {
                let (files, indices) = (files.len(), indices.len());
                return Err(format!(
                    "its imageset has {files} images and {indices} indices"
                ));
            }
            Some(indices) => indices.clone(),
            None => vec![0; files.len()],
        };
        Ok(files.iter().cloned().zip(indices).collect())
    }

    /// The images of a scan: files with the image's number in place of the `#` of a template, or
    /// frames of one file, where image 1 is frame 0.
    fn sequence(&self, template: &str, scan: &Scan) -> Result<Vec<(String, usize)>, String> {
        /// More images than any sequence has: the range is damaged.
        const MOST: usize = 100_000_000;
        let [first, last] = scan.image_range;
        if last < first || last - first >= MOST {
            return Err(format!("its scan goes from image {first} to {last}"));
        }
        if let Some(start) = template.find('#') {
            let width = template[start..].bytes().take_while(|&b| b == b'#').count();
            let (before, after) = (&template[..start], &template[start + width..]);
            let name = |image| (format!("{before}{image:0width$}{after}"), 0);
            return Ok((first..=last).map(name).collect());
        }
        if first == 0 {
            return Err("its scan has an image 0, and those of one file are counted from 1".into());
        }
        Ok((first..=last)
            .map(|image| (template.to_owned(), image - 1))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(list: &Value) -> Result<Vec<Attempt>, FormatError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), list.to_string()).unwrap();
        read_expt(file.path())
    }

    fn stills() -> Value {
        json!({
            "__id__": "ExperimentList",
            "experiment": [
                {"__id__": "Experiment", "beam": 0, "detector": 0, "crystal": 0, "imageset": 0},
                {"__id__": "Experiment", "beam": 0, "detector": 0, "imageset": 1},
                {"__id__": "Experiment", "beam": 0, "detector": 0, "crystal": 1, "imageset": 0},
            ],
            "imageset": [
                {"__id__": "ImageSet", "images": ["/d/a.h5"], "single_file_indices": [7], "mask": null},
                {"__id__": "ImageSet", "images": ["/d/b.cbf"]},
            ],
            "crystal": [{"real_space_a": [1, 0, 0]}, {}],
            "scan": [],
        })
    }

    fn sequence(template: &str) -> Value {
        json!({
            "__id__": "ExperimentList",
            "experiment": [
                {"scan": 0, "crystal": 0, "imageset": 0},
                {"scan": 1, "crystal": null, "imageset": 0},
            ],
            "imageset": [{"__id__": "ImageSequence", "template": template, "single_file_indices": [0, 1, 2]}],
            "crystal": [{}],
            "scan": [{"image_range": [2, 2]}, {"image_range": [3, 3]}],
        })
    }

    fn told(attempts: &[Attempt]) -> Vec<(&str, usize, u32)> {
        attempts
            .iter()
            .map(|a| (a.file.as_str(), a.index, a.lattices))
            .collect()
    }

    #[test]
    fn experiments_are_the_lattices_of_their_images() {
        let attempts = read(&stills()).unwrap();
        assert_eq!(told(&attempts), [("/d/a.h5", 7, 2), ("/d/b.cbf", 0, 0)]);
        assert_eq!((attempts[0].place, attempts[1].place), (0, 1));
    }

    #[test]
    fn scans_number_images_of_one_file_and_files_of_a_template() {
        let attempts = read(&sequence("/d/run.h5")).unwrap();
        assert_eq!(told(&attempts), [("/d/run.h5", 1, 1), ("/d/run.h5", 2, 0)]);
        let attempts = read(&sequence("/d/r_####.cbf")).unwrap();
        assert_eq!(
            told(&attempts),
            [("/d/r_0002.cbf", 0, 1), ("/d/r_0003.cbf", 0, 0)]
        );
    }

    #[test]
    fn what_cannot_be_is_told_with_its_experiment() {
        let said = |list: &Value| read(list).unwrap_err().to_string();
        let mut several = stills();
        several["imageset"][0]["images"] = json!(["/d/a.h5", "/d/a.h5"]);
        assert!(said(&several).contains("experiment 0: its imageset has 2 images and 1 indices"));
        several["imageset"][0]["single_file_indices"] = json!([7, 8]);
        assert!(said(&several).contains("experiment 0: it is a lattice of one of 2 images"));
        for (part, what) in [("imageset", "no imageset 0"), ("crystal", "no crystal 0")] {
            let mut missing = stills();
            missing[part] = json!([]);
            assert!(said(&missing).contains(what), "{}", said(&missing));
        }
        let mut backwards = sequence("/d/run.h5");
        backwards["scan"][1]["image_range"] = json!([3, 1]);
        assert!(said(&backwards).contains("experiment 1: its scan goes from image 3 to 1"));
        assert!(said(&json!({"__id__": "DataBlock"})).contains("no experiment list"));
        let mut other = stills();
        other["__id__"] = json!("DataBlock");
        assert!(said(&other).contains("it is a DataBlock"));
        let missing = read_expt(Path::new("missing.expt")).unwrap_err();
        assert!(matches!(missing, FormatError::Missing { .. }));
    }
}
