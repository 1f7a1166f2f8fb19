//! The bytes of a file, of which a line or an object is held at once. Bound: a
//! line or object of `MAX_BYTES`, and what the reader below gives at once.

use std::io::{self, BufRead};

use super::utf16::Utf16;

/// Longest line or object that is read; longer lines are passed over.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line of the file, without its end.
pub(super) enum Line {
    /// So many bytes.
    Length(usize),
    TooLong,
}

pub(super) struct Source<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What of the buffer is used up.
    at: usize,
    /// Where the present line ends, or up to where it does not; so that a line of
    /// many objects is not searched for each.
    end: Option<usize>,
    searched: usize,
    /// Number of the line that `at` is in, from 1.
    line: u64,
    has_begun: bool,
    is_cut_off: bool,
    /// How its text is written, if not in UTF-8.
    utf16: Option<Utf16>,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            at: 0,
            end: None,
            searched: 0,
            line: 1,
            has_begun: false,
            is_cut_off: false,
            utf16: None,
        }
    }

    /// Number of the present line.
    pub(super) fn line_number(&self) -> u64 {
        self.line
    }

    /// Whether the file ended within what was compressed.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// What is held and not used yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Uses up so many bytes.
    pub(super) fn consume(&mut self, length: usize) {
        let used = &self.buffer[self.at..self.at + length];
        self.line += used.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at += length;
        self.end = self.end.filter(|end| *end >= self.at);
        self.searched = self.searched.max(self.at);
    }

    /// Holds more bytes; false at the end of the file.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.end = self.end.map(|end| end - self.at);
            self.searched -= self.at;
            self.at = 0;
        }
        let more = match self.reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.is_cut_off = true;
                &[]
            }
            more => more?,
        };
        let length = more.len();
        if !self.has_begun {
            self.utf16 = Utf16::of(more);
        }
        match &mut self.utf16 {
            None => self.buffer.extend_from_slice(more),
            Some(utf16) => utf16.decode(more, &mut self.buffer),
        }
        self.reader.consume(length);
        if !self.has_begun {
            self.has_begun = true;
            if self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.consume(BYTE_ORDER_MARK.len());
            }
        }
        Ok(length > 0)
    }

    /// Passes over white space and what is between the elements of a list; the
    /// byte behind.
    pub(super) fn skip_blank(&mut self) -> io::Result<Option<u8>> {
        loop {
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"[],".contains(byte);
            match self.rest().iter().position(|byte| !is_blank(byte)) {
                Some(length) => {
                    self.consume(length);
                    return Ok(self.rest().first().copied());
                }
                None => {
                    self.consume(self.rest().len());
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The present line, which is held as a whole unless it is too long.
    pub(super) fn line(&mut self) -> io::Result<Line> {
        while self.end.is_none() {
            let found = self.buffer[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            self.end = found.map(|length| self.searched + length);
            self.searched = self.end.unwrap_or(self.buffer.len());
            if self.end.is_none() && (self.rest().len() > MAX_BYTES || !self.fill()?) {
                break;
            }
        }
        Ok(match self.end.unwrap_or(self.buffer.len()) - self.at {
            length if length > MAX_BYTES => Line::TooLong,
            length => Line::Length(length),
        })
    }

    /// Passes over the present line, without holding it.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let end = self.rest().iter().position(|byte| *byte == b'\n');
            self.consume(end.map_or(self.rest().len(), |end| end + 1));
            if end.is_some() {
                return Ok(());
            }
            // A huge line does not keep its buffer.
            self.buffer = Vec::new();
            (self.at, self.end, self.searched) = (0, None, 0);
            if !self.fill()? {
                return Ok(());
            }
        }
    }
}
