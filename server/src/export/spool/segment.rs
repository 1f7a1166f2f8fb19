//! A file of a spool: a header, then frames of events, each with a checksum.
//!
//! ```text
//! header: magic (8 bytes), form (u32), first event (u64), CRC-32 of these (u32)
//! frame:  bytes (u32), events (u32), first event (u64), CRC-32 of these and of what
//!         follows (u32), the end of each event (u32), the events
//! ```
//!
//! All numbers are little-endian; events are numbered from 0 over the life of a spool.
//! Written whole and then only read. Bound: `MAX_FRAME` bytes a frame.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::super::batch::Batch;

/// First bytes of a file; the last of them is the version.
const MAGIC: [u8; 8] = *b"sxspool\x01";
/// Bytes of the header of a file.
pub(super) const HEADER: u64 = 24;
/// Bytes before the ends of a frame.
const FRAME: usize = 20;
/// Beyond all numbers that events ever have.
pub(super) const END: u64 = 1 << 62;
/// A frame of more bytes is damage: a batch is 1 MiB and an event.
const MAX_FRAME: usize = 64 << 20;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Number of its first event.
    pub(super) first: u64,
    /// Events in it.
    pub(super) events: u64,
    /// Bytes of the file that it takes.
    pub(super) bytes: u64,
}

/// The header of a file whose first event has this number.
pub(super) fn header(form: u32, first: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(form.to_le_bytes());
    bytes.extend(first.to_le_bytes());
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// The form of the events of a file; `None` if it is no file of a spool.
pub(super) fn form_of(file: &File) -> Option<u32> {
    let mut bytes = [0; HEADER as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let form = u32_at(&bytes, 8);
    let first = u64_at(&bytes, 12);
    (bytes[..] == header(form, first)).then_some(form)
}

/// Makes a frame of the events of a batch that are not written.
pub(super) fn encode(batch: &Batch, first: u64, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    out.resize(FRAME, 0);
    let mut end = 0_usize;
    for event in batch.events() {
        end += event.len();
        let end = u32::try_from(end).map_err(|_| io::ErrorKind::FileTooLarge)?;
        out.extend(end.to_le_bytes());
    }
    batch.events().for_each(|event| out.extend(event));
    let body = out.len() - FRAME;
    if body > MAX_FRAME {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    out[0..4].copy_from_slice(&(body as u32).to_le_bytes());
    out[4..8].copy_from_slice(&(batch.len() as u32).to_le_bytes());
    out[8..16].copy_from_slice(&first.to_le_bytes());
    let sum = sum_of(&out[..16], &out[FRAME..]);
    out[16..FRAME].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// Reads the frame at a place of a file into `body`; `None` where none is whole and right
/// before `end`.
pub(super) fn read(file: &File, at: u64, end: u64, body: &mut Vec<u8>) -> Option<Frame> {
    let mut head = [0; FRAME];
    file.read_exact_at(&mut head, at).ok()?;
    let bytes = u32_at(&head, 0) as usize;
    let frame = Frame {
        first: u64_at(&head, 8),
        events: u32_at(&head, 4).into(),
        bytes: (FRAME + bytes) as u64,
    };
    let fits = bytes <= MAX_FRAME
        && frame.first < END
        && at
            .checked_add(frame.bytes)
            .is_some_and(|after| after <= end)
        && frame
            .events
            .checked_mul(4)
            .is_some_and(|ends| ends <= bytes as u64);
    if !fits {
        return None;
    }
    body.resize(bytes, 0);
    file.read_exact_at(body, at + FRAME as u64).ok()?;
    (sum_of(&head[..16], body) == u32_at(&head, 16)).then_some(frame)
}

/// The events of a frame, but for the first so many; nothing for ends that do not ascend.
pub(super) fn events<'b>(
    frame: &Frame,
    body: &'b [u8],
    skipped: u64,
) -> impl Iterator<Item = &'b [u8]> + use<'b> {
    let (ends, bytes) = body.split_at(4 * frame.events as usize);
    let end = move |event: usize| u32_at(ends, 4 * event) as usize;
    let events = skipped as usize..frame.events as usize;
    events.filter_map(move |event| {
        let begin = event.checked_sub(1).map_or(0, end);
        bytes.get(begin..end(event))
    })
}

fn sum_of(head: &[u8], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(head);
    sum.update(body);
    sum.finalize()
}

/// Of bytes that are there.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The same.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
