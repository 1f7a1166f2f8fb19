//! `Watch`: the set, then each change.
//!
//! Nothing is queued for a client: it is told what came after what it had, out of the
//! database, however slow it is. Bound: one change at a time.

use futures::{Stream, stream};
use sextant_proto::sextant::policy::v1 as api;
use tokio::sync::watch;
use tonic::Status;

use super::{
    answer::{revision, set_status},
    figures::Now,
};
use crate::{
    policy::{policies::Policies, state::State},
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
    first: Option<api::WatchResponse>,
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
    let watching = Watching {
        seen: from.unwrap_or(state.revision),
        first: Some(of_set(&policies, &state)),
        policies,
        news,
        limits,
    };
    stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        match watching.next().await {
            Ok(message) => Some((Ok(message), Some(watching))),
            Err(status) => Some((Err(status), None)),
        }
    })
}

impl Watching {
    async fn next(&mut self) -> Result<api::WatchResponse, Status> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let mut is_news = false;
        loop {
            // What is told from now on is not in this state.
            self.news.borrow_and_update();
            let state = self.policies.state();
            if self.seen < state.revision {
                if let Some(change) = self.change(&state).await? {
                    return Ok(change);
                }
            } else if is_news {
                // It was confirmed.
                return Ok(of_set(&self.policies, &state));
            }
            tokio::select! {
                // The set outlives its clients.
                _ = self.news.changed() => is_news = true,
                () = self.limits.drained() => return Err(shutting_down()),
            }
        }
    }

    /// The change after the last one that it knows.
    async fn change(&mut self, state: &State) -> Result<Option<api::WatchResponse>, Status> {
        let (next, oldest) = self.policies.revision_after(self.seen).await?;
        if self.seen < oldest {
            return Err(Status::out_of_range(format!(
                "changes after revision {} are not kept any more, only those after {oldest}; list the policies and watch without from_revision",
                self.seen
            )));
        }
        Ok(next.map(|next| {
            self.seen = next.number;
            api::WatchResponse {
                revision: Some(revision(&next, state, MAX_TOLD)),
                status: Some(set_status(state, None)),
            }
        }))
    }
}

fn of_set(policies: &Policies, state: &State) -> api::WatchResponse {
    api::WatchResponse {
        revision: None,
        status: Some(set_status(state, Some(&Now::of(policies)))),
    }
}
