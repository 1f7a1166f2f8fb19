//! Standard output, buffered, as the commands write it.

use std::io::{self, BufWriter, Stdout};

/// Bytes that are gathered before they are written; a stream that has no more
/// at hand is flushed at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Standard output.
pub(crate) fn stdout() -> BufWriter<Stdout> {
    BufWriter::with_capacity(BUFFER_BYTES, io::stdout())
}
