//! `Content-MD5` of a MIME header (RFC 1864): the MD5 of the binary section, in base64.

use std::path::Path;

use md5::{Digest, Md5};

use crate::FormatError;

/// Holds the packed image against what the header states of it.
pub(super) fn check(file: &Path, stated: &str, binary: &[u8]) -> Result<(), FormatError> {
    // CBFlib leaves dashes where it was told to compute none.
    if stated.chars().all(|c| c == '-') {
        return Ok(());
    }
    let found = base64(&Md5::digest(binary));
    if found == stated {
        return Ok(());
    }
    Err(FormatError::Checksum {
        file: file.to_path_buf(),
        what: format!("the image's MD5 is {found} and the header states {stated}"),
    })
}

/// Base64 (RFC 4648) of a digest.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = word >> (18 - 6 * digit) & 63;
            text.push(match digit <= chunk.len() {
                true => DIGITS[value as usize].into(),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    /// MD5 of `abc` as RFC 1321, section A.5, has it.
    #[test]
    fn a_checksum_is_met_or_named() {
        let file = Path::new("frame.cbf");
        check(file, "kAFQmDzST7DWlj99KOF/cg==", b"abc").unwrap();
        check(file, "------------------------", b"abc").unwrap();
        let refused = check(file, "kAFQmDzST7DWlj99KOF/cg==", b"abd");
        assert!(matches!(refused, Err(FormatError::Checksum { .. })));
    }
}
