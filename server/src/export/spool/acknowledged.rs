//! How far the events of a spool are acknowledged: a number in a file of two places, of
//! which the other one is written each time, so that one is whole whenever a write is cut
//! off.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use nix::fcntl::OFlag;

use super::{folder::Folder, segment::u64_at};

/// The file.
const NAME: &str = "acknowledged";
/// Bytes of a place: the number and its CRC-32, which 0 fills up.
const PLACE: usize = 16;

/// Events with smaller numbers are acknowledged.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    number: u64,
    /// Where it is not.
    free: u64,
}

impl Acknowledged {
    /// What is in the file; 0 where it is new or damaged, so that all is sent again.
    pub(super) fn open(folder: &Folder) -> io::Result<Self> {
        let file = folder.open_file(NAME, OFlag::O_RDWR | OFlag::O_CREAT)?;
        let read = |place: u64| {
            let mut bytes = [0; PLACE];
            let at = place * PLACE as u64;
            file.read_exact_at(&mut bytes, at).ok()?;
            let number = u64_at(&bytes, 0);
            (bytes == encoded(number)).then_some((number, 1 - place))
        };
        let (number, free) = read(0).max(read(1)).unwrap_or_default();
        Ok(Self { file, number, free })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Moves on, never back. It is so for this daemon even if it could not be written.
    pub(super) fn move_to(&mut self, number: u64) -> io::Result<()> {
        if number <= self.number {
            return Ok(());
        }
        self.number = number;
        self.file
            .write_all_at(&encoded(number), self.free * PLACE as u64)?;
        self.free = 1 - self.free;
        Ok(())
    }
}

fn encoded(number: u64) -> [u8; PLACE] {
    let mut bytes = [0; PLACE];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..8]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}
