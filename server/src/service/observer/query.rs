//! A GetFlows request, checked and compiled.

use std::sync::Arc;

use sextant_proto::observer::GetFlowsRequest;

use crate::{
    filter::Filters,
    flow::sketch::Sieve,
    mask::Mask,
    selection::{Selection, View},
    service::{
        error::{RequestError, check_time},
        limits::Kept,
        stream::position::Range,
    },
};

/// What is sent of which events.
pub(super) struct Query {
    pub(super) range: Range,
    pub(super) selection: Selection,
    /// Of the selection; open where an event that does not match can end it all.
    pub(super) sieve: Sieve,
    pub(super) mask: Option<Arc<Mask>>,
    /// What its filters hold of the bytes of all calls.
    pub(super) kept: Kept,
}

impl Query {
    /// Checks in Hubble's order; the first mistake is the answer.
    pub(super) fn compile(request: GetFlowsRequest, view: &View) -> Result<Self, RequestError> {
        if request.first && request.follow {
            return Err(RequestError::FirstWithFollow);
        }
        let filters = Filters::compile(&request.whitelist, &request.blacklist)?;
        let selection = Selection::new(view, filters)?;
        let sieve = match request.until {
            None => selection.sieve().clone(),
            Some(_) => Sieve::default(),
        };
        check_time(request.since.as_ref())?;
        check_time(request.until.as_ref())?;
        let paths = request
            .field_mask
            .map(|mask| mask.paths)
            .unwrap_or_default();
        Ok(Self {
            range: Range {
                number: request.number,
                first: request.first,
                follow: request.follow,
                since: request.since.map(Into::into),
                until: request.until.map(Into::into),
            },
            selection,
            sieve,
            mask: Mask::compile(&paths)?.map(Arc::new),
            kept: Kept::default(),
        })
    }

    /// Whether all events from the first one on are sent, so that streams with
    /// the same mask send the same.
    pub(super) fn is_plain(&self) -> bool {
        let Range {
            follow,
            since,
            until,
            ..
        } = self.range;
        follow && since.is_none() && until.is_none() && self.selection.is_everything()
    }
}
