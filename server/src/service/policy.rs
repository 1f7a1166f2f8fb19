//! `sextant.policy.v1.PolicyService`: the set of policies, its changes, and what it says.
//!
//! Thin: requests are checked here, `crate::policy` makes the changes, `sextant_policy`
//! judges. Bound: requests as the transport has them, lists as `request` has them, answers
//! of `MAX_PAGE` bytes.

mod answer;
mod hits;
mod judged;
mod list;
mod request;
mod stored;
mod watch;

#[cfg(test)]
mod tests;

use std::pin::Pin;

use futures::{Stream, stream};
use sextant_policy::document::Written;
use sextant_proto::sextant::policy::v1 as api;
use tonic::{Request, Response, Status};

use super::{
    access::view_of,
    audit::{What, caller_name},
    generated::policy_service_server::{PolicyService, PolicyServiceServer},
    limits::Limits,
};
use crate::{
    listener::{Caller, Origin},
    policy::{
        change::{Ask, Options},
        ends::Ends,
        guard::Arriving,
        policies::{Done, Policies},
    },
    store::Ring,
};

use answer::{changes, set_status, summary};

/// Bytes of documents that are read at once: about a millisecond.
const SMALL: usize = 8 << 10;

/// The service; clones share everything.
#[derive(Clone)]
pub struct PolicySetService {
    policies: Policies,
    ends: Ends,
    ring: Ring,
    limits: Limits,
}

impl PolicySetService {
    /// A service over this set, the endpoints that are known, and the stored flows.
    #[must_use]
    pub fn new(policies: Policies, ends: Ends, ring: Ring, limits: Limits) -> Self {
        Self {
            policies,
            ends,
            ring,
            limits,
        }
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self, max_request_bytes: usize) -> PolicyServiceServer<Self> {
        PolicyServiceServer::new(self).max_decoding_message_size(max_request_bytes)
    }

    /// The policies of documents; many are read beside other calls, in turns.
    async fn documents(
        &self,
        documents: &[api::Document],
        caller: &Caller,
    ) -> Result<Vec<Written>, Status> {
        let bytes: usize = documents.iter().map(|one| one.text.len()).sum();
        if bytes < SMALL {
            return request::documents(documents);
        }
        let _turn = self.limits.turn(caller).await;
        let documents = documents.to_vec();
        let read = tokio::task::spawn_blocking(move || request::documents(&documents)).await;
        read.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
    }

    async fn change<T>(
        &self,
        request: &Request<T>,
        ask: Ask,
        options: Options,
    ) -> Result<Done, Status> {
        let options = Options {
            who: caller_name(request.extensions()),
            arriving: arriving(&Caller::of(request.extensions())),
            ..options
        };
        Ok(self.policies.change(ask, options).await?)
    }
}

/// The connection of a call by TCP.
fn arriving(caller: &Caller) -> Option<Arriving> {
    match (caller.origin(), caller.local()) {
        (Origin::Tcp(peer), Some(local)) => Some(Arriving { peer: *peer, local }),
        _ => None,
    }
}

/// Answers, one after the other.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An answer, with what the audit log has of it.
fn told<T>(answer: T, what: String) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(What(what));
    response
}

#[tonic::async_trait]
impl PolicyService for PolicySetService {
    type WatchStream = Answers<api::WatchResponse>;
    type SimulateStream = Answers<api::SimulateResponse>;

    async fn apply(
        &self,
        request: Request<api::ApplyRequest>,
    ) -> Result<Response<api::ApplyResponse>, Status> {
        let asked = request.get_ref();
        let options = request::options(asked)?;
        let caller = Caller::of(request.extensions());
        let given = self.documents(&asked.documents, &caller).await?;
        let ids: Vec<_> = given.iter().map(|one| one.policy.id.clone()).collect();
        let ask = Ask::Apply {
            given,
            mode: request::mode(asked.mode, "mode")?,
            prune: asked.prune,
        };
        let done = self.change(&request, ask, options.clone()).await?;
        let answer = api::ApplyResponse {
            changes: changes(&done.revision, &ids),
            status: Some(set_status(&done.state)),
        };
        Ok(told(answer, summary(&done, &options)))
    }

    async fn get(
        &self,
        request: Request<api::GetRequest>,
    ) -> Result<Response<api::GetResponse>, Status> {
        let reference = request.get_ref().policy.clone().unwrap_or_default();
        let reference = request::reference(&reference, "policy")?;
        let state = self.policies.state();
        let entry = reference.find(&state.entries)?;
        let policy = answer::policy(entry, &state, &self.ends.known(), true);
        Ok(Response::new(api::GetResponse {
            policy: Some(policy),
        }))
    }

    async fn list(
        &self,
        request: Request<api::ListRequest>,
    ) -> Result<Response<api::ListResponse>, Status> {
        let query = list::Query::of(request.get_ref())?;
        let answer = query.answer(&self.policies.state(), &self.ends.known());
        Ok(Response::new(answer))
    }

    async fn delete(
        &self,
        request: Request<api::DeleteRequest>,
    ) -> Result<Response<api::DeleteResponse>, Status> {
        let asked = request.get_ref();
        let ask = Ask::Delete(request::references(&asked.policies, "policies")?);
        let options = request::options(asked)?;
        let done = self.change(&request, ask, options.clone()).await?;
        let answer = api::DeleteResponse {
            changes: changes(&done.revision, &[]),
            status: Some(set_status(&done.state)),
        };
        Ok(told(answer, summary(&done, &options)))
    }

    async fn set_mode(
        &self,
        request: Request<api::SetModeRequest>,
    ) -> Result<Response<api::SetModeResponse>, Status> {
        let asked = request.get_ref();
        let which = request::references(&asked.policies, "policies")?;
        let Some(mode) = request::mode(asked.mode, "mode")? else {
            return Err(super::error::invalid("mode", "say how far they are to go"));
        };
        let options = request::options(asked)?;
        let done = self.change(&request, Ask::SetMode(which, mode), options.clone());
        let done = done.await?;
        let answer = api::SetModeResponse {
            changes: changes(&done.revision, &[]),
            status: Some(set_status(&done.state)),
        };
        Ok(told(answer, summary(&done, &options)))
    }

    async fn confirm(
        &self,
        request: Request<api::ConfirmRequest>,
    ) -> Result<Response<api::ConfirmResponse>, Status> {
        let asked = Some(request.get_ref().revision).filter(|revision| *revision > 0);
        let state = self.policies.confirm(asked).await?;
        let what = format!("revision {}", state.revision);
        let answer = api::ConfirmResponse {
            status: Some(set_status(&state)),
        };
        Ok(told(answer, what))
    }

    async fn list_revisions(
        &self,
        request: Request<api::ListRevisionsRequest>,
    ) -> Result<Response<api::ListRevisionsResponse>, Status> {
        let (before, limit) = request::revisions(request.get_ref())?;
        let (revisions, oldest) = self.policies.revisions(before, limit).await?;
        let state = self.policies.state();
        Ok(Response::new(answer::revisions(&revisions, oldest, &state)))
    }

    async fn rollback(
        &self,
        request: Request<api::RollbackRequest>,
    ) -> Result<Response<api::RollbackResponse>, Status> {
        let asked = request.get_ref();
        let options = request::options(asked)?;
        let ask = Ask::Rollback(asked.revision);
        let done = self.change(&request, ask, options.clone()).await?;
        let answer = api::RollbackResponse {
            changes: changes(&done.revision, &[]),
            status: Some(set_status(&done.state)),
        };
        Ok(told(answer, summary(&done, &options)))
    }

    async fn watch(
        &self,
        request: Request<api::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let from = request.get_ref().from_revision;
        let watched = watch::watch(self.policies.clone(), self.limits.clone(), from);
        Ok(Response::new(Box::pin(watched)))
    }

    async fn evaluate(
        &self,
        request: Request<api::EvaluateRequest>,
    ) -> Result<Response<api::EvaluateResponse>, Status> {
        let asked = request.get_ref();
        let question = judged::Question::of(asked.connection.as_ref(), &self.ends)?;
        let direction = judged::direction(asked.direction)?;
        let answer = question.evaluate(direction, &self.policies.state());
        Ok(Response::new(answer))
    }

    async fn explain(
        &self,
        request: Request<api::ExplainRequest>,
    ) -> Result<Response<api::ExplainResponse>, Status> {
        use api::explain_request::What;
        let state = self.policies.state();
        let answer = match &request.get_ref().what {
            Some(What::Connection(connection)) => {
                judged::check_view(connection, &view_of(request.extensions()))?;
                judged::Question::of(Some(connection), &self.ends)?.explain(&state)
            }
            Some(What::FlowUuid(uuid)) => {
                let _turn = self.limits.turn(&Caller::of(request.extensions())).await;
                let found = stored::flow(uuid, &self.ring, &view_of(request.extensions())).await?;
                let Some(flow) = found else {
                    let text = "no flow with that uuid is stored; it may have been overwritten";
                    return Err(Status::not_found(text));
                };
                let question = judged::Question::of_flow(&flow, &self.ends)?;
                judged::with_flow(question.explain(&state), &flow)
            }
            None => {
                let text = "give one of them";
                return Err(super::error::invalid("connection, flow_uuid", text));
            }
        };
        Ok(Response::new(answer))
    }

    async fn simulate(
        &self,
        request: Request<api::SimulateRequest>,
    ) -> Result<Response<Self::SimulateStream>, Status> {
        let asked = request.get_ref();
        let state = self.policies.state();
        let caller = Caller::of(request.extensions());
        let given = match asked.documents.as_slice() {
            [] => None,
            documents => Some(self.documents(documents, &caller).await?),
        };
        let enforcement = self.policies.enforcement();
        let set = stored::proposal(given, asked.prune, &state, enforcement)?;
        let flows = stored::Flows::of(
            (&asked.whitelist, &asked.blacklist),
            (asked.since, asked.until),
            &view_of(request.extensions()),
        )?;
        let _turn = self.limits.turn(&caller).await;
        let told = (asked.limit, state.revision);
        let answers = stored::simulate(&set, flows, &self.ring, told).await?;
        let answers = stream::iter(answers.into_iter().map(Ok));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn suggest(
        &self,
        request: Request<api::SuggestRequest>,
    ) -> Result<Response<api::SuggestResponse>, Status> {
        let _turn = self.limits.turn(&Caller::of(request.extensions())).await;
        let view = view_of(request.extensions());
        let answer = stored::suggest(request.get_ref(), &view, &self.ring).await?;
        Ok(Response::new(answer))
    }

    async fn list_hits(
        &self,
        request: Request<api::ListHitsRequest>,
    ) -> Result<Response<api::ListHitsResponse>, Status> {
        let (hits, state) = (self.policies.hits(), self.policies.state());
        let answer = hits::list(request.get_ref(), hits, &state)?;
        Ok(Response::new(answer))
    }
}
