//! Files that appear under their name only when they are whole.

use std::fs::{self, File};
use std::io::{BufWriter, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file on its way to its name: until [`WholeFile::finish`] it is called `NAME.part`, and it goes
/// again if it does not get there. A link is followed; what is no regular file, such as a pipe or
/// `/dev/full`, is written as it is.
pub struct WholeFile {
    file: BufWriter<File>,
    /// The draft and its later name; `None` where the name itself is written.
    draft: Option<(PathBuf, PathBuf)>,
}

impl WholeFile {
    /// Starts the file for `path`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(path: &Path) -> Result<WholeFile> {
        let target = match fs::metadata(path) {
            Ok(found) if found.is_file() => Some(fs::canonicalize(path)?),
            Err(_) if !path.is_symlink() => Some(path.to_path_buf()),
            _ => None,
        };
        let draft = target.map(|target| {
            let mut part = target.as_os_str().to_owned();
            part.push(".part");
            (PathBuf::from(part), target)
        });
        let file = File::create(draft.as_ref().map_or(path, |(part, _)| part))?;
        Ok(WholeFile {
            file: BufWriter::new(file),
            draft,
        })
    }

    /// Removes the file of that name from before, which this one is to replace; one that is no regular file stays.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn clear(&self) -> Result<()> {
        match &self.draft {
            Some((_, target)) if target.exists() => fs::remove_file(target),
            _ => Ok(()),
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// What the operating system says; then no file of that name was made or changed.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush()?;
        if let Some((part, target)) = &self.draft {
            fs::rename(part, target)?;
        }
        self.draft = None;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

impl Seek for WholeFile {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.draft {
            // Nothing is to be done about a draft that cannot be removed.
            let _ = fs::remove_file(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let write = |text: &str| -> Result<WholeFile> {
            let mut file = WholeFile::create(&path)?;
            file.write_all(text.as_bytes())?;
            Ok(file)
        };
        drop(write("given up").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        write("first").unwrap().finish().unwrap();
        drop(write("given up").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let second = write("second").unwrap();
        second.clear().unwrap();
        assert!(!path.exists());
        second.clear().unwrap();
        second.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_and_devices_devices() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        for _ in 0..2 {
            // The first time the link leads nowhere.
            let _ = std::os::unix::fs::symlink(&file, &link);
            let mut whole = WholeFile::create(&link).unwrap();
            whole.write_all(b"through").unwrap();
            whole.clear().unwrap();
            whole.finish().unwrap();
            assert!(link.is_symlink());
            assert_eq!(fs::read(&file).unwrap(), b"through");
        }
        let full = folder.path().join("full");
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        let mut whole = WholeFile::create(&full).unwrap();
        whole.write_all(b"lost").unwrap();
        assert!(whole.finish().is_err());
        assert!(full.is_symlink());
    }
}
