//! `Watch`: the set, then each change.
//!
//! Nothing is queued for a client: it is told what came after what it had, out of the
//! database, however slow it is. Bound: `STEP` changes at once.

use std::collections::VecDeque;

use futures::{Stream, stream};
use sextant_proto::sextant::policy::v1 as api;
use tokio::sync::watch;
use tonic::Status;

use super::answer::{revision, set_status};
use crate::{
    policy::{database::MAX_REVISIONS, policies::Policies},
    service::limits::{Limits, shutting_down},
};

/// Policies that a message tells; the rest is in `List`.
const MAX_TOLD: usize = 1000;

/// What a client has.
struct Watching {
    policies: Policies,
    news: watch::Receiver<()>,
    limits: Limits,
    /// The last change that it knows.
    seen: u64,
    ready: VecDeque<api::WatchResponse>,
}

/// The messages.
pub(super) fn watch(
    policies: Policies,
    limits: Limits,
    from: Option<u64>,
) -> impl Stream<Item = Result<api::WatchResponse, Status>> + Send {
    let mut news = policies.news();
    news.borrow_and_update();
    let state = policies.state();
    let first = api::WatchResponse {
        revision: None,
        status: Some(set_status(&state)),
    };
    let watching = Watching {
        seen: from.unwrap_or(state.revision),
        policies,
        news,
        limits,
        ready: VecDeque::from([first]),
    };
    stream::unfold(Some((watching, from.is_some())), |watching| async move {
        let (mut watching, looks) = watching?;
        match watching.next(looks).await {
            Ok(message) => {
                // What was before is looked for once the first message is out.
                let looks = looks && watching.ready.is_empty();
                Some((Ok(message), Some((watching, looks))))
            }
            Err(status) => Some((Err(status), None)),
        }
    })
}

impl Watching {
    async fn next(&mut self, mut looks: bool) -> Result<api::WatchResponse, Status> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            if looks {
                looks = false;
                if self.look(false).await? {
                    continue;
                }
            }
            tokio::select! {
                // The set outlives its clients.
                _ = self.news.changed() => {}
                () = self.limits.drained() => return Err(shutting_down()),
            }
            self.look(true).await?;
        }
    }

    /// Reads what is new; tells whether anything is.
    async fn look(&mut self, is_news: bool) -> Result<bool, Status> {
        let state = self.policies.state();
        let status = set_status(&state);
        if self.seen >= state.revision {
            // It was confirmed.
            if is_news {
                self.ready.push_back(api::WatchResponse {
                    revision: None,
                    status: Some(status),
                });
            }
            return Ok(is_news);
        }
        let (kept, oldest) = self
            .policies
            .revisions(u64::MAX, MAX_REVISIONS as usize)
            .await?;
        if self.seen < oldest {
            return Err(Status::out_of_range(format!(
                "changes after revision {} are not kept any more, only those after {oldest}; list the policies and watch without from_revision",
                self.seen
            )));
        }
        let seen = self.seen;
        for one in kept.iter().rev().filter(|one| one.number > seen) {
            self.seen = one.number;
            self.ready.push_back(api::WatchResponse {
                revision: Some(revision(one, &state, MAX_TOLD)),
                status: Some(status.clone()),
            });
        }
        Ok(!self.ready.is_empty())
    }
}
