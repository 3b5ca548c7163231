//! The file that says what a ring's, or a slots file's, modules are: `NAME.json` beside it.
//!
//! Real detectors answer this from a configuration service; here `feed` writes the file and `run`
//! reads it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hitgate_formats::FormatError;
use hitgate_formats::write::WholeFile;
use serde::{Deserialize, Serialize};

use crate::module::Module;

/// What is described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The ring's session, by which a description that an earlier ring left behind is known; left
    /// out by a detector that never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Modules by number.
    pub modules: Vec<Module>,
}

/// Where the description of `of` lies.
pub fn path(of: &Path) -> PathBuf {
    let mut name = of.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

impl Description {
    /// Writes it beside `of`, whole from the moment that it is there.
    pub fn write(&self, of: &Path) -> Result<()> {
        let path = path(of);
        let text = serde_json::to_vec(self)?;
        let write = || -> std::io::Result<()> {
            let mut file = WholeFile::create(&path)?;
            file.write_all(&text)?;
            file.finish()
        };
        Ok(write().map_err(|error| FormatError::writing(&path, error))?)
    }

    /// Reads the one beside `of`.
    pub fn read(of: &Path) -> Result<Self> {
        let path = path(of);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}, which describes the modules (`hitgate feed` and `hitgate run --keep` write it)",
                path.display()
            )
        })?;
        let description: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no description of modules", path.display()))?;
        if description.modules.is_empty() {
            bail!("{} describes no module", path.display());
        }
        Ok(description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_formats::sidecar::Sidecar;

    #[test]
    fn a_description_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let ring = folder.path().join("ring");
        let module = Module {
            columns: 3,
            rows: 2,
            pixel_type: "i16".into(),
            raw: false,
            compressed: true,
            about: Sidecar {
                distance_mm: Some(150.0),
                mask_values: Some(vec![-1]),
                ..Sidecar::default()
            },
            excluded: vec![[1, 2]],
        };
        let description = Description {
            session: Some(u64::MAX),
            modules: vec![module],
        };
        description.write(&ring).unwrap();
        assert_eq!(Description::read(&ring).unwrap(), description);
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1, "nothing but the description is left");
    }
}
