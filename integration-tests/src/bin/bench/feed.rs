//! Offers flows at a rate: inside the real observer's process, or to sextantd
//! by RecordFlows. Each flow carries the time at which it was offered.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{client::fields, drain::everything, server::Server};

const TICK: Duration = Duration::from_millis(1);
/// Requests that wait for the server's leave.
const QUEUE: usize = 4;
/// Flows that are offered again and again.
const KEPT: usize = 8192;
/// Flows in one request at the most, however late the feeder is.
const AT_ONCE: u64 = 512;
/// Of `GetFlowsResponse` and of `RecordFlowsRequest`.
const FLOW: u32 = 1;
/// Of `Flow`.
const TIME: u32 = 1;

/// Flows as the server had them, encoded, without their times.
pub(crate) async fn bodies(server: &Server) -> anyhow::Result<Vec<Bytes>> {
    let client = server.client().await?;
    let mut stream = client.flows(&everything(), true).await?;
    let mut bodies = Vec::new();
    while bodies.len() < KEPT {
        let message = stream.message().await?.context("fewer flows than wanted")?;
        let flow = message.field(FLOW).context("a message without a flow")?;
        let rest = fields(&flow).filter(|(number, ..)| *number != TIME);
        let body: Vec<u8> = rest.flat_map(|(_, _, all)| all.to_vec()).collect();
        bodies.push(body.into());
    }
    Ok(bodies)
}

/// Offers flows to sextantd from a thread of its own; returns how many.
pub(crate) async fn record(
    address: String,
    bodies: Vec<Bytes>,
    rate: u64,
    seconds: u64,
) -> anyhow::Result<u64> {
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(send(&address, &bodies, rate, seconds))
    })
    .await?
}

async fn send(address: &str, bodies: &[Bytes], rate: u64, seconds: u64) -> anyhow::Result<u64> {
    let client = crate::client::Client::connect(address).await?;
    let (tx, rx) = mpsc::channel(QUEUE);
    let call = tokio::spawn(async move { client.record(ReceiverStream::new(rx)).await });
    let (start, total) = (Instant::now(), rate * seconds);
    let mut ticks = tokio::time::interval(TICK);
    let mut offered = 0;
    while offered < total {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        let due = due.min(total).min(offered + AT_ONCE);
        let mut request = Vec::new();
        for n in offered..due {
            put_flow(&bodies[n as usize % bodies.len()], &mut request);
        }
        offered = due;
        if !request.is_empty() && tx.send(request.into()).await.is_err() {
            break;
        }
    }
    drop(tx);
    call.await?.context("RecordFlows")?;
    ensure!(offered == total, "RecordFlows ended early");
    Ok(offered)
}

fn put_flow(body: &[u8], request: &mut Vec<u8>) {
    let time = Timestamp::from(SystemTime::now()).encode_to_vec();
    let length = 2 + time.len() + body.len();
    encode_key(FLOW, WireType::LengthDelimited, request);
    encode_varint(length as u64, request);
    encode_key(TIME, WireType::LengthDelimited, request);
    encode_varint(time.len() as u64, request);
    request.extend_from_slice(&time);
    request.extend_from_slice(body);
}

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_nanos() as u64)
}
