//! HDF5: the NeXus layout of DECTRIS and areaDetector files, that of CXIDB entry 76, or any dataset by
//! its name.

pub mod bitshuffle;
mod idh5;
mod legacy;
mod nexus;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::group::Group;
use hdf5_reader::storage::DynStorage;
use hdf5_reader::{
    BytesStorage, Dataset, Datatype, ExternalLinkResolver, FileStorage, FilterRegistry, Hdf5File,
    OpenOptions, SliceInfo, SliceInfoElem,
};

use bitshuffle::Refusal;

use crate::contents::Contents;
use crate::image::{Element, frames_of};
use crate::sidecar::Sidecar;
use crate::{FormatError, Image, Mask, Pixels, pilatus};

type Hdf5Error = hdf5_reader::error::Error;

const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
/// A user block may push the file's start to a power of two from 512 on; nothing else here does.
const DATA: &[&str] = &[
    "/entry/data/data",
    "/entry/instrument/detector/data",
    "/entry_1/data_1/data",
    "/entry_1/instrument_1/detector_1/data",
    "/data/data",
];
/// DECTRIS masters link their images as `data_000001`, `data_000002` and so on.
const NUMBERED: &str = "/entry/data";
/// Groups below groups that a search goes into.
const MAX_DEPTH: usize = 12;
/// Enough for any frame (an EIGER 16M in 32 bits is 70 MiB), too little to fill a memory.
const MAX_BYTES: usize = 2 << 30;

/// Frames of one or more datasets, one after another.
pub(crate) struct Stack {
    parts: Vec<Part>,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) element: Element,
    pub(crate) frames: usize,
    /// Whether the file is of the layout of CXIDB entry 76.
    pub(crate) is_cxidb_76: bool,
}

/// One dataset: frames x rows x columns, rows x columns, or frames x modules x rows x columns.
struct Part {
    dataset: Dataset,
    frames: usize,
}

pub(crate) fn recognise(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Where the file ends by its own account: the superblock's end-of-file address (HDF5 File Format
/// Specification 3.0, II.A).
fn end_of_file(head: &[u8]) -> Option<u64> {
    let (size, addresses) = match *head.get(MAGIC.len())? {
        0 => (*head.get(13)?, 24),
        1 => (*head.get(13)?, 28),
        2 | 3 => (*head.get(9)?, 12),
        _ => return None,
    };
    // The third address of every version; eight bytes each in all files but very old ones.
    let start = addresses + 2 * size_of::<u64>();
    let end = head.get(start..)?.first_chunk()?;
    (usize::from(size) == size_of::<u64>()).then(|| u64::from_le_bytes(*end))
}

/// Opens the frames: those of `dataset` where one is named, else those that the layout shows. Where
/// frames may be `stacks` of modules, four dimensions are frames x modules x rows x columns, and the
/// modules of a frame are read one under another.
pub(crate) fn open(
    path: &Path,
    mut contents: Contents,
    dataset: Option<&str>,
    stacks: bool,
) -> Result<(Stack, Sidecar, Option<Mask>), FormatError> {
    let (there, head) = (contents.length(), contents.head(path)?);
    if let Some(end) = end_of_file(&head).filter(|&end| end > there) {
        let what = format!("{there} of {end} bytes are there");
        return Err(FormatError::truncated(path, what));
    }
    let storage = storage(contents).map_err(|e| error(path, e))?;
    let mut file = open_file(path, storage.clone()).map_err(|e| error(path, e))?;
    let (mut name, mut parts) = find(path, &file, dataset)?;
    if parts.iter().any(|part| legacy::is_legacy(&file, part)) {
        let storage = legacy::upgraded(&file, storage).map_err(|e| error(path, e))?;
        file = open_file(path, storage).map_err(|e| error(path, e))?;
        (name, parts) = find(path, &file, dataset)?;
    }
    let is_idh5 = idh5::is_one(&file);
    let stack = Stack {
        is_cxidb_76: is_idh5,
        ..Stack::new(path, parts, stacks)?
    };
    let mut found = match is_idh5 {
        true => idh5::describe(&file),
        false => nexus::describe(&file),
    };
    found.mask_values = Some(mask_values(&found, stack.element));
    let fits = |mask: &Dataset| mask.shape() == [u64::from(stack.rows), u64::from(stack.columns)];
    // A dataset named by the user may be another image than the one that the mask belongs to.
    let mask = nexus::mask(&file, &name).filter(|mask| dataset.is_none() || fits(mask));
    let mask = match mask {
        _ if is_idh5 => idh5::mask(path, &file, stack.columns, stack.rows)?,
        Some(dataset) => Some(read_mask(path, &dataset, &stack)?),
        None => None,
    };
    Ok((stack, found, mask))
}

/// PILATUS marks gaps with -1 and bad pixels with -2, other DECTRIS detectors with all bits set.
fn mask_values(found: &Sidecar, element: Element) -> Vec<i64> {
    let pilatus = found
        .detector
        .as_ref()
        .is_some_and(|name| name.to_ascii_lowercase().contains("pilatus"));
    match element {
        Element::I32 if pilatus => pilatus::MASK_VALUES.to_vec(),
        _ => element
            .highest()
            .or(element.no_value())
            .into_iter()
            .collect(),
    }
}

impl Stack {
    fn new(path: &Path, parts: Vec<Dataset>, stacks: bool) -> Result<Stack, FormatError> {
        let mut stack: Option<Stack> = None;
        for dataset in parts {
            let (frames, columns, rows) = frames_of(path, dataset.name(), dataset.shape(), stacks)?;
            let element = element(path, &dataset)?;
            let stack = stack.get_or_insert(Stack {
                parts: Vec::new(),
                columns,
                rows,
                element,
                frames: 0,
                is_cxidb_76: false,
            });
            if (stack.columns, stack.rows, stack.element) != (columns, rows, element) {
                return Err(FormatError::shape(
                    path,
                    format!("{} differs from the datasets before it", dataset.name()),
                ));
            }
            stack.frames = stack.frames.saturating_add(frames);
            stack.parts.push(Part { dataset, frames });
        }
        stack.ok_or_else(|| FormatError::shape(path, "no dataset"))
    }

    /// Reads one frame; no other one is unpacked where each is a chunk of its own.
    pub(crate) fn read(&self, path: &Path, index: usize) -> Result<Image, FormatError> {
        let mut within = index;
        let part = self.parts.iter().find(|part| {
            let here = within < part.frames;
            within -= if here { 0 } else { part.frames };
            here
        });
        let part = part.ok_or_else(|| FormatError::NoFrame {
            file: path.to_path_buf(),
            index,
            frames: self.frames,
        })?;
        let pixels = part
            .read(within, self.element)
            .map_err(|e| error(path, e))?;
        if pixels.len() != self.columns as usize * self.rows as usize {
            return Err(FormatError::malformed(
                path,
                format!("frame {index} has {} pixels", pixels.len()),
            ));
        }
        Ok(Image {
            columns: self.columns,
            rows: self.rows,
            pixels,
        })
    }
}

impl Part {
    fn read(&self, index: usize, element: Element) -> Result<Pixels, Hdf5Error> {
        if let Datatype::Enum { .. } = self.dataset.dtype() {
            return self.truth_values(index);
        }
        let mut selection = SliceInfo::all(self.dataset.ndim());
        if self.dataset.ndim() >= 3 {
            selection.selections[0] = SliceInfoElem::Index(index as u64);
        }
        macro_rules! read {
            ($type:ty) => {
                self.dataset
                    .read_slice::<$type>(&selection)?
                    .into_raw_vec_and_offset()
                    .0
            };
        }
        Ok(match element {
            Element::U8 => Pixels::U8(read!(u8)),
            Element::U16 => Pixels::U16(read!(u16)),
            Element::U32 => Pixels::U32(read!(u32)),
            Element::I16 => Pixels::I16(read!(i16)),
            Element::I32 => Pixels::I32(read!(i32)),
            Element::F32 => Pixels::F32(read!(f32)),
        })
    }

    /// Truth values, a byte each. Nothing but masks is stored so: the dataset is read whole.
    fn truth_values(&self, index: usize) -> Result<Pixels, Hdf5Error> {
        let mut bytes = self.dataset.read_raw_bytes()?;
        let length = bytes.len() / self.frames.max(1);
        bytes.drain(..index * length);
        bytes.truncate(length);
        Ok(Pixels::U8(bytes))
    }
}

fn element(path: &Path, dataset: &Dataset) -> Result<Element, FormatError> {
    match dataset.dtype() {
        Datatype::FixedPoint {
            size: 1,
            signed: false,
            ..
        } => Ok(Element::U8),
        // How h5py stores truth values.
        Datatype::Enum { base, .. } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => {
            Ok(Element::U8)
        }
        Datatype::FixedPoint {
            size: 2,
            signed: false,
            ..
        } => Ok(Element::U16),
        Datatype::FixedPoint {
            size: 4,
            signed: false,
            ..
        } => Ok(Element::U32),
        Datatype::FixedPoint {
            size: 2,
            signed: true,
            ..
        } => Ok(Element::I16),
        Datatype::FixedPoint {
            size: 4,
            signed: true,
            ..
        } => Ok(Element::I32),
        Datatype::FloatingPoint { size: 4, .. } => Ok(Element::F32),
        Datatype::FixedPoint { size, .. } => Err(FormatError::pixel_type(
            path,
            format!(
                "integers of {} bits in {}",
                u32::from(*size) * 8,
                dataset.name()
            ),
        )),
        Datatype::FloatingPoint { size, .. } => Err(FormatError::pixel_type(
            path,
            format!(
                "floats of {} bits in {}",
                u32::from(*size) * 8,
                dataset.name()
            ),
        )),
        _ => Err(FormatError::pixel_type(
            path,
            format!("not numbers in {}", dataset.name()),
        )),
    }
}

fn storage(contents: Contents) -> Result<DynStorage, Hdf5Error> {
    Ok(match contents {
        Contents::OnDisk { file, .. } => Arc::new(FileStorage::from_file(file)?),
        Contents::InMemory(bytes) => Arc::new(BytesStorage::new(bytes)),
    })
}

fn open_file(path: &Path, storage: DynStorage) -> Result<Hdf5File, Hdf5Error> {
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    Hdf5File::from_storage_with_options(storage, options(folder))
}

fn options(folder: PathBuf) -> OpenOptions {
    let mut filters = FilterRegistry::new();
    let refused = |refusal| match refusal {
        Refusal::Unsupported(what) => Hdf5Error::UnsupportedFilter(what),
        Refusal::Damaged(what) => Hdf5Error::DecompressionError(what),
    };
    filters.register(
        bitshuffle::BITSHUFFLE,
        Box::new(move |filter, chunk, _| {
            bitshuffle::unpack(&filter.client_data, chunk).map_err(refused)
        }),
    );
    filters.register(
        bitshuffle::LZ4,
        Box::new(move |_, chunk, _| bitshuffle::unpack_lz4(chunk).map_err(refused)),
    );
    OpenOptions::default()
        .with_filter_registry(filters)
        .with_external_link_resolver(Arc::new(SameFolder(folder)))
        .with_max_chunk_bytes(MAX_BYTES)
        .with_max_read_bytes(MAX_BYTES)
        // Frames are read once each.
        .with_chunk_cache_bytes(0)
}

/// Links to other files lead into the folder of the file itself and nowhere else, whatever path
/// the acquisition wrote.
struct SameFolder(PathBuf);

impl ExternalLinkResolver for SameFolder {
    fn resolve_external_link(&self, filename: &str) -> Result<Option<Hdf5File>, Hdf5Error> {
        let Some(name) = Path::new(filename).file_name() else {
            return Ok(None);
        };
        let path = self.0.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        // A chain of links between files ends here: the linked file resolves none.
        let options = OpenOptions {
            external_link_resolver: None,
            ..options(self.0.clone())
        };
        Hdf5File::open_with_options(path, options).map(Some)
    }
}

/// The datasets with the frames, and the name of the first.
fn find(
    path: &Path,
    file: &Hdf5File,
    wanted: Option<&str>,
) -> Result<(String, Vec<Dataset>), FormatError> {
    let missing = |what: &str| {
        let mut available = Vec::new();
        list(file, &mut available);
        FormatError::NoDataset {
            file: path.to_path_buf(),
            dataset: what.to_owned(),
            available: names(&available),
        }
    };
    if let Some(name) = wanted {
        return match file.dataset(name) {
            Ok(dataset) => Ok((name.to_owned(), vec![dataset])),
            Err(e) if is_absent(&e) => Err(missing(&format!("dataset {name}"))),
            Err(e) => Err(error(path, e)),
        };
    }
    if idh5::is_one(file) {
        let images = idh5::images(file).map_err(|e| error(path, e))?;
        return Ok(("/data".to_owned(), images));
    }
    let mut unreadable = None;
    for &name in DATA {
        match file.dataset(name) {
            Ok(dataset) if dataset.ndim() >= 2 => return Ok((name.to_owned(), vec![dataset])),
            Err(e) if !is_absent(&e) => unreadable = unreadable.or(Some(e)),
            _ => {}
        }
    }
    let numbered = numbered(file).map_err(|e| error(path, e))?;
    if !numbered.is_empty() {
        return Ok((format!("{NUMBERED}/data_000001"), numbered));
    }
    if let Some(e) = unreadable {
        return Err(error(path, e));
    }
    let mut all = Vec::new();
    list(file, &mut all);
    let pixels = |dataset: &Dataset| {
        dataset
            .shape()
            .iter()
            .rev()
            .take(2)
            .fold(1u64, |n, &side| n.saturating_mul(side))
    };
    let largest = all
        .into_iter()
        .filter(|(name, _)| !name.to_ascii_lowercase().contains("mask"))
        .max_by_key(|(_, dataset)| pixels(dataset));
    match largest {
        Some((name, dataset)) => Ok((name, vec![dataset])),
        None => Err(missing("image")),
    }
}

/// `data_000001`, `data_000002` … as far as they go.
fn numbered(file: &Hdf5File) -> Result<Vec<Dataset>, Hdf5Error> {
    let Ok(group) = file.group(NUMBERED) else {
        return Ok(Vec::new());
    };
    let mut datasets = Vec::new();
    loop {
        match group.dataset(&format!("data_{:06}", datasets.len() + 1)) {
            Ok(dataset) => datasets.push(dataset),
            Err(e) if is_absent(&e) => return Ok(datasets),
            Err(e) => return Err(e),
        }
    }
}

/// Every dataset of two or three dimensions, with its path.
fn list(file: &Hdf5File, found: &mut Vec<(String, Dataset)>) {
    fn enter(group: &Group, path: &str, depth: usize, found: &mut Vec<(String, Dataset)>) {
        let (groups, datasets) = group.member_names().unwrap_or_default();
        for name in datasets {
            // One that cannot be read, a virtual one perhaps, hides no other.
            if let Ok(dataset) = group.dataset(&name)
                && matches!(dataset.ndim(), 2 | 3)
            {
                found.push((format!("{path}/{name}"), dataset));
            }
        }
        for name in groups.into_iter().filter(|_| depth < MAX_DEPTH) {
            if let Ok(group) = group.group(&name) {
                enter(&group, &format!("{path}/{name}"), depth + 1, found);
            }
        }
    }
    if let Ok(root) = file.root_group() {
        enter(&root, "", 0, found);
    }
}

fn names(datasets: &[(String, Dataset)]) -> Vec<String> {
    datasets
        .iter()
        .map(|(name, dataset)| format!("{name} {:?}", dataset.shape()))
        .collect()
}

fn read_mask(path: &Path, dataset: &Dataset, stack: &Stack) -> Result<Mask, FormatError> {
    let (columns, rows) = (u64::from(stack.columns), u64::from(stack.rows));
    if dataset.shape() != [rows, columns] {
        let what = format!(
            "the mask {} has the shape {:?}, frames are {columns} x {rows}",
            dataset.name(),
            dataset.shape()
        );
        return Err(FormatError::shape(path, what));
    }
    let size = dataset
        .raw_element_size()
        .map_err(|e| error(path, e))?
        .max(1);
    let bytes = dataset.read_raw_bytes().map_err(|e| error(path, e))?;
    let excluded = bytes
        .chunks(size)
        .map(|value| u8::from(value.iter().any(|&byte| byte != 0)));
    let pixels = Pixels::U8(excluded.collect());
    Ok(Mask::from_image(&Image {
        columns: stack.columns,
        rows: stack.rows,
        pixels,
    }))
}

fn is_absent(error: &Hdf5Error) -> bool {
    match error {
        Hdf5Error::DatasetNotFound(_) | Hdf5Error::GroupNotFound(_) => true,
        Hdf5Error::Context { source, .. } => is_absent(source),
        _ => false,
    }
}

fn error(path: &Path, error: Hdf5Error) -> FormatError {
    /// Layout class of a dataset that only maps others.
    const VIRTUAL: u8 = 3;
    match error {
        Hdf5Error::Io(e) => FormatError::reading(path, e),
        Hdf5Error::Context { source, .. } => self::error(path, *source),
        Hdf5Error::UnexpectedEof { .. } | Hdf5Error::OffsetOutOfBounds(_) => {
            FormatError::truncated(path, error.to_string())
        }
        Hdf5Error::UnsupportedFilter(what) => FormatError::compression(
            path,
            format!("HDF5 {what}"),
            "bitshuffle-LZ4, LZ4, deflate or none",
        ),
        Hdf5Error::UnsupportedLayoutClass(VIRTUAL) => FormatError::compression(
            path,
            "a virtual dataset",
            "the images inside, or open the files that it maps",
        ),
        other => FormatError::malformed(path, other.to_string()),
    }
}
