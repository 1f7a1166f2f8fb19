//! `sextant.policy.v1.PolicyService`: the set of policies, its changes, and what it says.
//!
//! Thin: requests are checked here, `crate::policy` makes the changes, `sextant_policy`
//! judges. Bound: requests as the transport has them, lists as `request` has them, answers
//! of `MAX_PAGE` bytes; what is heavy takes turns, beside what serves other calls.

mod answer;
mod figures;
mod hits;
mod judged;
mod list;
mod request;
mod stored;
mod typed;
mod warnings;
mod watch;

#[cfg(test)]
mod tests;

use std::{pin::Pin, sync::Arc};

use futures::{Stream, stream};
use sextant_policy::policy::PolicyId;
use sextant_proto::sextant::policy::v1 as api;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{
    access::view_of,
    audit::{What, caller_name},
    beside::beside,
    generated::policy_service_server::{PolicyService, PolicyServiceServer},
    limits::{Limits, Line, Turn},
};
use crate::{
    listener::{Caller, Origin},
    policy::{
        change::{Ask, Options},
        ends::{Ends, Known},
        guard::Arriving,
        policies::{Done, Policies},
    },
    store::Ring,
};

use answer::{set_status, summary};
use figures::Figures;
use request::Given;

/// Bytes of documents that may become megabytes: one such question is answered at a time.
const LARGE: usize = 64 << 10;

/// The service; clones share everything.
#[derive(Clone)]
pub struct PolicySetService {
    policies: Policies,
    ends: Ends,
    ring: Ring,
    limits: Limits,
    /// Held by the documents that are to change the set: who only asks is not in their way.
    changing: Arc<Semaphore>,
    /// Of large documents that are asked about, while they are read.
    asking: Line,
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
            changing: Arc::new(Semaphore::new(1)),
            asking: Line::default(),
        }
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self, max_request_bytes: usize) -> PolicyServiceServer<Self> {
        PolicyServiceServer::new(self).max_decoding_message_size(max_request_bytes)
    }

    /// Who is judged here, as far as anything is enforced.
    fn judged(&self) -> Known {
        let judged = self.policies.judged();
        judged.map_or_else(|| self.ends.known(), Known::new)
    }

    /// What is counted of policies now.
    fn figures(&self) -> Figures {
        Figures::new(self.judged(), &self.policies)
    }

    /// What a change did, and what there is to say of it.
    fn changes(&self, done: &Done, given: &[PolicyId]) -> Vec<api::PolicyChange> {
        let mut told = answer::changes(&done.revision, given, &done.state);
        warnings::add(
            &mut told,
            &done.revision,
            &self.judged(),
            &self.ends.known(),
        );
        told
    }

    /// Until it is dropped, most of what its caller asks beside it waits.
    async fn turn<T>(&self, request: &Request<T>) -> Turn {
        self.limits.turn(&Caller::of(request.extensions())).await
    }

    /// The same where a large set takes milliseconds.
    async fn short_turn<T>(&self, request: &Request<T>) -> Turn {
        let caller = Caller::of(request.extensions());
        self.limits.short_turn(&caller).await
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
        // What they become is large: to the end, one after the other.
        let one = Arc::clone(&self.changing).acquire_owned().await;
        let mut request = request;
        let given = Given {
            documents: std::mem::take(&mut request.get_mut().documents),
            policies: std::mem::take(&mut request.get_mut().policies),
        };
        let read = beside(move || Ok((given.written()?, one)));
        let (given, _one) = read.await?;
        let asked = request.get_ref();
        let options = request::options(asked)?;
        let ids: Vec<_> = given.iter().map(|one| one.policy.id.clone()).collect();
        let ask = Ask::Apply {
            given,
            mode: request::mode(asked.mode, "mode")?,
            prune: asked.prune,
        };
        let done = self.change(&request, ask, options.clone()).await?;
        let answer = api::ApplyResponse {
            changes: self.changes(&done, &ids),
            status: Some(set_status(&done.state, None)),
        };
        Ok(told(answer, summary(&done, &options)))
    }

    async fn get(
        &self,
        request: Request<api::GetRequest>,
    ) -> Result<Response<api::GetResponse>, Status> {
        let _turn = self.short_turn(&request).await;
        let reference = request.get_ref().policy.clone().unwrap_or_default();
        let reference = request::reference(&reference, "policy")?;
        let state = self.policies.state();
        let entry = reference.find(&state.entries)?;
        let policy = answer::policy(entry, &state, &self.figures(), true);
        Ok(Response::new(api::GetResponse {
            policy: Some(policy),
        }))
    }

    async fn list(
        &self,
        request: Request<api::ListRequest>,
    ) -> Result<Response<api::ListResponse>, Status> {
        let query = list::Query::of(request.get_ref())?;
        let _turn = self.short_turn(&request).await;
        let (state, service) = (self.policies.state(), self.clone());
        let answer = beside(move || Ok(query.answer(&state, &service.figures())));
        Ok(Response::new(answer.await?))
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
            changes: self.changes(&done, &[]),
            status: Some(set_status(&done.state, None)),
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
            changes: self.changes(&done, &[]),
            status: Some(set_status(&done.state, None)),
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
            status: Some(set_status(&state, None)),
        };
        Ok(told(answer, what))
    }

    async fn list_revisions(
        &self,
        request: Request<api::ListRevisionsRequest>,
    ) -> Result<Response<api::ListRevisionsResponse>, Status> {
        // One at a time reads the database, beside; no turn is held meanwhile.
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
            changes: self.changes(&done, &[]),
            status: Some(set_status(&done.state, None)),
        };
        Ok(told(answer, summary(&done, &options)))
    }

    async fn watch(
        &self,
        request: Request<api::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let from = request.get_ref().from_revision;
        let is = self.policies.state().revision;
        if let Some(from) = from
            && from > is
        {
            return Err(Status::out_of_range(format!(
                "from_revision {from} is none of this set, which is at {is}: it was begun anew; list the policies and watch without from_revision"
            )));
        }
        let watched = watch::watch(self.policies.clone(), self.limits.clone(), from);
        Ok(Response::new(Box::pin(watched)))
    }

    async fn evaluate(
        &self,
        request: Request<api::EvaluateRequest>,
    ) -> Result<Response<api::EvaluateResponse>, Status> {
        let _turn = self.short_turn(&request).await;
        let asked = request.get_ref();
        if let Some(connection) = &asked.connection {
            judged::check_view(connection, &view_of(request.extensions()))?;
        }
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
        let short = self.short_turn(&request).await;
        let state = self.policies.state();
        let answer = match &request.get_ref().what {
            Some(What::Connection(connection)) => {
                judged::check_view(connection, &view_of(request.extensions()))?;
                judged::Question::of(Some(connection), &self.ends)?.explain(&state)
            }
            Some(What::FlowUuid(uuid)) => {
                // Who waits for what takes long holds up nothing short.
                drop(short);
                let _turn = self.turn(&request).await;
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
        let mut request = request;
        let given = Given {
            documents: std::mem::take(&mut request.get_mut().documents),
            policies: std::mem::take(&mut request.get_mut().policies),
        };
        // First: of one peer few stand in the line of all.
        let turn = self.turn(&request).await;
        let one = match given.bytes() > LARGE {
            true => self.asking.place(&Caller::of(request.extensions())).await,
            false => None,
        };
        let asked = request.get_ref();
        let flows = stored::Flows::of(
            (&asked.whitelist, &asked.blacklist),
            (asked.since, asked.until),
            &view_of(request.extensions()),
        )?;
        let (state, enforcement) = (self.policies.state(), self.policies.enforcement());
        let (prune, before) = (asked.prune, Arc::clone(&state));
        let set = beside(move || {
            let given = match given.is_empty() {
                true => None,
                false => Some(given.written()?),
            };
            let set = stored::proposal(given, prune, &before, enforcement)?;
            drop(one);
            Ok((set, turn))
        });
        let (set, _turn) = set.await?;
        let told = (asked.limit, state.revision);
        let answers = stored::simulate(&set, &self.ends, flows, &self.ring, told).await?;
        let answers = stream::iter(answers.into_iter().map(Ok));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn suggest(
        &self,
        request: Request<api::SuggestRequest>,
    ) -> Result<Response<api::SuggestResponse>, Status> {
        let _turn = self.turn(&request).await;
        let view = view_of(request.extensions());
        let answer = stored::suggest(request.get_ref(), &view, &self.ends, &self.ring).await?;
        Ok(Response::new(answer))
    }

    async fn list_hits(
        &self,
        request: Request<api::ListHitsRequest>,
    ) -> Result<Response<api::ListHitsResponse>, Status> {
        let _turn = self.short_turn(&request).await;
        let (hits, state) = (self.policies.hits(), self.policies.state());
        let answer = hits::list(request.get_ref(), hits, &state)?;
        Ok(Response::new(answer))
    }
}
