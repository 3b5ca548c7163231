//! Files that grow entry by entry, and end with a whole one whatever the disk does.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::report;

/// The writing side of such a file.
pub struct EntryWriter {
    path: PathBuf,
    file: File,
    /// What the entries are, in the plural.
    what: &'static str,
    /// Whole entries written so far, in bytes.
    whole: u64,
}

impl EntryWriter {
    /// Writes entries, which are `what`, to `file`, which lies at `path`.
    pub const fn new(path: PathBuf, file: File, what: &'static str) -> Self {
        EntryWriter {
            path,
            file,
            what,
            whole: 0,
        }
    }

    /// Writes one entry, part after part.
    ///
    /// # Errors
    /// Where it cannot be written; the file then ends with the entry before it.
    pub fn write(&mut self, parts: &[&[u8]]) -> Result<()> {
        for part in parts {
            if let Err(error) = self.file.write_all(part) {
                let cut = self.file.set_len(self.whole);
                let _ = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.whole)));
                return Err(error).with_context(|| {
                    format!(
                        "cannot write {} to {} (it holds {} of whole ones): free space there, or choose another place",
                        self.what,
                        self.path.display(),
                        report::bytes(self.whole)
                    )
                });
            }
        }
        self.whole += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Waits until the disk has all entries. Pipes and devices have none.
    ///
    /// # Errors
    /// Where it says only now that it has not: some file systems do, those of a network above all.
    pub fn finish(&self) -> Result<()> {
        if !self.file.metadata().is_ok_and(|found| found.is_file()) {
            return Ok(());
        }
        self.file.sync_all().with_context(|| {
            format!(
                "{} took {} in {}, and says now that they are not all on its disk: compare them with the records",
                self.path.display(),
                self.what,
                report::bytes(self.whole)
            )
        })
    }
}
