//! GetFlows on the transport.
//!
//! tonic puts one message into a frame after the other, each through a stream
//! and a codec. Here a frame of the response's body is a chunk of many encoded
//! messages. All other calls of the service go to the generated server.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use sextant_proto::observer::{GetFlowsRequest, GetFlowsResponse};
use tonic::{
    Status, Streaming, body::Body, codec::Codec as _, metadata::GRPC_CONTENT_TYPE,
    server::NamedService,
};
use tower_service::Service;

use super::{ObserverService, flow_stream::FlowStream};
use crate::{
    listener::Caller,
    service::{access::view_of, bounded::BoundedCodec, generated::observer_server::ObserverServer},
};

const GET_FLOWS: &str = "/observer.Observer/GetFlows";

/// The Observer service with GetFlows apart.
#[derive(Clone)]
pub struct ObserverRoutes {
    service: ObserverService,
    others: ObserverServer<ObserverService>,
    max_request_bytes: usize,
}

impl ObserverRoutes {
    pub(in crate::service) fn new(service: ObserverService, max_request_bytes: usize) -> Self {
        Self {
            others: ObserverServer::new(service.clone())
                .max_decoding_message_size(max_request_bytes),
            service,
            max_request_bytes,
        }
    }

    async fn get_flows(self, request: http::Request<Body>) -> http::Response<Body> {
        match self.start(request).await {
            Ok(flows) => {
                let mut response = http::Response::new(body(flows));
                let headers = response.headers_mut();
                headers.insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
                self.service.add_version(headers);
                response
            }
            Err(status) => status.into_http(),
        }
    }

    async fn start(&self, request: http::Request<Body>) -> Result<FlowStream, Status> {
        let encoding = request.headers().get("grpc-encoding");
        if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
            return Err(Status::unimplemented(format!(
                "requests compressed by {encoding:?} are not read; send them as they are"
            )));
        }
        let view = view_of(request.extensions());
        let caller = Caller::of(request.extensions());
        let mut messages = Streaming::new_request(
            BoundedCodec::<GetFlowsResponse, GetFlowsRequest>::default().decoder(),
            request.into_body(),
            None,
            Some(self.max_request_bytes),
        );
        let request = messages.message().await?;
        let request = request.ok_or_else(|| Status::internal("Missing request message."))?;
        // To its end, as all other calls do: over HTTP/1 a request of which a part
        // is not read is the end of the connection.
        messages.trailers().await?;
        self.service.flows(request, &view, &caller).await
    }
}

/// The chunks, then the status as trailers.
fn body(flows: FlowStream) -> Body {
    let frames = stream::unfold(Some(flows), |flows| async move {
        let mut flows = flows?;
        Some(match flows.next().await {
            Some(Ok(chunk)) => (Ok(Frame::data(chunk)), Some(flows)),
            Some(Err(status)) => (trailers(&status), None),
            None => (trailers(&Status::ok("")), None),
        })
    });
    Body::new(StreamBody::new(frames.boxed()))
}

fn trailers(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers)?;
    Ok(Frame::trailers(headers))
}

impl NamedService for ObserverRoutes {
    const NAME: &'static str = "observer.Observer";
}

impl Service<http::Request<Body>> for ObserverRoutes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() == GET_FLOWS {
            let routes = self.clone();
            return Box::pin(async move { Ok(routes.get_flows(request).await) });
        }
        Box::pin(self.others.call(request))
    }
}
