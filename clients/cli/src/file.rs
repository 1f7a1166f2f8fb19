//! Files of flows and events: opening them, and why that fails.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use crate::text::harmless;

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

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read as _;

    use super::*;

    /// A file that fails behind these bytes.
    pub(crate) fn broken(bytes: &'static [u8]) -> Box<dyn BufRead + Send> {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        Box::new(bytes.chain(BufReader::new(Broken)))
    }

    #[test]
    fn a_folder_is_no_file() {
        let error = open(Path::new("/")).err().unwrap().to_string();
        assert!(error.contains("cannot read /: is a directory"), "{error}");
    }
}
