//! What kind each method is, by the services' descriptors.

use std::collections::HashMap;

use crate::service::methods;

/// The kind of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Method {
    /// It goes on for as long as the client or the server wants.
    pub(super) is_stream: bool,
    /// Its client may send one message after the other.
    pub(super) is_client_stream: bool,
}

/// All methods by their paths.
#[derive(Debug)]
pub(super) struct Methods(HashMap<String, Method>);

impl Methods {
    /// Those of all services.
    pub(super) fn new() -> Self {
        let all = methods::all().into_iter().map(|(name, method)| {
            let kind = Method {
                is_stream: method.client_streaming() || method.server_streaming(),
                is_client_stream: method.client_streaming(),
            };
            (format!("/{name}"), kind)
        });
        Self(all.collect())
    }

    /// The method of a path. Reflection is no stream for limits: clients ask it
    /// before each call.
    pub(super) fn of(&self, path: &str) -> Method {
        let reflection = Method {
            is_stream: false,
            is_client_stream: true,
        };
        match path.starts_with("/grpc.reflection.") {
            true => reflection,
            false => self.0.get(path).copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_the_descriptors() {
        let methods = Methods::new();
        let check = |path: &str, is_stream, is_client_stream| {
            let kind = Method {
                is_stream,
                is_client_stream,
            };
            assert_eq!(methods.of(path), kind, "{path}");
        };
        check("/observer.Observer/GetFlows", true, false);
        check("/observer.Observer/GetNodes", false, false);
        check("/peer.Peer/Notify", true, false);
        check("/sextant.flow.v1.FlowService/RecordFlows", true, true);
        check("/sextant.flow.v1.FlowService/SummarizeFlows", false, false);
        check(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            false,
            true,
        );
        check("/grpc.health.v1.Health/Check", false, false);
        check("/grpc.health.v1.Health/Watch", true, false);
        check("/no.Such/Method", false, false);
    }
}
