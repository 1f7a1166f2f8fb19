//! Lines of a file of JSON, numbered. A line that cannot be taken is told, and the
//! next ones are read; an error of the file itself ends it. Bound: one line of 16 MiB.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use prost::Message;

use crate::{
    json::{self, JsonError},
    text::harmless,
};

/// The longest line that is taken, with its end.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// What Windows puts before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file is not read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It is not there, or is none.
    #[error("cannot read {file}: {cause}; name a file of JSON lines, or - for standard input")]
    Open { file: String, cause: io::Error },
    /// It failed on the way.
    #[error("cannot read line {number} of {file}: {cause}; the lines before it were taken")]
    Read {
        file: String,
        number: u64,
        cause: io::Error,
    },
}

/// Why a line is passed over.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BadLine {
    /// Another encoding, or a broken file.
    #[error("it is not UTF-8 from byte {0} on; convert the file to UTF-8")]
    NotText(usize),
    /// Most likely a file without lines.
    #[error("it is longer than 16 MiB; each line must be one JSON object")]
    TooLong,
    /// JSON of something else.
    #[error(
        "it is neither a flow nor an event; a line is what `hubble observe -o json` prints, or a flow alone"
    )]
    NoFlow,
    /// Not what is asked for.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// A file that is read line by line.
pub(crate) struct Lines {
    input: Box<dyn BufRead + Send>,
    file: String,
    number: u64,
    buffer: Vec<u8>,
}

/// A line that is not blank.
pub(crate) struct Line<'a> {
    file: &'a str,
    /// From 1.
    pub(crate) number: u64,
    /// Without its end.
    pub(crate) text: Result<&'a str, BadLine>,
}

impl Lines {
    /// Opens the file; `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let (name, input) = open(path)?;
        Ok(Self::new(name, input))
    }

    /// Lines of what is open, under this name.
    pub(crate) fn new(file: String, input: Box<dyn BufRead + Send>) -> Self {
        Self {
            input,
            file,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// The name of the file, fit for a terminal.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The next line that is not blank; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, FileError> {
        loop {
            self.number += 1;
            let is_whole = self.fill().map_err(|cause| FileError::Read {
                file: self.file.clone(),
                number: self.number,
                cause,
            })?;
            if self.buffer.is_empty() {
                return Ok(None);
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(Line {
                    file: &self.file,
                    number: self.number,
                    text: text(&self.buffer, is_whole, self.number == 1),
                }));
            }
        }
    }

    /// Reads a line into the buffer; false if it is too long, and passed over.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let limit = MAX_LINE_BYTES as u64;
        let mut part = self.input.by_ref().take(limit);
        part.read_until(b'\n', &mut self.buffer)?;
        if self.buffer.len() < MAX_LINE_BYTES || self.buffer.ends_with(b"\n") {
            return Ok(true);
        }
        self.input.skip_until(b'\n')?;
        Ok(false)
    }
}

impl Line<'_> {
    /// The message, of the type with this full name, that the line is.
    pub(crate) fn parse<M: Message + Default>(&self, name: &str) -> Result<M, BadLine> {
        Ok(json::parse(self.text.clone()?, name)?)
    }

    /// What is told of it if it cannot be used.
    pub(crate) fn bad(&self, why: &impl Display) -> String {
        let why = harmless(&why.to_string());
        format!("sextant: line {} of {}: {why}\n", self.number, self.file)
    }
}

/// Opens a file for reading, under its name for people; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<(String, Box<dyn BufRead + Send>), FileError> {
    if path.as_os_str() == "-" {
        let input = BufReader::new(io::stdin());
        return Ok(("standard input".into(), Box::new(input)));
    }
    let name = harmless(&path.display().to_string());
    match open_file(path) {
        Ok(file) => Ok((name, Box::new(BufReader::new(file)))),
        Err(cause) => Err(FileError::Open { file: name, cause }),
    }
}

/// A folder can be opened, and fails only when it is read.
fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    }
}

fn text(line: &[u8], is_whole: bool, is_first: bool) -> Result<&str, BadLine> {
    if !is_whole {
        return Err(BadLine::TooLong);
    }
    let marked = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first);
    let line = marked.unwrap_or(line);
    // Positions in errors of JSON are those of one line.
    std::str::from_utf8(line.trim_ascii_end())
        .map_err(|error| BadLine::NotText(error.valid_up_to() + 1))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bytes as a file `f`.
    pub(crate) fn lines(bytes: impl AsRef<[u8]> + Send + 'static) -> Lines {
        Lines::new("f".into(), Box::new(io::Cursor::new(bytes)))
    }

    /// A file `f` that fails behind these bytes.
    pub(crate) fn broken(bytes: &'static [u8]) -> Lines {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let input = bytes.chain(BufReader::new(Broken));
        Lines::new("f".into(), Box::new(input))
    }

    /// Number and text of each line, or what is told of it.
    fn all(mut lines: Lines) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match &line.text {
                Ok(text) => format!("{} {text}", line.number),
                Err(why) => line.bad(why),
            });
        }
        all
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_and_line_ends_left_out() {
        assert_eq!(all(lines("\na\r\n \t\r\n b \n\nc")), ["2 a", "4  b", "6 c"]);
        assert!(all(lines("")).is_empty());
        let marked = all(lines("\u{feff}a\n\u{feff}b"));
        assert_eq!(marked, ["1 a", "2 \u{feff}b"]);
    }

    #[test]
    fn a_line_that_is_no_text_is_told_by_number_and_the_next_is_read() {
        let all = all(lines(b"a\nx\xff\nb"));
        assert_eq!((all[0].as_str(), all[2].as_str()), ("1 a", "3 b"));
        let told = "sextant: line 2 of f: it is not UTF-8 from byte 2 on";
        assert!(all[1].starts_with(told), "{all:?}");
    }

    #[test]
    fn a_line_that_is_too_long_is_told_by_number_and_the_next_is_read() {
        let mut bytes = vec![b'x'; 2 * MAX_LINE_BYTES];
        bytes.extend(b"\nb\n");
        bytes.extend(vec![b'y'; MAX_LINE_BYTES - 1]);
        bytes.extend(b"\n");
        let all = all(lines(bytes));
        assert!(all[0].contains("line 1 of f: it is longer"), "{}", all[0]);
        assert_eq!(all[1], "2 b");
        assert_eq!(all[2].len(), MAX_LINE_BYTES + 1);
    }

    #[test]
    fn an_error_of_the_file_names_the_file_and_the_line() {
        let mut lines = broken(b"a\nb");
        assert_eq!(lines.next().unwrap().unwrap().text.unwrap(), "a");
        let error = lines.next().err().unwrap().to_string();
        assert!(error.contains("line 2 of f: the disk is gone"), "{error}");
        let error = Lines::open(Path::new("/")).err().unwrap().to_string();
        assert!(error.contains("cannot read /: is a directory"), "{error}");
    }
}
