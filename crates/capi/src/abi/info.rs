//! Versions, texts, models, headers.

use core::ffi::c_char;

use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
use hitgate_core::net::Model;

use super::guard;
use super::pointer::{Out, reference, slice};
use crate::status::Status;
use crate::types::ModelInfo;

/// The interface's version: a program built with the header of another version must not go on.
pub const ABI_VERSION: u32 = 3;

/// HITGATE_ABI_VERSION of the library, to be compared with the header's before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn hitgate_abi_version() -> u32 {
    ABI_VERSION
}

/// A status in words, in English, ended by a zero byte, valid for ever; any number is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn hitgate_status_text(status: u32) -> *const c_char {
    Status::text_of(status).as_ptr()
}

/// What a model file says of itself. It checks all of the file.
///
/// # Safety
/// `model` may be read for `model_len` bytes, `info` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_model_inspect(
    model: *const u8,
    model_len: usize,
    info: *mut ModelInfo,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let info = unsafe { Out::new(info) }?;
        // SAFETY: *readable*.
        let bytes = unsafe { model_bytes(model, model_len) }?;
        let model = Model::parse(bytes).map_err(|_| Status::Model)?;
        let input = model.input();
        info.set(ModelInfo {
            input_size: input.size,
            channels: input.channels,
            reduction: input.reduce as u32,
            d_water: input.d_water,
            threshold: u32::from(model.threshold()),
            crc: crc32fast::hash(bytes),
            ..ModelInfo::default()
        });
        Ok(())
    })
}

/// The bytes of a model file: null is a mistake, not an empty file.
///
/// # Safety
/// *Readable*.
pub unsafe fn model_bytes<'a>(model: *const u8, model_len: usize) -> Result<&'a [u8], Status> {
    if model.is_null() {
        return Err(Status::Null);
    }
    // SAFETY: *readable*.
    unsafe { slice(model, model_len) }
}

/// The header of a frame of `rows` by `columns` pixels whose payload follows it at once. Fields that say
/// where it came from are 0: set them, then seal it.
///
/// # Safety
/// `header` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_header_init(
    header: *mut FrameHeader,
    rows: u32,
    columns: u32,
    pixel_type: u32,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let header = unsafe { Out::new(header) }?;
        let code = u8::try_from(pixel_type).map_err(|_| Status::Argument)?;
        let pixel_type = PixelType::from_code(code).ok_or(Status::Argument)?;
        let [rows, columns] = [rows, columns].map(u16::try_from);
        let rows = rows.map_err(|_| Status::Argument)?;
        let columns = columns.map_err(|_| Status::Argument)?;
        header.set(FrameHeader::new(rows, columns, pixel_type));
        Ok(())
    })
}

/// Copies `header` to `sealed` with its checksum filled in; both may be the same header. The writer's
/// commit does this itself.
///
/// # Safety
/// `header` may be read, `sealed` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_header_seal(
    header: *const FrameHeader,
    sealed: *mut FrameHeader,
) -> Status {
    guard(|| {
        // SAFETY: *readable*; a header is numbers alone. It is copied before anything is written.
        let header = *unsafe { reference(header) }?;
        // SAFETY: *writable*.
        let sealed = unsafe { Out::new(sealed) }?;
        let bytes: [u8; HEADER_LEN] = header.seal();
        sealed.set(FrameHeader::from_bytes(&bytes));
        Ok(())
    })
}
