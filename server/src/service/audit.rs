//! `sextant.audit.v1.AuditService`, and what watches calls, pages and handshakes for
//! the audit log.
//!
//! Thin: the entries are those that the log has in memory. A call looks at each
//! once; nothing is kept for a client.

mod handshakes;
mod pages;
mod query;
mod watch;

use sextant_proto::sextant::audit::v1 as api;
use tonic::{Request, Response, Status};

use crate::audit::{Entry, Log, code_name};

use query::Query;

pub use handshakes::handshakes;
pub use pages::pages;
pub(super) use watch::{What, caller_name, cut_off, watch};

/// Larger requests are none of its own.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// The service; clones share the log.
#[derive(Clone, Debug)]
pub struct AuditLogService(Log);

impl AuditLogService {
    /// A service that reads this log.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self(log)
    }

    /// For the gRPC server.
    #[must_use]
    pub fn into_server(self) -> api::audit_service_server::AuditServiceServer<Self> {
        api::audit_service_server::AuditServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[tonic::async_trait]
impl api::audit_service_server::AuditService for AuditLogService {
    async fn list_audit(
        &self,
        request: Request<api::ListAuditRequest>,
    ) -> Result<Response<api::ListAuditResponse>, Status> {
        let query = Query::of(request.get_ref())?;
        let entries = self.0.entries();
        let (page, next_page_token) = query.page(&entries);
        Ok(Response::new(api::ListAuditResponse {
            records: page.into_iter().map(message).collect(),
            next_page_token,
            oldest: entries.first().map(|entry| entry.record.time.into()),
            lost: self.0.counts().lost(),
            waiting: self.0.waiting() as u64,
        }))
    }
}

fn message(entry: &Entry) -> api::AuditRecord {
    let record = &entry.record;
    api::AuditRecord {
        time: Some(record.time.into()),
        who: record.who.clone(),
        from: record.from.clone(),
        method: record.method.clone(),
        what: record.what.clone(),
        code: code_name(record.code).into(),
        message: record.message.clone(),
        count: entry.count,
        since: entry.since.map(Into::into),
    }
}
