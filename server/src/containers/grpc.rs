//! Calls over a unix socket, as far as containerd and CRI need them. Bounded in bytes
//! and time.

use std::path::Path;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tonic::{
    Request, Streaming,
    client::Grpc,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{
    error::EngineError,
    http::{connect, longest, within},
};

/// containerd's namespace of a call.
const NAMESPACE: &str = "containerd-namespace";

/// A connection to an engine; clones share it.
#[derive(Clone)]
pub(super) struct Calls {
    grpc: Grpc<Channel>,
    uid: u32,
}

impl Calls {
    /// Connects, once: after an end it is connected anew by whoever follows.
    pub(super) async fn connect(path: &Path) -> Result<Self, EngineError> {
        let (stream, uid) = connect(path).await?;
        let mut stream = Some(stream);
        let connector = tower::service_fn(move |_| {
            let again = std::io::Error::from(std::io::ErrorKind::NotConnected);
            let stream = stream.take().map(TokioIo::new).ok_or(again);
            std::future::ready(stream)
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = within("connect", endpoint.connect_with_connector(connector)).await?;
        let grpc = Grpc::new(channel.map_err(EngineError::Transport)?);
        Ok(Self {
            grpc: grpc.max_decoding_message_size(longest(uid)),
            uid,
        })
    }

    /// Who is at the other end.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// One answer.
    pub(super) async fn unary<Q, A>(
        &mut self,
        path: &'static str,
        namespace: &str,
        question: Q,
    ) -> Result<A, EngineError>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let call = async {
            self.grpc.ready().await.map_err(EngineError::Transport)?;
            let request = request(namespace, question);
            let method = PathAndQuery::from_static(path);
            let codec = ProstCodec::<Q, A>::default();
            let answer = self.grpc.unary(request, method, codec).await;
            answer.map_err(|status| EngineError::Call(path, Box::new(status)))
        };
        Ok(within(path, call).await??.into_inner())
    }

    /// Answers one after the other. It may be long until the first one comes, and
    /// containerd tells nothing before that.
    pub(super) async fn stream<Q, A>(
        &mut self,
        path: &'static str,
        namespace: &str,
        question: Q,
    ) -> Result<Streaming<A>, EngineError>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        self.grpc.ready().await.map_err(EngineError::Transport)?;
        let request = request(namespace, question);
        let method = PathAndQuery::from_static(path);
        let codec = ProstCodec::<Q, A>::default();
        let answer = self.grpc.server_streaming(request, method, codec).await;
        let answer = answer.map_err(|status| EngineError::Call(path, Box::new(status)))?;
        Ok(answer.into_inner())
    }
}

fn request<Q>(namespace: &str, question: Q) -> Request<Q> {
    let mut request = Request::new(question);
    // One that cannot be a header is no namespace of containerd's.
    if let Ok(value) = MetadataValue::try_from(namespace)
        && !namespace.is_empty()
    {
        request.metadata_mut().insert(NAMESPACE, value);
    }
    request
}
