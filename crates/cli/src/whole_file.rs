//! Files that appear under their name only when they are whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file on its way to its name; it goes again if it does not get there. What is no regular file,
/// such as a pipe, is written as it is.
pub struct WholeFile {
    file: BufWriter<File>,
    part: Option<PathBuf>,
    path: PathBuf,
}

impl WholeFile {
    /// Starts the file for `path`.
    pub fn create(path: &Path) -> Result<Self> {
        let part = (path.is_file() || !path.exists()).then(|| {
            let mut part = path.as_os_str().to_owned();
            part.push(".part");
            PathBuf::from(part)
        });
        let file = File::create(part.as_deref().unwrap_or(path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(WholeFile {
            file: BufWriter::new(file),
            part,
            path: path.to_owned(),
        })
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<()> {
        let flushed = self.file.flush();
        let named = flushed.and_then(|()| match &self.part {
            Some(part) => std::fs::rename(part, &self.path),
            None => Ok(()),
        });
        named.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.part = None;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = std::fs::remove_file(part);
        }
    }
}
