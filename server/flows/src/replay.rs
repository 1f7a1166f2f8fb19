//! Loads recorded flows and captures into events of the store (`--replay`).
//!
//! Two kinds of file, told apart by their first bytes: packet captures, and text
//! with Hubble's JSON (what the CLI and the exporter write, also in logs); either
//! may be compressed (gzip). Files are streamed; what is held at once is one line
//! or object of at most 16 MiB or one packet, and the bounded connection table of
//! a capture. A line or packet that cannot be used is reported by its number and
//! counted by cause, and the rest is loaded.
//!
//! It is not a source of live events, and does not merge or sort files: events
//! come in the order of the file, times as recorded. Called once at start.

mod capture;
mod json;
mod report;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tracker;

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::IpAddr,
    ops::ControlFlow,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use sextant_proto::observer::{ExportEvent, export_event::ResponseTypes};

use crate::{
    event::Event,
    flow::{Endpoint, Interned, Interners, Origin, proto},
};

pub use report::{Cause, MAX_PROBLEMS, Problem, Report};

/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// What a compressed file begins with.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The same of what is not decompressed here, and what does it.
const OTHERS: [(&[u8], &str); 5] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd -dc"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz -dc"),
    (b"BZh", "bzip2 -dc"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4 -dc"),
    (b"PK\x03\x04", "unzip -p"),
];

/// Why a file could not be loaded. Bad content of a readable file is no error:
/// it is in the `Report`.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Missing, or not readable by the daemon.
    #[error("cannot open replay file {}: {source}; check path and permissions", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system failed in the middle of the file.
    #[error("cannot read replay file {} beyond {unit} {number}: {source}; copy it to a sound disk", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// `line` or `packet`.
        unit: &'static str,
        /// The last one that was read.
        number: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Compressed in another way than is read here.
    #[error("{} is compressed; decompress it (`{by}`), or compress it with gzip", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// What decompresses it.
        by: &'static str,
    },
    /// A file that is named as a capture, but is none.
    #[error("replay file {} is no pcap or pcapng capture; write it with `tcpdump -w`", path.display())]
    NotCapture {
        /// The file.
        path: PathBuf,
    },
}

/// Hubble's identity of what is outside, and its label.
const IDENTITY_WORLD: u32 = 2;
const LABEL_WORLD: &str = "reserved:world";

/// Kinds of file that can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with Hubble's JSON: lines, objects, logs.
    JsonLines,
    /// A packet capture, pcap or pcapng; its first bytes tell which.
    Capture,
}

impl Format {
    /// What is counted in it.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::JsonLines => "line",
            Self::Capture => "packet",
        }
    }

    /// The format of a file that begins with these bytes; what is named as a
    /// capture should be one.
    fn of(path: &Path, begin: &[u8]) -> Self {
        let name = path.file_name().unwrap_or_default().to_ascii_lowercase();
        let name = name.to_string_lossy();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let is_named = [".pcap", ".pcapng", ".cap"]
            .iter()
            .any(|end| name.ends_with(end));
        match is_named || capture::is_capture(begin) {
            true => Self::Capture,
            false => Self::JsonLines,
        }
    }
}

/// What replayed flows are joined with.
pub struct Context<'a> {
    /// Where the shared parts of recorded flows are kept.
    pub interners: &'a mut Interners,
    /// The node that the flows of a capture are of. Recorded flows have their own.
    pub node: &'a Interned<Origin>,
    /// Who is behind an address of a capture. Recorded flows say so themselves.
    pub resolve: &'a mut dyn FnMut(IpAddr) -> Interned<Endpoint>,
    /// In a capture VLAN ids tell connections apart.
    pub vlan_in_key: bool,
}

/// Loads a file; each event goes to `sink` as soon as it is read. All addresses
/// of a capture are taken to be outside (identity 2, `reserved:world`).
///
/// # Errors
/// The file cannot be opened or read, or is of no known kind.
pub fn load(
    path: &Path,
    interners: &mut Interners,
    node: &Interned<Origin>,
    sink: &mut dyn FnMut(Event),
) -> Result<Report, ReplayError> {
    in_world(interners, node, |context| load_in(path, context, sink))
}

/// Runs with a context in which all addresses are outside.
fn in_world<T>(
    interners: &mut Interners,
    node: &Interned<Origin>,
    run: impl FnOnce(&mut Context<'_>) -> T,
) -> T {
    let world = interners.endpoints.intern(Endpoint {
        identity: IDENTITY_WORLD,
        labels: vec![LABEL_WORLD.into()],
        ..Endpoint::default()
    });
    run(&mut Context {
        interners,
        node,
        resolve: &mut |_| world.clone(),
        vlan_in_key: false,
    })
}

/// As `load`, with endpoints resolved by the caller.
///
/// # Errors
/// The file cannot be opened or read, or is of no known kind.
pub fn load_in(
    path: &Path,
    context: &mut Context<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Report, ReplayError> {
    let mut input = open(path)?;
    let begin = input.fill_buf().map_err(|source| ReplayError::Open {
        path: path.into(),
        source,
    })?;
    read(Format::of(path, begin), path, input, context, sink)
}

/// As `load_in`, from what is open already; `path` is its name in the report.
///
/// # Errors
/// It cannot be read to its end, or is no capture though it should be.
pub fn read(
    format: Format,
    path: &Path,
    input: impl BufRead,
    context: &mut Context<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Report, ReplayError> {
    match format {
        Format::JsonLines => json::load(path, input, context.interners, sink),
        Format::Capture => capture::load(path, input, context, sink),
    }
}

/// Hands on what is in an open file as it was exported, flows of a capture among it,
/// until `sink` has enough, with the number of the line where each begins; problems as
/// they are met, where that is known. `path` is its name; `vlan_in_key` is as in `Context`.
///
/// # Errors
/// It cannot be read to its end, or is no capture though it should be.
pub fn export(
    path: &Path,
    vlan_in_key: bool,
    input: impl BufRead + 'static,
    sink: &mut dyn FnMut(Option<u64>, ExportEvent) -> ControlFlow<()>,
    told: &mut dyn FnMut(Format, &Problem),
) -> Result<Report, ReplayError> {
    let failed = |source| ReplayError::Open {
        path: path.into(),
        source,
    };
    let mut input = decompressed(path, input)?;
    let format = Format::of(path, input.fill_buf().map_err(failed)?);
    if format == Format::JsonLines {
        let mut sink = |number, event| sink(Some(number), event);
        return json::each(path, input, &mut sink, &mut |problem| told(format, problem));
    }
    let mut interners = Interners::default();
    let node = interners.origins.intern(Origin::default());
    // A capture has no end before its end.
    let mut state = ControlFlow::Continue(());
    let mut sink = |event| {
        if let (Event::Flow(flow), ControlFlow::Continue(())) = (event, state) {
            let flow = proto::to_proto(&flow);
            let event = ExportEvent {
                time: flow.time,
                node_name: flow.node_name.clone(),
                response_types: Some(ResponseTypes::Flow(flow)),
            };
            state = sink(None, event);
        }
    };
    let report = in_world(&mut interners, &node, |context| {
        context.vlan_in_key = vlan_in_key;
        capture::load(path, input, context, &mut sink)
    })?;
    for problem in &report.problems {
        told(format, problem);
    }
    Ok(report)
}

/// Opens a file, and what is compressed in it.
fn open(path: &Path) -> Result<Box<dyn BufRead>, ReplayError> {
    let failed = |source| ReplayError::Open {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_dir() || kind.is_char_device() || kind.is_block_device() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let file = BufReader::with_capacity(BUFFER_BYTES, file);
    decompressed(path, file)
}

/// What is compressed in it, if it is.
fn decompressed(
    path: &Path,
    mut input: impl BufRead + 'static,
) -> Result<Box<dyn BufRead>, ReplayError> {
    let failed = |source| ReplayError::Open {
        path: path.into(),
        source,
    };
    let begin = input.fill_buf().map_err(failed)?;
    if let Some((_, by)) = OTHERS.iter().find(|(magic, _)| begin.starts_with(magic)) {
        return Err(ReplayError::Compressed {
            path: path.into(),
            by,
        });
    }
    if !begin.starts_with(GZIP) {
        return Ok(Box::new(input));
    }
    let input = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(input));
    Ok(Box::new(input))
}

#[cfg(test)]
mod tests;
