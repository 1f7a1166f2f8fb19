//! Pages of a summary: what a token says, so that each page is of the same
//! window and the same stored events as the first.
//!
//! Nothing is kept for a client. A token holds for one request, whatever its
//! limit; events that were overwritten since then are missing in later pages.

use sextant_proto::sextant::flow::v1::SummarizeFlowsRequest;
use tonic::Status;

use crate::{
    flow::Time,
    service::{error::invalid, token},
};

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Begin of the window.
    pub(super) since: Time,
    /// End of the window.
    pub(super) until: Time,
    /// The events before this one were summed up.
    pub(super) end: u64,
    /// Groups on the pages before.
    pub(super) skip: usize,
}

impl Page {
    /// What the token of a request says; nothing for the first page.
    pub(super) fn of(request: &SummarizeFlowsRequest, path: &str) -> Result<Option<Self>, Status> {
        if request.page_token.is_empty() {
            return Ok(None);
        }
        let page = Self::read(&request.page_token, fingerprint(request));
        page.map(Some)
            .ok_or_else(|| invalid(&format!("{path}page_token"), token::NOT_OF_THIS))
    }

    fn read(token: &str, request: u64) -> Option<Self> {
        let parts: Option<Vec<u64>> = token
            .split('-')
            .map(|part| u64::from_str_radix(part, 16).ok())
            .collect();
        let [since, until, end, skip, of] = parts?.try_into().ok()?;
        (of == request).then_some(Self {
            since: Time::from_nanos(since as i64),
            until: Time::from_nanos(until as i64),
            end,
            skip: usize::try_from(skip).ok()?,
        })
    }

    /// The token of a page of a request.
    pub(super) fn token(&self, request: u64) -> String {
        let (since, until) = (self.since.as_nanos() as u64, self.until.as_nanos() as u64);
        format!(
            "{since:x}-{until:x}-{:x}-{:x}-{request:x}",
            self.end, self.skip
        )
    }
}

/// Of all of a request but its limit and its page.
pub(super) fn fingerprint(request: &SummarizeFlowsRequest) -> u64 {
    token::fingerprint(&SummarizeFlowsRequest {
        limit: 0,
        page_token: String::new(),
        ..request.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_for_its_request_whatever_the_limit() {
        let request = SummarizeFlowsRequest {
            group_by: vec![1],
            limit: 5,
            ..SummarizeFlowsRequest::default()
        };
        let page = Page {
            since: Time::from_nanos(-5),
            until: Time::from_nanos(7_000_000_000),
            end: 12,
            skip: 5,
        };
        let with = |request: &SummarizeFlowsRequest, token: &str| {
            let request = SummarizeFlowsRequest {
                page_token: token.into(),
                ..request.clone()
            };
            Page::of(&request, "summary.")
        };
        let token = page.token(fingerprint(&request));
        assert_eq!(with(&request, "").unwrap(), None);
        assert_eq!(with(&request, &token).unwrap(), Some(page));
        let wider = SummarizeFlowsRequest {
            limit: 7,
            ..request.clone()
        };
        assert_eq!(with(&wider, &token).unwrap(), Some(page));
        let other = SummarizeFlowsRequest {
            group_by: vec![2],
            ..request.clone()
        };
        for (request, token) in [(&other, &*token), (&request, "x"), (&request, "1-2-3-4")] {
            let refused = with(request, token).unwrap_err();
            assert!(
                refused.message().starts_with("summary.page_token: "),
                "{refused}"
            );
        }
    }
}
