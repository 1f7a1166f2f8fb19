//! Which events an exporter writes, and as what: Hubble's `ExportEvent` in JSON, or what
//! OpenTelemetry makes of it.

use std::sync::Arc;

use sextant_flows::{json, view::Unreadable};
use sextant_proto::flow::{LostEvent, LostEventSource};

use super::{
    batch::Batch,
    counts::Dropped,
    groups::Groups,
    lines::{Lines, Shelf},
    otlp::{Ends, Joined, ends_connection, put_group, put_record, put_span},
    setting::{Setting, SettingError, Target},
    signal::Signal,
};
use crate::{
    envelope::{lost_somewhere, put_agent, put_debug, put_flow, put_lost},
    flow::{Flow, Time, sketch::Sieve},
    judge::Judge,
    mask::Mask,
    store::{Event, Stamped},
};

/// The message of a line.
const MESSAGE: &str = "observer.ExportEvent";
/// Longest line that `hubble observe --input-file` reads, with its newline.
pub(super) const MAX_LINE: usize = 64 << 10;

/// What is made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A line of JSON.
    Line {
        /// Its bytes with its newline are fewer than that.
        below: usize,
    },
    /// A log event.
    Record,
    /// A span, of the last event of a connection.
    Span,
    /// Nothing: no connections are wanted.
    Nothing,
}

/// Makes of events what is written.
#[derive(Debug)]
pub(super) struct Encoder {
    form: Form,
    judge: Judge,
    mask: Option<Mask>,
    /// Nothing after it is written.
    end: Option<Time>,
    /// Events other than flows are written too.
    has_others: bool,
    /// Flows that are counted instead.
    groups: Groups,
    node_name: String,
    encoded: Vec<u8>,
    scratch: Vec<u8>,
    lines: LineWriter,
    ends: Ends,
    /// Of connections that have not ended.
    joined: Joined,
    /// Lines that others with the mask make.
    shelf: Arc<Shelf>,
}

/// The form of the events of this target, as a spool tells it.
pub(super) fn form_of(target: &Target) -> u32 {
    match Form::of(target) {
        Form::Line { .. } => 1,
        Form::Record => 2,
        Form::Span | Form::Nothing => 3,
    }
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// It is in the batch.
    Added,
    /// It is counted in a group.
    Grouped,
    /// Nothing, as it is meant.
    Filtered,
    /// Nothing, though it is wanted.
    Dropped(Dropped),
}

impl Form {
    fn of(target: &Target) -> Self {
        match target {
            Target::File(_) => Self::Line { below: MAX_LINE },
            Target::Http(_) => Self::Line { below: usize::MAX },
            Target::Otlp(target) => match target.signal {
                Signal::Logs => Self::Record,
                Signal::Traces if !target.spans.connections => Self::Nothing,
                // Metrics are no events, and have no encoder.
                Signal::Metrics | Signal::Traces => Self::Span,
            },
        }
    }
}

impl Encoder {
    pub(super) fn new(
        setting: &Setting,
        node_name: String,
        lines: &Lines,
    ) -> Result<Self, SettingError> {
        let selected = &setting.selected;
        let (judge, mask) = selected.compile()?;
        let form = Form::of(&setting.target);
        Ok(Self {
            form,
            end: selected.end,
            has_others: selected.has_others() && !matches!(form, Form::Span | Form::Nothing),
            groups: Groups::new(&selected.aggregation)?,
            shelf: match form {
                Form::Line { .. } => lines.of(mask.as_ref()),
                Form::Record | Form::Span | Form::Nothing => Arc::default(),
            },
            judge,
            mask,
            node_name,
            encoded: Vec::new(),
            scratch: Vec::new(),
            lines: LineWriter::default(),
            ends: Ends::default(),
            joined: Joined::default(),
        })
    }

    /// Holds back what is not written.
    pub(super) fn sieve(&self) -> Sieve {
        self.judge.sieve().clone()
    }

    /// Adds an event, if it is wanted.
    pub(super) fn add(&mut self, seq: u64, event: &Event, batch: &mut Batch) -> Made {
        let is_late = |end: Time| event.time().is_some_and(|time| time > end);
        if self.form == Form::Nothing || self.end.is_some_and(is_late) {
            return Made::Filtered;
        }
        self.encoded.clear();
        if let (Form::Span, Event::Flow(flow)) = (self.form, event) {
            self.joined.note(flow);
        }
        match event {
            Event::Flow(flow) if self.form == Form::Span && !ends_connection(flow) => {
                return Made::Filtered;
            }
            Event::Flow(flow) => {
                match self.judge.judge(flow) {
                    Some(true) => {}
                    Some(false) => return Made::Filtered,
                    None => return Made::Dropped(Dropped::Unjudged),
                }
                if self.groups.add(flow) {
                    return Made::Grouped;
                }
                if let Form::Line { below } = self.form {
                    return self.add_line(seq, flow, below, batch);
                }
                let (scratch, encoded) = (&mut self.scratch, &mut self.encoded);
                put_flow(flow, self.mask.as_ref(), scratch, encoded);
            }
            _ if !self.has_others => return Made::Filtered,
            Event::Lost(lost) if is_of_readers(lost) => return Made::Filtered,
            Event::Lost(lost) => {
                put_lost(&lost_somewhere(lost, &self.node_name), &mut self.encoded);
            }
            Event::Agent(agent) => put_agent(agent, &self.node_name, &mut self.encoded),
            Event::Debug(debug) => put_debug(debug, &self.node_name, &mut self.encoded),
        }
        self.append(event, batch)
    }

    /// Goes on with what another one knows.
    pub(super) fn inherit(&mut self, other: &mut Self) {
        self.groups.inherit(&mut other.groups);
        self.joined = std::mem::take(&mut other.joined);
    }

    /// The groups.
    pub(super) fn groups(&mut self) -> &mut Groups {
        &mut self.groups
    }

    /// Adds the next group that is to be written, if there is one.
    pub(super) fn add_group(&mut self, batch: &mut Batch) -> Option<Made> {
        self.encoded.clear();
        if !self.groups.pop(&mut self.encoded) {
            return None;
        }
        let added = batch.add(|out| match self.form {
            Form::Line { below } => is_short(self.lines.put(&self.encoded, out)?, below),
            // Spans are not counted together.
            Form::Record | Form::Span | Form::Nothing => {
                put_group(&self.encoded, &mut self.ends, out).map_err(unwritten)
            }
        });
        Some(added.map_or_else(|made| made, |()| Made::Added))
    }

    fn append(&mut self, event: &Event, batch: &mut Batch) -> Made {
        let is_masked = self.mask.is_some();
        let added = batch.add(|out| match (self.form, event) {
            (Form::Line { below }, _) => is_short(self.lines.put(&self.encoded, out)?, below),
            (Form::Record, _) => {
                put_record(event, &self.encoded, is_masked, &mut self.ends, out).map_err(unwritten)
            }
            (Form::Span, Event::Flow(flow)) => {
                let known = (&mut self.ends, &mut self.joined);
                put_span(flow, &self.encoded, is_masked, known, out).map_err(unwritten)
            }
            (Form::Span | Form::Nothing, _) => Err(Made::Filtered),
        });
        added.map_or_else(|made| made, |()| Made::Added)
    }

    /// Adds the line of a flow, which another exporter may have made.
    fn add_line(&mut self, seq: u64, flow: &Flow, below: usize, batch: &mut Batch) -> Made {
        let Self {
            shelf,
            mask,
            scratch,
            encoded,
            lines,
            ..
        } = self;
        let added = batch.add(|out| {
            let begin = out.len();
            shelf.put(seq, out, |out| {
                put_flow(flow, mask.as_ref(), scratch, encoded);
                lines.put(encoded, out).map(drop)
            })?;
            is_short(out.len() - begin, below)
        });
        added.map_or_else(|made| made, |()| Made::Added)
    }
}

/// Writes lines.
#[derive(Debug, Default)]
struct LineWriter {
    line: String,
    json: json::Writer,
}

impl LineWriter {
    /// Appends the line of an encoded event; tells how long it is.
    fn put(&mut self, encoded: &[u8], out: &mut Vec<u8>) -> Result<usize, Made> {
        let line = &mut self.line;
        line.clear();
        let written = self.json.write(line, encoded, MESSAGE);
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
        let length = line.len();
        written.map_or(Err(Made::Dropped(Dropped::TooLong)), |()| Ok(length))
    }
}

fn is_short(length: usize, below: usize) -> Result<(), Made> {
    match length < below {
        true => Ok(()),
        false => Err(Made::Dropped(Dropped::TooLong)),
    }
}

/// What the daemon encoded cannot be malformed; if it is, it is told.
fn unwritten(_: Unreadable) -> Made {
    Made::Dropped(Dropped::TooLong)
}

/// A loss of one reader, not of the node.
fn is_of_readers(lost: &Stamped<LostEvent>) -> bool {
    lost.event.source() == LostEventSource::HubbleRingBuffer
}

#[cfg(test)]
mod tests;
