//! Filter flags of `hubble observe`, in the order in which they were given, made
//! into the two lists of a request.
//!
//! The order matters since `--not` turns the next flag round.

mod conflict;
mod error;
mod flags;
mod process;
mod services;
mod tracker;
mod value;

pub(crate) use error::FilterError;
pub(crate) use flags::FilterArgs;
use sextant_proto::flow::FlowFilter;

use crate::json;

/// What a request lets pass.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Filters {
    /// Some of them must match, if there are any.
    pub(crate) whitelist: Vec<FlowFilter>,
    /// None of them may match.
    pub(crate) blacklist: Vec<FlowFilter>,
}

impl Filters {
    /// No filter at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.whitelist.is_empty() && self.blacklist.is_empty()
    }

    /// As `hubble observe --print-raw-filters` prints them.
    pub(crate) fn to_yaml(&self) -> String {
        let mut text = String::new();
        for (name, filters) in [
            ("allowlist", &self.whitelist),
            ("denylist", &self.blacklist),
        ] {
            if filters.is_empty() {
                continue;
            }
            text += &format!("{name}:\n");
            for filter in filters {
                let json = json::print(filter, "flow.FlowFilter").replace('\'', "''");
                text += &format!("    - '{json}'\n");
            }
        }
        if text.is_empty() {
            text += "{}\n";
        }
        text
    }
}
