//! A client that skims: it counts messages and looks at their times, but
//! decodes nothing, so that it is not what limits the server. The same for
//! both servers.

use std::{io, sync::Arc};

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::{
    Message as _,
    encoding::{WireType, decode_key, decode_varint},
};
use rustls::{ClientConfig, pki_types::ServerName};
use sextant_proto::observer::{GetFlowsRequest, ServerStatusRequest};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::Stream;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

const GET_FLOWS: &str = "/observer.Observer/GetFlows";
const SERVER_STATUS: &str = "/observer.Observer/ServerStatus";
const RECORD_FLOWS: &str = "/sextant.flow.v1.FlowService/RecordFlows";
/// Wide enough that the server never waits for the client's leave.
const WINDOW: u32 = 64 << 20;

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Client(Channel);

/// What a drained stream had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Messages.
    pub(crate) messages: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Client {
    /// Connects to a server.
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(address.to_owned())?
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect()
            .await
            .with_context(|| format!("connecting to {address}"))?;
        Ok(Self(channel))
    }

    /// Connects to a port of the loopback by TLS, under the name `localhost`.
    pub(crate) async fn connect_tls(port: u16, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let connector = tower::service_fn(move |_: http::Uri| {
            let tls = TlsConnector::from(Arc::clone(&tls));
            async move {
                let stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Ok::<_, io::Error>(TokioIo::new(tls.connect(name, stream).await?))
            }
        });
        let channel = Endpoint::from_static("http://localhost")
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect_with_connector(connector)
            .await
            .context("connecting by TLS")?;
        Ok(Self(channel))
    }

    /// The stream of a request; `keep` says whether messages keep their bytes.
    pub(crate) async fn flows(
        &self,
        request: &GetFlowsRequest,
        keep: bool,
    ) -> anyhow::Result<Streaming<Skimmed>> {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await?;
        let body = Request::new(Bytes::from(request.encode_to_vec()));
        let path = PathAndQuery::from_static(GET_FLOWS);
        let response = grpc.server_streaming(body, path, Skim { keep }).await?;
        Ok(response.into_inner())
    }

    /// Reads a stream to its end.
    pub(crate) async fn drain(&self, request: &GetFlowsRequest) -> anyhow::Result<Counted> {
        let mut stream = self.flows(request, false).await?;
        let mut counted = Counted::default();
        while let Some(message) = stream.message().await? {
            counted.messages += 1;
            counted.bytes += message.len as u64;
        }
        Ok(counted)
    }

    /// Calls ServerStatus.
    pub(crate) async fn status(&self) -> anyhow::Result<()> {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await?;
        let body = Request::new(Bytes::from(ServerStatusRequest {}.encode_to_vec()));
        let path = PathAndQuery::from_static(SERVER_STATUS);
        grpc.unary(body, path, Skim { keep: false }).await?;
        Ok(())
    }

    /// Calls RecordFlows with encoded requests; returns the encoded response.
    pub(crate) async fn record(
        &self,
        requests: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Bytes, Status> {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(RECORD_FLOWS);
        let codec = Skim { keep: true };
        let response = grpc
            .client_streaming(Request::new(requests), path, codec)
            .await?;
        Ok(response.into_inner().bytes)
    }
}

/// A message that was not decoded.
#[derive(Clone, Debug)]
pub(crate) struct Skimmed {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Its bytes, if they were wanted.
    pub(crate) bytes: Bytes,
}

impl Skimmed {
    /// The content of the first length-delimited field with this number.
    #[must_use]
    pub(crate) fn field(&self, wanted: u32) -> Option<Bytes> {
        fields(&self.bytes).find_map(|(number, content, _)| {
            (number == wanted).then(|| self.bytes.slice_ref(content))
        })
    }
}

/// The fields of a message: number, content (empty unless length-delimited),
/// and all its bytes.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let start = rest;
        let (number, wire) = decode_key(&mut rest).ok()?;
        let length = match wire {
            WireType::LengthDelimited => decode_varint(&mut rest).ok()? as usize,
            WireType::Varint => {
                decode_varint(&mut rest).ok()?;
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        rest = after;
        Some((number, content, &start[..start.len() - rest.len()]))
    })
}

/// Sends encoded messages and skims those that come.
#[derive(Clone, Copy, Debug)]
struct Skim {
    keep: bool,
}

impl Codec for Skim {
    type Encode = Bytes;
    type Decode = Skimmed;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Skim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Skim {
    type Item = Skimmed;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Skimmed>, Status> {
        let len = input.remaining();
        let bytes = if self.keep {
            input.copy_to_bytes(len)
        } else {
            input.advance(len);
            Bytes::new()
        };
        Ok(Some(Skimmed { len, bytes }))
    }
}
