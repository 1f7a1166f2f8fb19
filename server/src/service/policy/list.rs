//! `List`: filters and pages.

use std::ops::Bound;

use prost::Message as _;
use sextant_policy::policy::{Kind, PolicyId};
use sextant_proto::sextant::policy::v1 as api;
use tonic::Status;

use super::{
    answer::{policy, set_status},
    figures::Figures,
    request::{kind, mode},
};
use crate::{
    policy::{
        enforce::Mode,
        entry::{Entry, KINDS},
        state::State,
    },
    service::{error::invalid, token},
};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;
/// Bytes of a page; clients take 4 MiB unless they are told. One policy is given
/// however large it is.
const MAX_PAGE_BYTES: usize = 3 << 20;
const MAX_VALUES: usize = 100;

/// Which policies are asked for.
pub(super) struct Query {
    kinds: Vec<Kind>,
    namespaces: Vec<String>,
    prefix: String,
    modes: Vec<Mode>,
    limit: usize,
    after: Option<PolicyId>,
    with_documents: bool,
    fingerprint: u64,
}

impl Query {
    pub(super) fn of(request: &api::ListRequest) -> Result<Self, Status> {
        for (field, length) in [
            ("kinds", request.kinds.len()),
            ("namespaces", request.namespaces.len()),
            ("modes", request.modes.len()),
        ] {
            if length > MAX_VALUES {
                return Err(invalid(field, &format!("give at most {MAX_VALUES}")));
            }
        }
        let mut kinds = Vec::new();
        for number in &request.kinds {
            kinds.extend(kind(*number, "kinds")?);
        }
        let mut modes = Vec::new();
        for number in &request.modes {
            modes.extend(mode(*number, "modes")?);
        }
        let limit = match request.page_size as usize {
            0 => DEFAULT_PAGE,
            limit if limit <= MAX_PAGE => limit,
            _ => return Err(invalid("page_size", &format!("give at most {MAX_PAGE}"))),
        };
        Ok(Self {
            kinds,
            namespaces: request.namespaces.clone(),
            prefix: request.name_prefix.clone(),
            modes,
            limit,
            after: after(&request.page_token, fingerprint(request))?,
            fingerprint: fingerprint(request),
            with_documents: !request.without_documents,
        })
    }

    pub(super) fn answer(&self, state: &State, figures: &Figures) -> api::ListResponse {
        let from = self
            .after
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = state.entries.range((from, Bound::Unbounded));
        let mut wanted = wanted.filter(|(_, entry)| self.takes(entry)).peekable();
        let (mut policies, mut bytes, mut last) = (Vec::new(), 0, None);
        while let Some((id, entry)) = wanted.peek() {
            let message = policy(entry, state, figures, self.with_documents);
            bytes += message.encoded_len();
            let is_full = policies.len() == self.limit || bytes > MAX_PAGE_BYTES;
            if is_full && !policies.is_empty() {
                break;
            }
            policies.push(message);
            last = Some(*id);
            wanted.next();
        }
        let is_more = wanted.peek().is_some();
        api::ListResponse {
            policies,
            next_page_token: last
                .filter(|_| is_more)
                .map(|id| token_of(self.fingerprint, id))
                .unwrap_or_default(),
            status: Some(set_status(state, Some(&figures.now))),
        }
    }

    fn takes(&self, entry: &Entry) -> bool {
        let id = &entry.policy.id;
        let any = |is_empty: bool, has: bool| is_empty || has;
        any(self.kinds.is_empty(), self.kinds.contains(&id.kind))
            && any(
                self.namespaces.is_empty(),
                self.namespaces.contains(&id.namespace),
            )
            && any(self.modes.is_empty(), self.modes.contains(&entry.mode))
            && id.name.starts_with(&self.prefix)
    }
}

/// The same request, whatever its limit.
fn fingerprint(request: &api::ListRequest) -> u64 {
    token::fingerprint(&api::ListRequest {
        page_size: 0,
        page_token: String::new(),
        without_documents: false,
        ..request.clone()
    })
}

/// Kinds and namespaces have no `/`.
fn token_of(request: u64, id: &PolicyId) -> String {
    format!("{request:x}/{}/{}/{}", id.kind, id.namespace, id.name)
}

fn after(text: &str, request: u64) -> Result<Option<PolicyId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = || {
        let mut parts = text.splitn(4, '/');
        let of = u64::from_str_radix(parts.next()?, 16).ok()?;
        let kind = parts.next().filter(|_| of == request)?;
        Some(PolicyId {
            kind: KINDS.into_iter().find(|one| one.to_string() == kind)?,
            namespace: parts.next()?.to_owned(),
            name: parts.next()?.to_owned(),
        })
    };
    let wrong = || invalid("page_token", token::NOT_OF_THIS);
    read().map(Some).ok_or_else(wrong)
}
