//! `observe --follow` over the ends of connections: it connects again, asks for what came
//! meanwhile, and says what cannot be had any more. Bound: `SAME` flows of one instant are
//! told apart from those shown before; it tries until it is interrupted.

use std::io::{self, Write};

use prost_types::Timestamp;
use sextant_proto::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsRequest, GetFlowsResponse,
    get_flows_response::ResponseTypes, observer_client::ObserverClient,
};
use tonic::{Status, Streaming};

use super::stream::{Show, drain};
use crate::{
    again, call,
    connect::{Channel, Server, client},
    connection::Connection,
    text::duration,
    time::Format,
};

/// Flows of the last instant that are remembered.
const SAME: usize = 1024;

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
        time: again::now(),
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
        let why = again::why(ended)?;
        let (again, meanwhile) = again::connect(connection, &server.name, &why).await?;
        server = again;
        let missed = missed(&server, &seen.time).await;
        let (name, meanwhile) = (&server.name, duration(meanwhile));
        again::tell(&format!(
            "connected to {name} again after {meanwhile}; {missed}"
        ))?;
        since = Some(seen.time);
    }
}

/// What is not known of the time since then, as the server's own state tells.
async fn missed(server: &Server, since: &Timestamp) -> String {
    let shown = |time: &Timestamp| Format::Rfc3339Milli.print(Some(time));
    let stored = match again::uptime_after(server, since).await {
        None => return "what was missed is not known".into(),
        Some(Ok(up)) => {
            return format!(
                "it was started anew {} ago: what was after {} and before that is missed",
                duration(up),
                shown(since)
            );
        }
        Some(Err(stored)) => stored,
    };
    let first = GetFlowsRequest {
        number: 1,
        first: true,
        ..GetFlowsRequest::default()
    };
    let mut client = client!(ObserverClient<Channel>, server);
    let oldest = match client.get_flows(server.unary(first)).await {
        Ok(answer) => answer.into_inner().message().await.ok().flatten(),
        Err(_) => None,
    };
    match oldest.and_then(|oldest| oldest.time) {
        Some(oldest) if stored.is_full && again::nanos(&oldest) > again::nanos(since) => {
            format!(
                "what was after {} and before {} was overwritten meanwhile and is missed",
                shown(since),
                shown(&oldest)
            )
        }
        _ => "nothing was missed".into(),
    }
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
