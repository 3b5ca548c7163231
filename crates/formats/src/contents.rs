//! The bytes of a file: on disk until they are asked for, or unpacked from gzip.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::FormatError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Nothing that unpacks to more is a frame; the limit stops a file made to fill the memory.
const MAX_UNPACKED: u64 = 8 << 30;

/// Bytes that tell the formats apart.
const HEAD: usize = 512;

/// A file as its format sees it: gzip is gone.
pub(crate) enum Contents {
    OnDisk { file: File, length: u64 },
    InMemory(Vec<u8>),
}

impl Contents {
    /// Opens `path` and, where it starts with the magic bytes of gzip, unpacks it.
    pub(crate) fn open(path: &Path) -> Result<Contents, FormatError> {
        let at = |e| FormatError::reading(path, e);
        let mut file = File::open(path).map_err(at)?;
        let information = file.metadata().map_err(at)?;
        if information.is_dir() {
            return Err(FormatError::Directory {
                file: path.to_path_buf(),
            });
        }
        let mut magic = Vec::new();
        (&mut file).take(2).read_to_end(&mut magic).map_err(at)?;
        file.seek(SeekFrom::Start(0)).map_err(at)?;
        if magic == GZIP_MAGIC {
            return unpack(path, file).map(Contents::InMemory);
        }
        Ok(Contents::OnDisk {
            file,
            length: information.len(),
        })
    }

    pub(crate) fn length(&self) -> u64 {
        match self {
            Contents::OnDisk { length, .. } => *length,
            Contents::InMemory(bytes) => bytes.len() as u64,
        }
    }

    /// The first bytes, fewer where the file is shorter.
    pub(crate) fn head(&mut self, path: &Path) -> Result<Vec<u8>, FormatError> {
        self.read(path, 0, self.length().min(HEAD as u64))
    }

    /// Exactly `length` bytes from `offset` on.
    pub(crate) fn read(
        &mut self,
        path: &Path,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, FormatError> {
        let end = offset
            .checked_add(length)
            .filter(|&end| end <= self.length());
        let Some(end) = end else {
            let what = format!(
                "{length} bytes from byte {offset} on are wanted, it has {}",
                self.length()
            );
            return Err(FormatError::truncated(path, what));
        };
        match self {
            Contents::InMemory(bytes) => Ok(bytes[offset as usize..end as usize].to_vec()),
            Contents::OnDisk { file, .. } => {
                let mut bytes = vec![0; length as usize];
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(|e| FormatError::reading(path, e))?;
                Ok(bytes)
            }
        }
    }

    /// Everything.
    pub(crate) fn into_bytes(mut self, path: &Path) -> Result<Vec<u8>, FormatError> {
        match self {
            Contents::InMemory(bytes) => Ok(bytes),
            Contents::OnDisk { length, .. } => self.read(path, 0, length),
        }
    }
}

fn unpack(path: &Path, file: File) -> Result<Vec<u8>, FormatError> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(file)
        .take(MAX_UNPACKED)
        .read_to_end(&mut bytes)
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                FormatError::truncated(path, "the gzip stream ends early")
            }
            _ => FormatError::malformed(path, format!("the gzip stream does not unpack ({e})")),
        })?;
    if bytes.len() as u64 == MAX_UNPACKED {
        return Err(FormatError::shape(
            path,
            "more than 8 GiB in one gzip stream",
        ));
    }
    Ok(bytes)
}
