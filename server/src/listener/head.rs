//! The head of a request of HTTP/1 as it is read: what never ends would be kept until a
//! time-out. Bound: `MAX_BYTES`.

use std::io;

use super::http::HEADER_BYTES;

/// Of a request line and its headers: as much as HTTP/2 may have.
const MAX_BYTES: usize = HEADER_BYTES as usize;

/// As far as it was read. A body behind it is not looked at.
#[derive(Debug, Default)]
pub(super) struct Head {
    bytes: usize,
    /// The last line has nothing yet.
    is_line_empty: bool,
    is_whole: bool,
}

impl Head {
    /// More was read.
    ///
    /// # Errors
    ///
    /// It is too long.
    pub(super) fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if self.is_whole {
                return Ok(());
            }
            self.bytes += 1;
            match byte {
                b'\n' if self.is_line_empty => self.is_whole = true,
                b'\n' => self.is_line_empty = true,
                b'\r' => {}
                _ => self.is_line_empty = false,
            }
        }
        match self.is_whole || self.bytes <= MAX_BYTES {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the head of a request is too long",
            )),
        }
    }

    /// Something was answered: what is read next may be another request.
    pub(super) fn answered(&mut self) {
        if self.is_whole {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_and_bodies_may_be_long() {
        for head in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\n\n"] {
            let mut read = Head::default();
            for byte in head.as_bytes() {
                read.read(&[*byte]).unwrap();
            }
            assert!(read.is_whole, "{head:?}");
            read.read(&[b'x'; 2 * MAX_BYTES]).unwrap();
            read.answered();
            assert!(read.read(&[b'x'; 2 * MAX_BYTES]).is_err());
        }
    }

    #[test]
    fn one_that_does_not_end_is_refused() {
        let mut read = Head::default();
        let line = "Some: header\r\n".as_bytes();
        let lines = MAX_BYTES / line.len();
        assert!((0..lines).all(|_| read.read(line).is_ok()));
        assert!(read.read(line).is_err());
    }
}
