//! `observe --follow` over the ends of connections: it connects again, asks for what came
//! meanwhile, and says what cannot be had any more. Bound: `SAME` flows of one instant are
//! told apart from those shown before; it tries until it is interrupted.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use prost_types::Timestamp;
use sextant_proto::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsRequest, GetFlowsResponse,
    ServerStatusRequest, get_flows_response::ResponseTypes, observer_client::ObserverClient,
};
use tonic::{Status, Streaming, transport::Channel};

use super::stream::{Show, drain};
use crate::{
    call::{self, CallError},
    connect::{Server, client},
    connection::Connection,
    text::{duration, harmless_lines},
    time::Format,
};

/// Flows of the last instant that are remembered.
const SAME: usize = 1024;
/// Between two attempts to connect.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// A response that can be followed.
pub(super) trait Followed: Clone + PartialEq {
    /// When it was, if it is one of those that are asked for by time.
    fn time(&self) -> Option<Timestamp>;
}

impl Followed for GetFlowsResponse {
    fn time(&self) -> Option<Timestamp> {
        match self.response_types {
            Some(ResponseTypes::Flow(_)) => self.time,
            _ => None,
        }
    }
}

impl Followed for GetAgentEventsResponse {
    fn time(&self) -> Option<Timestamp> {
        self.time
    }
}

impl Followed for GetDebugEventsResponse {
    fn time(&self) -> Option<Timestamp> {
        self.time
    }
}

/// What was shown last.
#[derive(Debug)]
struct Seen<M> {
    time: Timestamp,
    /// Responses of that time: they come again when it is asked for.
    same: Vec<M>,
}

/// Shows responses, but for those that were shown before.
struct Fresh<'a, S, M> {
    show: &'a mut S,
    seen: &'a mut Seen<M>,
}

impl<M: Followed, S: Show<M>> Show<M> for Fresh<'_, S, M> {
    fn print(&mut self, message: &M, out: &mut impl Write) -> io::Result<()> {
        match self.seen.is_new(message) {
            true => self.show.print(message, out),
            false => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.show.finish(out)
    }
}

impl<M: Followed> Seen<M> {
    fn is_new(&mut self, message: &M) -> bool {
        let Some(time) = message.time() else {
            return true;
        };
        let order = |time: &Timestamp| (time.seconds, time.nanos);
        match order(&time).cmp(&order(&self.time)) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal if self.same.contains(message) => return false,
            std::cmp::Ordering::Equal if self.same.len() < SAME => self.same.push(message.clone()),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => {
                self.time = time;
                self.same.clear();
                self.same.push(message.clone());
            }
        }
        true
    }
}

/// Shows what comes, whatever becomes of the connection. `ask` asks for what the user
/// wants, or for all since a time. A server that does not answer at first is an error.
pub(super) async fn follow<M: Followed>(
    (connection, mut server): (&Connection, Server),
    action: &'static str,
    ask: impl AsyncFn(&Server, Option<Timestamp>) -> Result<Streaming<M>, Status>,
    show: &mut impl Show<M>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut seen = Seen {
        time: now(),
        same: Vec::new(),
    };
    let mut since = None;
    loop {
        let failed = call::failed(action, &server);
        let ended = match ask(&server, since).await {
            // At first it may be the wrong server.
            Err(status) if since.is_none() => return Err(failed(status).into()),
            Err(status) => Err(anyhow::Error::from(failed(status))),
            Ok(stream) => {
                let mut fresh = Fresh {
                    show: &mut *show,
                    seen: &mut seen,
                };
                drain(stream, failed, &mut fresh, out).await
            }
        };
        out.flush()?;
        let why = match ended {
            Ok(()) => "it ended the stream".to_owned(),
            Err(error) => match error.downcast_ref::<CallError>() {
                Some(call) if call.is_lost => call.cause.clone(),
                _ => return Err(error),
            },
        };
        let name = server.name.clone();
        tell(&format!("lost {name}: {why}; trying again"))?;
        let lost = Instant::now();
        server = again(connection).await;
        let missed = missed(&server, &seen.time).await;
        let meanwhile = duration(lost.elapsed());
        tell(&format!(
            "connected to {name} again after {meanwhile}; {missed}"
        ))?;
        since = Some(seen.time);
    }
}

/// Connects, however long it takes.
async fn again(connection: &Connection) -> Server {
    let mut pause = SHORTEST;
    loop {
        tokio::time::sleep(pause).await;
        if let Ok(server) = Server::reading(connection).await {
            return server;
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// What is not known of the time since then, as the server's own state tells.
async fn missed(server: &Server, since: &Timestamp) -> String {
    let mut client = client!(ObserverClient<Channel>, server);
    let status = client
        .server_status(server.unary(ServerStatusRequest {}))
        .await;
    let Ok(status) = status.map(tonic::Response::into_inner) else {
        return "what was missed is not known".into();
    };
    let nanos =
        |time: &Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let started = nanos(&now()) - i128::from(status.uptime_ns);
    let shown = |time: &Timestamp| Format::Rfc3339Milli.print(Some(time));
    if started > nanos(since) {
        let up = duration(Duration::from_nanos(status.uptime_ns));
        return format!(
            "it was started anew {up} ago: what was after {} and before that is missed",
            shown(since)
        );
    }
    let first = GetFlowsRequest {
        number: 1,
        first: true,
        ..GetFlowsRequest::default()
    };
    let oldest = match client.get_flows(server.unary(first)).await {
        Ok(answer) => answer.into_inner().message().await.ok().flatten(),
        Err(_) => None,
    };
    match oldest.and_then(|oldest| oldest.time) {
        Some(oldest) if status.num_flows >= status.max_flows && nanos(&oldest) > nanos(since) => {
            format!(
                "what was after {} and before {} was overwritten meanwhile and is missed",
                shown(since),
                shown(&oldest)
            )
        }
        _ => "nothing was missed".into(),
    }
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

fn tell(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "sextant: {}", harmless_lines(text))
}

#[cfg(test)]
mod tests {
    use sextant_proto::flow::Flow;

    use super::*;

    fn flow(seconds: i64, uuid: &str) -> GetFlowsResponse {
        let flow = Flow {
            uuid: uuid.into(),
            ..Flow::default()
        };
        GetFlowsResponse {
            time: Some(Timestamp { seconds, nanos: 0 }),
            response_types: Some(ResponseTypes::Flow(flow)),
            ..GetFlowsResponse::default()
        }
    }

    #[test]
    fn what_comes_again_is_shown_once_and_late_flows_are_shown() {
        let mut seen = Seen {
            time: Timestamp::default(),
            same: Vec::new(),
        };
        let new = [
            (1, "a"),
            (2, "b"),
            (2, "c"),
            (2, "b"),
            (2, "c"),
            (2, "d"),
            (1, "late"),
            (3, "e"),
        ]
        .map(|(seconds, uuid)| seen.is_new(&flow(seconds, uuid)));
        assert_eq!(new, [true, true, true, false, false, true, true, true]);
        assert_eq!(seen.time.seconds, 3);
        assert_eq!(seen.same.len(), 1);
    }
}
