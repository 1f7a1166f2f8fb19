//! Packet captures (pcap, pcapng): each packet becomes one flow event, as in
//! Hubble without aggregation, and each DNS message in it another.
//!
//! Frames that are not IP, or broken, are counted by cause. A file that ends
//! within a packet, or in which the next packet cannot be found, keeps what came
//! before. Bound: one packet or block, and the tables of `tracker` and
//! `fragments`.

mod bytes;
mod dns;
mod event;
mod fragments;
mod interface;
mod l4;
mod pcap;
mod pcapng;
mod sni;
mod vlans;

use std::{
    io::{self, BufRead},
    path::Path,
};

use bytes::Broken;
use event::EventMaker;

use super::{Cause, Context, ReplayError, Report};
use crate::{
    decode::{self, Direction, Link},
    event::Event,
    flow::{Interface, Interned, Time},
};

/// A packet as it is in the file.
struct Frame<'a> {
    time: Option<Time>,
    /// Its length on the wire; the file may have less.
    wire_length: u32,
    link_type: LinkType,
    bytes: &'a [u8],
    interface: Option<&'a Interned<Interface>>,
    direction: Option<Direction>,
}

/// A link type by its number in the registry of tcpdump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LinkType(u16);

impl LinkType {
    fn link(self) -> Option<Link> {
        Link::from_number(self.0)
    }
}

/// Whether a file begins as a capture does.
pub(super) fn is_capture(begin: &[u8]) -> bool {
    begin.first_chunk::<4>().is_some_and(|magic| {
        u32::from_be_bytes(*magic) == pcapng::SECTION || pcap::is_magic(*magic)
    })
}

/// A capture of either format, told by its first bytes.
enum Capture<R> {
    Pcap(pcap::Reader<R>),
    PcapNg(pcapng::Reader<R>),
}

impl<R: BufRead> Capture<R> {
    fn new(mut reader: R) -> Result<Self, Broken> {
        let mut magic = [0; 4];
        reader.read_exact(&mut magic).map_err(|error| match error {
            short if short.kind() == io::ErrorKind::UnexpectedEof => Broken::NotCapture,
            error => Broken::Io(error),
        })?;
        if u32::from_be_bytes(magic) == pcapng::SECTION {
            return pcapng::Reader::new(reader).map(Self::PcapNg);
        }
        pcap::Reader::new(magic, reader).map(Self::Pcap)
    }

    fn next(&mut self) -> Result<Option<Frame<'_>>, Broken> {
        match self {
            Self::Pcap(reader) => reader.next(),
            Self::PcapNg(reader) => reader.next(),
        }
    }
}

/// Reads all packets.
pub(super) fn load(
    path: &Path,
    reader: impl BufRead,
    context: &mut Context<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Report, ReplayError> {
    let mut report = Report::new(path);
    let mut events = EventMaker::new(path, context.vlan_in_key);
    let mut number = 0;
    let ended = Capture::new(reader).and_then(|mut capture| {
        while let Some(frame) = capture.next()? {
            number += 1;
            match packet(&frame) {
                Ok(packet) => {
                    report.loaded += 1;
                    events.make(number, &frame, packet, context, sink);
                }
                Err((cause, text)) => report.note(number, cause, text),
            }
        }
        Ok(())
    });
    events.finish(context, sink);
    report.forgotten = events.forgotten();
    end(path, report, number, ended)
}

/// What is wrong with a packet, and that in words.
type Rejected = (Cause, String);

fn packet(frame: &Frame<'_>) -> Result<decode::Packet, Rejected> {
    let link = frame.link_type.link().ok_or_else(|| {
        let text = format!("link type {} is not known", frame.link_type.0);
        (Cause::LinkType, text)
    })?;
    decode::decode(link, frame.bytes).map_err(|cause| (Cause::Packet(cause), cause.to_string()))
}

/// How the reading of a file of `number` packets came out.
fn end(
    path: &Path,
    mut report: Report,
    number: u64,
    ended: Result<(), Broken>,
) -> Result<Report, ReplayError> {
    match ended {
        Ok(()) => {}
        Err(Broken::NotCapture) => return Err(ReplayError::NotCapture { path: path.into() }),
        Err(Broken::Truncated) => {
            let text = "the file ends within it".to_owned();
            report.note(number + 1, Cause::FileTruncated, text);
        }
        Err(Broken::Corrupt(what)) => {
            let text = format!("{what}; nothing can be read from here on");
            report.note(number + 1, Cause::FileCorrupt, text);
        }
        Err(Broken::Io(source)) => {
            return Err(ReplayError::Read {
                path: path.into(),
                unit: "packet",
                number,
                source,
            });
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
