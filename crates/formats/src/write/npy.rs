//! NPY out: single frames, and stacks of maps that are never whole in memory.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::WholeFile;
use crate::npy::MAGIC;
use crate::{FormatError, Image, Pixels};

/// How numpy names the type of a map.
const MAP: &str = "|u1";

fn descr(pixels: &Pixels) -> &'static str {
    match pixels {
        Pixels::U8(_) => MAP,
        Pixels::U16(_) => "<u2",
        Pixels::U32(_) => "<u4",
        Pixels::I16(_) => "<i2",
        Pixels::I32(_) => "<i4",
        Pixels::F32(_) => "<f4",
    }
}

/// A version 1 header of 128 bytes: the pixels start aligned, and a later count of frames fits.
fn header(descr: &str, shape: &str) -> [u8; 128] {
    let mut header = [b' '; 128];
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    header[..6].copy_from_slice(MAGIC);
    header[6..10].copy_from_slice(&[1, 0, 118, 0]);
    // At most 115 bytes: three numbers of 20 digits.
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[127] = b'\n';
    header
}

/// Writes one frame as a two-dimensional array.
///
/// # Errors
/// [`FormatError::Io`].
pub fn write_npy(path: &Path, image: &Image) -> Result<(), FormatError> {
    let header = header(
        descr(&image.pixels),
        &format!("{}, {}", image.rows, image.columns),
    );
    let write = || -> std::io::Result<()> {
        let mut file = WholeFile::create(path)?;
        file.write_all(&header)?;
        file.write_all(image.pixels.as_bytes())?;
        file.finish()
    };
    write().map_err(|e| FormatError::writing(path, e))
}

/// A stack of prepared maps on its way to disk: u8, maps x rows x columns. No map is kept in
/// memory; [`NpyStack::finish`] gives the header its count and the file its name, as a
/// [`WholeFile`] does.
pub struct NpyStack {
    path: PathBuf,
    file: WholeFile,
    columns: u32,
    rows: u32,
    maps: u64,
}

impl NpyStack {
    /// Starts a stack of maps of `rows` lines of `columns` bytes.
    ///
    /// # Errors
    /// [`FormatError::Io`].
    pub fn create(path: &Path, columns: u32, rows: u32) -> Result<NpyStack, FormatError> {
        let open = || -> std::io::Result<WholeFile> {
            let mut file = WholeFile::create(path)?;
            file.write_all(&header(MAP, &format!("0, {rows}, {columns}")))?;
            Ok(file)
        };
        let file = open().map_err(|e| FormatError::writing(path, e))?;
        Ok(NpyStack {
            path: path.to_path_buf(),
            file,
            columns,
            rows,
            maps: 0,
        })
    }

    /// Appends one map.
    ///
    /// # Errors
    /// [`FormatError::Shape`] where `map` is not `rows * columns` bytes, [`FormatError::Io`].
    pub fn push(&mut self, map: &[u8]) -> Result<(), FormatError> {
        if map.len() as u64 != u64::from(self.columns) * u64::from(self.rows) {
            let what = format!(
                "a map of {} bytes for {} x {}",
                map.len(),
                self.columns,
                self.rows
            );
            return Err(FormatError::shape(&self.path, what));
        }
        self.file
            .write_all(map)
            .map_err(|e| FormatError::writing(&self.path, e))?;
        self.maps += 1;
        Ok(())
    }

    /// Writes the number of maps into the header, and hands all that is written to the system: nothing but the name is left to
    /// [`NpyStack::finish`].
    ///
    /// # Errors
    /// [`FormatError::Io`].
    pub fn complete(&mut self) -> Result<(), FormatError> {
        let header = header(
            MAP,
            &format!("{}, {}, {}", self.maps, self.rows, self.columns),
        );
        let mut patch = || -> std::io::Result<()> {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header)?;
            self.file.seek(SeekFrom::End(0))?;
            Ok(())
        };
        patch().map_err(|e| FormatError::writing(&self.path, e))
    }

    /// Completes the file, gives it its name, and returns the number of maps.
    /// A stack that is dropped instead leaves nothing, and a file of its name as it was.
    ///
    /// # Errors
    /// [`FormatError::Io`].
    pub fn finish(mut self) -> Result<u64, FormatError> {
        self.complete()?;
        let named = self.file.finish();
        named.map_err(|e| FormatError::writing(&self.path, e))?;
        Ok(self.maps)
    }
}
