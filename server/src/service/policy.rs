//! `sextant.policy.v1.PolicyService`: the set of policies, its changes, and what it says.
//!
//! Thin: requests are checked here, `crate::policy` makes the changes, `sextant_policy`
//! judges. Bound: requests as the transport has them, lists as `request` has them, answers
//! of `MAX_PAGE` bytes.

mod answer;
mod list;
mod request;

#[cfg(test)]
mod tests;

use sextant_proto::sextant::policy::v1 as api;
use tonic::{Request, Response, Status};

use super::audit::{What, caller_name};
use crate::policy::{
    change::{Ask, Options},
    ends::Ends,
    policies::{Done, Policies},
};

use answer::{changes, set_status, summary};

/// The service; clones share everything.
#[derive(Clone)]
pub struct PolicySetService {
    policies: Policies,
    ends: Ends,
}

impl PolicySetService {
    /// A service over this set, and the endpoints that are known.
    #[must_use]
    pub fn new(policies: Policies, ends: Ends) -> Self {
        Self { policies, ends }
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(
        self,
        max_request_bytes: usize,
    ) -> api::policy_service_server::PolicyServiceServer<Self> {
        api::policy_service_server::PolicyServiceServer::new(self)
            .max_decoding_message_size(max_request_bytes)
    }

    async fn change<T>(
        &self,
        request: &Request<T>,
        ask: Ask,
        options: Options,
    ) -> Result<Done, Status> {
        let who = caller_name(request.extensions());
        Ok(self.policies.change(ask, options, who).await?)
    }
}

/// An answer, with what the audit log has of it.
fn told<T>(answer: T, what: String) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(What(what));
    response
}

#[tonic::async_trait]
impl api::policy_service_server::PolicyService for PolicySetService {
    async fn apply(
        &self,
        request: Request<api::ApplyRequest>,
    ) -> Result<Response<api::ApplyResponse>, Status> {
        let asked = request.get_ref();
        let given = request::documents(&asked.documents)?;
        let options = request::options(asked)?;
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
}
