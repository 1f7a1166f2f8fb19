//! What is around the items of a request: resource and scope. The same for all signals,
//! whose requests have the same field numbers.

use opentelemetry_proto::tonic::{common::v1::InstrumentationScope, resource::v1::Resource};
use prost::Message as _;
use sextant_flows::flow::wire::put;

/// Of the semantic conventions that the names of attributes are taken from.
pub(super) const SCHEMA_URL: &str = opentelemetry_semantic_conventions::SCHEMA_URL;
/// Field of an item in its scope.
pub(super) const ITEM: u32 = 2;

/// Around items.
#[derive(Debug)]
pub(super) struct Frame {
    /// Fields of `ResourceLogs` before the scope.
    resource: Vec<u8>,
    /// Fields of `ScopeLogs` before the items.
    scope: Vec<u8>,
    /// Its last field, and that of `ResourceLogs`.
    schema: Vec<u8>,
}

impl Frame {
    pub(super) fn new(resource: &Resource) -> Self {
        let scope = InstrumentationScope {
            name: "sextantd".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..InstrumentationScope::default()
        };
        let field = |number, content: &[u8]| {
            let mut out = Vec::new();
            put::set_bytes(number, content, &mut out);
            out
        };
        Self {
            resource: field(1, &resource.encode_to_vec()),
            scope: field(1, &scope.encode_to_vec()),
            schema: field(3, SCHEMA_URL.as_bytes()),
        }
    }

    /// The request with these items, each an encoded field `ITEM`.
    pub(super) fn around(&self, items: &[u8]) -> Vec<u8> {
        let scoped = self.scope.len() + items.len() + self.schema.len();
        let mut head = Vec::with_capacity(12);
        put::head(2, scoped, &mut head);
        let inner = self.resource.len() + head.len() + scoped + self.schema.len();
        let mut request = Vec::with_capacity(inner + 12);
        put::head(1, inner, &mut request);
        for part in [
            &self.resource[..],
            &head,
            &self.scope,
            items,
            &self.schema,
            &self.schema,
        ] {
            request.extend_from_slice(part);
        }
        request
    }
}
