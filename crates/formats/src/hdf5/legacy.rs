//! Files of HDF5 1.6 and earlier. They describe the place of a dataset in a message of version 2,
//! which differs from version 1 by its number alone: a reserved area of five bytes follows the
//! layout class in both (HDF5 file format specification, IV.A.2.i). hdf5-reader 0.12 skips only
//! three bytes in version 2 and finds the data at a wrong address; shown the number 1 it reads
//! such files as they are meant.

use std::sync::Arc;

use hdf5_reader::group::Group;
use hdf5_reader::storage::DynStorage;
use hdf5_reader::{Dataset, Hdf5File, Storage, StorageBuffer};

type Result<T> = std::result::Result<T, hdf5_reader::error::Error>;

const PREFIX: usize = 16;
const MESSAGE: usize = 8;
const DATA_LAYOUT: u16 = 0x0008;
const CONTINUATION: u16 = 0x0010;
/// Blocks of one object header that are followed.
const MAX_BLOCKS: usize = 64;
/// Groups below groups that the walk goes into.
const MAX_DEPTH: usize = 12;

/// Whether the place of `dataset` is described in a message of version 2.
pub(super) fn is_legacy(file: &Hdf5File, dataset: &Dataset) -> bool {
    version_byte(file, dataset.address()).is_ok_and(|at| at.is_some())
}

/// `storage` as a file of version 1 messages; `file` has been opened on the same storage.
pub(super) fn upgraded(file: &Hdf5File, storage: DynStorage) -> Result<DynStorage> {
    let mut versions = Vec::new();
    walk(file, &file.root_group()?, 0, &mut versions);
    versions.sort_unstable();
    Ok(Arc::new(Upgraded { storage, versions }))
}

/// A storage that answers 1 where the file says 2.
struct Upgraded {
    storage: DynStorage,
    versions: Vec<u64>,
}

impl Storage for Upgraded {
    fn len(&self) -> u64 {
        self.storage.len()
    }

    fn read_range(&self, offset: u64, len: usize) -> Result<StorageBuffer> {
        let buffer = self.storage.read_range(offset, len)?;
        let first = self.versions.partition_point(|&at| at < offset);
        let within = self.versions[first..].iter().map_while(|&at| {
            let at = usize::try_from(at - offset).ok()?;
            (at < buffer.len()).then_some(at)
        });
        let mut within = within.peekable();
        if within.peek().is_none() {
            return Ok(buffer);
        }
        let mut bytes = buffer.to_vec();
        within.for_each(|at| bytes[at] = 1);
        Ok(StorageBuffer::from_vec(bytes))
    }
}

fn walk(file: &Hdf5File, group: &Group, depth: usize, versions: &mut Vec<u64>) {
    let Ok((groups, datasets)) = group.members() else {
        return;
    };
    let found = datasets
        .iter()
        .filter_map(|dataset| version_byte(file, dataset.address()).ok()?);
    versions.extend(found);
    if depth < MAX_DEPTH {
        groups
            .iter()
            .for_each(|group| walk(file, group, depth + 1, versions));
    }
}

/// Where the object header at `address`, of version 1, holds the number of a data layout message of
/// version 2.
fn version_byte(file: &Hdf5File, address: u64) -> Result<Option<u64>> {
    let storage = file.storage();
    let prefix = storage.read_range(address, PREFIX)?;
    if prefix[0] != 1 {
        return Ok(None);
    }
    let length = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    let mut blocks = vec![(address.saturating_add(PREFIX as u64), u64::from(length))];
    let mut next = 0;
    while let Some(&(start, length)) = blocks.get(next) {
        next += 1;
        let block = storage.read_range(start, usize::try_from(length).unwrap_or(usize::MAX))?;
        let mut at = 0;
        while let Some(header) = block.get(at..at + MESSAGE) {
            let kind = u16::from_le_bytes([header[0], header[1]]);
            let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
            let body = at + MESSAGE;
            let content = block.get(body..body + length).unwrap_or_default();
            if kind == DATA_LAYOUT && content.first() == Some(&2) {
                return Ok(Some(start.saturating_add(body as u64)));
            }
            if kind == CONTINUATION && blocks.len() < MAX_BLOCKS {
                blocks.extend(continuation(file, content));
            }
            at = body + length;
        }
    }
    Ok(None)
}

/// Address and length of the next block of a header.
fn continuation(file: &Hdf5File, content: &[u8]) -> Option<(u64, u64)> {
    let superblock = file.superblock();
    let (address, rest) = content.split_at_checked(superblock.offset_size.into())?;
    let length = rest.get(..superblock.length_size.into())?;
    Some((number(address)?, number(length)?))
}

fn number(little_endian: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes
        .get_mut(..little_endian.len())?
        .copy_from_slice(little_endian);
    Some(u64::from_le_bytes(bytes))
}
