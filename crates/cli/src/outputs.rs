//! The files that a run writes: they are made together, or not at all, and replace nothing unasked.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use hitgate_core::net::Input;
use hitgate_formats::FormatError;
use rustix::fs::{Access, access};

use crate::description::{self, Description};
use crate::maps_file::MapsWriter;
use crate::sink::Records;
use crate::slots_file::SlotsWriter;

/// The files of one run, as the command line names them.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Write the kept frames here
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,
    /// Write a line of JSON for every frame here
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// Write what is left of dropped frames here: their prepared maps and records, for `hitgate rejudge`
    #[arg(long, value_name = "FILE")]
    pub keep_maps: Option<PathBuf>,
    /// Replace the files of an earlier run
    #[arg(long)]
    pub replace: bool,
    /// Copy kept frames into memory for so many of them, so that a slow disk never stalls the source; once it
    /// is full some are lost, and told: samples first, then maybes, hits and frames that were not judged last.
    /// What waits there is lost too if the process is killed
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..))]
    pub buffer: Option<u32>,
}

/// The files of one run.
#[derive(Default)]
pub struct Outputs {
    /// Of kept frames.
    pub keep: Option<SlotsWriter>,
    /// Of lines.
    pub records: Option<Records>,
    /// Of dropped frames' maps, and how they are prepared.
    pub maps: Option<(MapsWriter, Input)>,
    /// Kept frames that there is memory for.
    pub buffer: Option<u32>,
}

impl OutputArgs {
    /// Refuses names that cannot be had, and makes nothing: those that are taken, as what an earlier run kept is not to
    /// be replaced unasked, those of two files, of `ring` and of descriptions among them, and those in folders that are not
    /// there or not ours to write to.
    pub fn check(&self, ring: &Path) -> Result<()> {
        let paths = [&self.keep, &self.records, &self.keep_maps];
        let paths: Vec<&Path> = paths.into_iter().flatten().map(PathBuf::as_path).collect();
        let described = |of: &Path| [place(of), place(&description::path(of))];
        let mut used = Vec::from(described(ring));
        used.extend(self.keep.iter().map(|keep| place(&description::path(keep))));
        for path in paths {
            if path.is_dir() {
                let file = path.to_path_buf();
                return Err(FormatError::Directory { file }.into());
            }
            // A device may take several things, but that of the ring.
            let place = place(path);
            if used.contains(&place) {
                bail!(
                    "{} is to hold two things: name a file for each of --keep, --records and --keep-maps, none of them the ring or a description (`.json`) of it or of kept frames",
                    path.display()
                );
            }
            replaces_nothing_unasked(path, self.replace)?;
            if path.is_file() || !path.exists() {
                used.push(place);
            }
            let (place, may) = match path.exists() {
                true => (path, Access::WRITE_OK),
                false => (folder_of(path), Access::WRITE_OK | Access::EXEC_OK),
            };
            access(place, may).map_err(|error| FormatError::writing(path, error.into()))?;
        }
        Ok(())
    }

    /// Makes the files, and the description beside kept slots that are a file; all of them, or none. Maps are prepared
    /// as `input` says.
    pub fn create(&self, description: &Description, input: &Input) -> Result<Outputs> {
        let mut fresh = Fresh::default();
        let mut open = |path: &Option<PathBuf>| -> Result<Option<(PathBuf, File)>> {
            let open = |path: &PathBuf| Ok((path.clone(), open(path, self.replace, &mut fresh)?));
            path.as_ref().map(open).transpose()
        };
        let [keep, records, maps] = [
            open(&self.keep)?,
            open(&self.records)?,
            open(&self.keep_maps)?,
        ];
        if let Some((path, _)) = &keep {
            fresh.note(description::path(path));
            describe(path, description)?;
        }
        // What an earlier run kept goes once nothing else is in the way: what cannot be written after that, headers too, the
        // run tells.
        for (path, file) in [&keep, &records, &maps].into_iter().flatten() {
            if path.is_file() {
                (file.set_len(0)).map_err(|error| FormatError::writing(path, error))?;
            }
        }
        fresh.stay();
        let maps = maps.map(|(path, file)| (MapsWriter::new(path, file, input), *input));
        Ok(Outputs {
            keep: keep.map(|(path, file)| SlotsWriter::new(path, file)),
            records: records.map(|(path, file)| Records::new(path, file)),
            maps,
            buffer: self.buffer,
        })
    }
}

/// Refuses an output that is one of the files that are read.
pub fn replaces_none_of<P: AsRef<Path>>(output: &Path, inputs: &[P]) -> Result<()> {
    let is_it = |input: &&P| place(input.as_ref()) == place(output);
    match inputs.iter().find(is_it) {
        Some(input) if !input.as_ref().exists() => bail!(
            "{} would be read from now on as what describes the frames beside it: name another file to write",
            output.display()
        ),
        Some(input) => bail!(
            "{} is read, and would be replaced by {}: name another file to write",
            input.as_ref().display(),
            output.display()
        ),
        None => Ok(()),
    }
}

/// Refuses an output that is there already, unless it is asked to be replaced.
pub fn replaces_nothing_unasked(output: &Path, replace: bool) -> Result<()> {
    match output.is_file() && !replace {
        true => Err(taken(output)),
        false => Ok(()),
    }
}

/// Files that were not there before: they go where a run does not begin.
#[derive(Default)]
struct Fresh(Vec<PathBuf>);

impl Fresh {
    /// A file that is made now, if it is not there.
    fn note(&mut self, path: PathBuf) {
        if !path.exists() {
            self.0.push(path);
        }
    }

    /// The run begins.
    fn stay(mut self) {
        self.0.clear();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where a file is or will be, by one name for each place.
fn place(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let folder = folder_of(path).canonicalize();
        let name = path.file_name().unwrap_or_default();
        folder.map_or_else(|_| path.into(), |folder| folder.join(name))
    })
}

/// Where it is, or is to be.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes the description beside kept slots that are a file.
pub fn describe(keep: &Path, description: &Description) -> Result<()> {
    match keep.is_file() {
        true => description.write(keep),
        false => Ok(()),
    }
}

/// The same for slots that are kept from now on; the description of those before stays, with `config`, which their
/// records name, behind its name.
pub fn describe_anew(keep: &Path, description: &Description, config: u32) -> Result<()> {
    if keep.is_file() {
        let now = description::path(keep);
        let before = now.with_extension(format!("{config:08x}.json"));
        std::fs::rename(&now, &before)
            .with_context(|| format!("cannot rename {} to {}", now.display(), before.display()))?;
    }
    describe(keep, description)
}

fn taken(path: &Path) -> anyhow::Error {
    anyhow!(
        "{} exists, perhaps from an earlier run: name another, or --replace it",
        path.display()
    )
}

/// Opens a file with what is in it; one that is there already only where it may be replaced, or is no plain file.
fn open(path: &Path, replace: bool, fresh: &mut Fresh) -> Result<File> {
    let new = !replace && (path.is_file() || !path.exists());
    let missing = !path.exists();
    let mut options = OpenOptions::new();
    options.write(true).truncate(false).create_new(new);
    let file = match options.create(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken(path)),
        opened => opened.map_err(|error| FormatError::writing(path, error))?,
    };
    if missing {
        fresh.0.push(path.into());
    }
    Ok(file)
}
