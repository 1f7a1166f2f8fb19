//! Streams over the ends of connections: it connects again, and says what is missed of
//! the time between. It tries until it is interrupted. What was shown before is not asked
//! for again here: see `observe::follow`. Bound: one connection, one message.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use prost_types::Timestamp;
use sextant_proto::observer::{ServerStatusRequest, observer_client::ObserverClient};
use tonic::{Status, Streaming};

use crate::{
    call::{self, CallError},
    connect::{Channel, Server, client},
    connection::Connection,
    text::{duration, harmless_lines},
};

/// Between two attempts to connect.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// Hands on what comes, and nothing where the connection is lost. `ask` asks anew on each
/// connection; `missed` says what of the time between never comes. A server that does not
/// answer at first is an error.
pub(crate) async fn watch<M>(
    (connection, mut server): (&Connection, Server),
    action: &'static str,
    missed: &str,
    ask: impl AsyncFn(&Server) -> Result<Streaming<M>, Status>,
    mut show: impl FnMut(Option<M>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut is_first = true;
    loop {
        let failed = call::failed(action, &server);
        let ended = match ask(&server).await {
            // It may be the wrong server.
            Err(status) if is_first => return Err(failed(status).into()),
            Err(status) => Err(failed(status).into()),
            Ok(mut stream) => loop {
                match stream.message().await {
                    Ok(Some(message)) => show(Some(message))?,
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(failed(status).into()),
                }
            },
        };
        is_first = false;
        let why = why(ended)?;
        show(None)?;
        let since = now();
        let (again, meanwhile) = connect(connection, &server.name, &why).await?;
        server = again;
        let anew = match uptime_after(&server, &since).await {
            Some(Ok(up)) => format!("; it was started anew {} ago", duration(up)),
            _ => String::new(),
        };
        let (name, meanwhile) = (&server.name, duration(meanwhile));
        tell(&format!(
            "connected to {name} again after {meanwhile}{anew}; {missed}"
        ))?;
    }
}

/// Why a stream ended that may go on with another connection; else its error.
pub(crate) fn why(ended: anyhow::Result<()>) -> anyhow::Result<String> {
    match ended {
        Ok(()) => Ok("it ended the stream".into()),
        Err(error) => match error.downcast_ref::<CallError>() {
            Some(call) if call.is_lost => Ok(call.cause.clone()),
            _ => Err(error),
        },
    }
}

/// Tells that a server is lost, and connects, however long it takes: which is told too.
pub(crate) async fn connect(
    connection: &Connection,
    name: &str,
    why: &str,
) -> io::Result<(Server, Duration)> {
    tell(&format!("lost {name}: {why}; trying again"))?;
    let lost = Instant::now();
    let mut pause = SHORTEST;
    loop {
        tokio::time::sleep(pause).await;
        if let Ok(server) = Server::reading(connection).await {
            return Ok((server, lost.elapsed()));
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// How long the server runs, if it was started after this time, else what it has stored;
/// nothing where it does not say.
pub(crate) async fn uptime_after(
    server: &Server,
    since: &Timestamp,
) -> Option<Result<Duration, Stored>> {
    let mut client = client!(ObserverClient<Channel>, server);
    let request = server.unary(ServerStatusRequest {});
    let status = client.server_status(request).await.ok()?.into_inner();
    let started = nanos(&now()) - i128::from(status.uptime_ns);
    Some(match started > nanos(since) {
        true => Ok(Duration::from_nanos(status.uptime_ns)),
        false => Err(Stored {
            is_full: status.num_flows >= status.max_flows,
        }),
    })
}

/// The store of a server that ran all the time.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) is_full: bool,
}

pub(crate) fn nanos(time: &Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

pub(crate) fn tell(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "sextant: {}", harmless_lines(text))
}
