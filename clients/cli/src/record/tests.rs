use sextant_proto::sextant::flow::v1::{
    ListFilterHintsRequest, ListFilterHintsResponse, ListNamesRequest, ListNamesResponse,
    SummarizeFlowsRequest, SummarizeFlowsResponse, WatchFlowSummaryRequest,
    WatchFlowSummaryResponse,
    flow_service_server::{FlowService, FlowServiceServer},
};
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::input::tests::opened;

/// A server that takes one message and gives up.
struct GivesUp(Code);

#[tonic::async_trait]
impl FlowService for GivesUp {
    type WatchFlowSummaryStream = Empty<Result<WatchFlowSummaryResponse, Status>>;

    async fn record_flows(
        &self,
        request: Request<Streaming<RecordFlowsRequest>>,
    ) -> Result<Response<RecordFlowsResponse>, Status> {
        request.into_inner().message().await?;
        Err(Status::new(self.0, "no room"))
    }

    async fn summarize_flows(
        &self,
        _: Request<SummarizeFlowsRequest>,
    ) -> Result<Response<SummarizeFlowsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch_flow_summary(
        &self,
        _: Request<WatchFlowSummaryRequest>,
    ) -> Result<Response<Self::WatchFlowSummaryStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_filter_hints(
        &self,
        _: Request<ListFilterHintsRequest>,
    ) -> Result<Response<ListFilterHintsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_names(
        &self,
        _: Request<ListNamesRequest>,
    ) -> Result<Response<ListNamesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// What is told when the call ends with this code after three flows.
async fn told(code: Code) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = FlowServiceServer::new(GivesUp(code));
    let serving = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    let serving = tokio::spawn(serving);
    let server = Server::plaintext("there", &address);
    let flows = opened("{\"uuid\":\"a\"}\n".repeat(3));
    let error = send(flows, &server).await.err().unwrap();
    serving.abort();
    error.to_string()
}

#[tokio::test]
async fn a_call_that_ends_on_the_way_tells_how_many_flows_were_sent() {
    let text = told(Code::Unavailable).await;
    assert!(text.contains("cannot record flows at there"), "{text}");
    assert!(text.contains("the first 3 flows of f had been"), "{text}");
    let text = told(Code::OutOfRange).await;
    assert!(text.contains("raise server.max_request_bytes"), "{text}");
    let text = told(Code::PermissionDenied).await;
    assert!(!text.contains("flows of f"), "{text}");
}

#[test]
fn a_refusal_names_the_line_or_the_flow_and_is_harmless() {
    let mut read = Read::default();
    read.places.add(Some(7));
    let told = |index, field: &str| {
        let refusal = Refusal {
            index,
            field: field.into(),
            description: "`\x1b[2J` is no\r".into(),
        };
        refused(&refusal, &read, "f")
    };
    let text = "`^[[2J` is no\\r\n";
    assert_eq!(
        told(0, "x"),
        format!("sextant: line 7 of f: refused: x: {text}")
    );
    assert_eq!(
        told(9, ""),
        format!("sextant: flow 10 of f: refused: {text}")
    );
}
