//! Which events an exporter writes, and as what: Hubble's `ExportEvent` in JSON.

use sextant_flows::json;
use sextant_proto::flow::{LostEvent, LostEventSource};

use super::{
    batch::Batch,
    counts::Dropped,
    setting::{Selected, SettingError},
};
use crate::{
    envelope::{lost_somewhere, put_agent, put_debug, put_flow, put_lost},
    filter::Filters,
    flow::{Time, sketch::Sieve},
    mask::Mask,
    store::{Event, Stamped},
};

/// The message of a line.
const MESSAGE: &str = "observer.ExportEvent";
/// Longest line that `hubble observe --input-file` reads, with its newline.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Makes lines of events.
#[derive(Debug)]
pub(super) struct Lines {
    filters: Filters,
    mask: Option<Mask>,
    /// Nothing after it is written.
    end: Option<Time>,
    /// Events other than flows are written too.
    has_others: bool,
    node_name: String,
    encoded: Vec<u8>,
    scratch: Vec<u8>,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A line.
    Line,
    /// Nothing, as it is meant.
    Filtered,
    /// Nothing, though it is wanted.
    Dropped(Dropped),
}

impl Lines {
    pub(super) fn new(selected: &Selected, node_name: String) -> Result<Self, SettingError> {
        let (filters, mask) = selected.compile()?;
        Ok(Self {
            end: selected.end,
            has_others: selected.has_others(),
            filters,
            mask,
            node_name,
            encoded: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Holds back what is not written.
    pub(super) fn sieve(&self) -> Sieve {
        self.filters.sieve().clone()
    }

    /// Makes a line of an event, if it is wanted.
    pub(super) fn add(&mut self, event: &Event, batch: &mut Batch) -> Made {
        let is_late = |end: Time| event.time().is_some_and(|time| time > end);
        if self.end.is_some_and(is_late) {
            return Made::Filtered;
        }
        self.encoded.clear();
        match event {
            Event::Flow(flow) => {
                match self.filters.matches(flow) {
                    Ok(true) => {}
                    Ok(false) => return Made::Filtered,
                    Err(_) => return Made::Dropped(Dropped::Unjudged),
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
        let encoded = &self.encoded;
        let added = batch.add(|text| {
            let begin = text.len();
            json::write(text, encoded, MESSAGE).map_err(drop)?;
            match text.len() - begin < MAX_LINE - 1 {
                true => Ok(()),
                false => Err(()),
            }
        });
        match added {
            Ok(()) => Made::Line,
            Err(()) => Made::Dropped(Dropped::TooLong),
        }
    }
}

/// A loss of one reader, not of the node.
fn is_of_readers(lost: &Stamped<LostEvent>) -> bool {
    lost.event.source() == LostEventSource::HubbleRingBuffer
}
