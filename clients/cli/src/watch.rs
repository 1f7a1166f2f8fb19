//! `sextant watch peers`: which peers a server tells of, as `hubble` prints them.

use std::{io::Write as _, process::ExitCode};

use clap::{Args, ValueEnum};
use sextant_proto::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, peer_client::PeerClient,
};

use crate::{
    again,
    connect::{Channel, Server, client},
    connection::Connection,
    out,
    text::{harmless, value_name},
};

/// Of the time without a connection.
const MISSED: &str = "peers that went meanwhile are not told, those there are come anew";

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// What.
    #[arg(value_enum, value_name = "WHAT")]
    what: What,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Servers that flows can be had of: those there are, then changes.
    #[value(alias = "peer")]
    Peers,
}

/// Prints changes until interrupted.
pub(crate) async fn run(connection: &Connection, args: &WatchArgs) -> anyhow::Result<ExitCode> {
    let What::Peers = args.what;
    let server = Server::reading(connection).await?;
    let mut out = out::stdout();
    let ask = async |server: &Server| {
        let mut client = client!(PeerClient<Channel>, server);
        Ok(client.notify(NotifyRequest {}).await?.into_inner())
    };
    let show = |change: Option<ChangeNotification>| {
        if let Some(change) = change {
            out.write_all(line(&change).as_bytes())?;
            out.flush()?;
        }
        Ok(())
    };
    let action = "watch the peers of";
    tokio::select! {
        ended = again::watch((connection, server), action, MISSED, ask, show) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn line(change: &ChangeNotification) -> String {
    let kind = value_name(change.r#type, ChangeNotificationType::as_str_name);
    let tls = match &change.tls {
        Some(tls) => format!(" (TLS.ServerName: {})", harmless(&tls.server_name)),
        None => String::new(),
    };
    let (address, name) = (harmless(&change.address), harmless(&change.name));
    format!("{kind:<12} {address} {name}{tls}\n")
}

#[cfg(test)]
mod tests {
    use sextant_proto::peer::Tls;

    use super::*;

    #[test]
    fn a_change_is_printed_as_hubble_prints_it() {
        let mut change = ChangeNotification {
            name: "c/\x1bn".into(),
            address: "10.0.0.1:4244".into(),
            r#type: ChangeNotificationType::PeerAdded.into(),
            tls: None,
        };
        assert_eq!(line(&change), "PEER_ADDED   10.0.0.1:4244 c/^[n\n");
        change.r#type = 9;
        change.tls = Some(Tls {
            server_name: "n.c".into(),
        });
        assert_eq!(
            line(&change),
            "9            10.0.0.1:4244 c/^[n (TLS.ServerName: n.c)\n"
        );
    }
}
