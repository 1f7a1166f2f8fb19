//! Reading of capture files: headers and blocks with a bound, either byte order.

use std::io::{self, BufRead, Read as _};

/// Longest packet or block that is read; libpcap itself writes 256 KiB at most.
pub(super) const MAX_BLOCK_BYTES: usize = 16 * 1024 * 1024;

/// Why a file cannot be read on.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is no capture at all.
    NotCapture,
    /// It ends within a packet or block, as when a capture was interrupted.
    Truncated,
    /// A length or number cannot be, and so the next packet cannot be found.
    Corrupt(&'static str),
    /// The system failed.
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // As the reader of a compressed file tells it.
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// Byte order of a file or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    /// The number at `at`, if the bytes reach that far.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        })
    }

    /// The number at `at`, if the bytes reach that far.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        })
    }

    /// The number at `at`, if the bytes reach that far.
    pub(super) fn i64(self, bytes: &[u8], at: usize) -> Option<i64> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => i64::from_be_bytes(bytes),
            Self::Little => i64::from_le_bytes(bytes),
        })
    }
}

/// Reads `length` bytes; `false` at the end of the file.
pub(super) fn read_header(
    reader: &mut impl BufRead,
    length: usize,
    into: &mut Vec<u8>,
) -> Result<bool, Broken> {
    into.clear();
    let got = reader.take(length as u64).read_to_end(into)?;
    match got {
        0 => Ok(false),
        _ if got < length => Err(Broken::Truncated),
        _ => Ok(true),
    }
}

/// Reads `length` bytes that must be there.
pub(super) fn read_body(
    reader: &mut impl BufRead,
    length: usize,
    into: &mut Vec<u8>,
) -> Result<(), Broken> {
    if length > MAX_BLOCK_BYTES {
        return Err(Broken::Corrupt("a packet or block of impossible length"));
    }
    if length > 0 && !read_header(reader, length, into)? {
        return Err(Broken::Truncated);
    }
    if length == 0 {
        into.clear();
    }
    Ok(())
}
