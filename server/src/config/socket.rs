//! Where to listen and where others do: `HOST:PORT` and paths of sockets.
//!
//! Pure, like `values`. Whether a host exists is found out by who binds.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::{Listen, names, values::Parsed};

/// Longest path of a unix socket (`sun_path` without its final zero).
const MAX_SOCKET_PATH: usize = 107;

/// `tcp://HOST:PORT` or `unix:///PATH`.
pub(super) fn listen(text: &str) -> Parsed<Listen> {
    if let Some(address) = text.strip_prefix("tcp://") {
        return host_port(address, 0).map(|()| Listen::Tcp(address.to_owned()));
    }
    if let Some(path) = text.strip_prefix("unix://") {
        return socket_path(path).map(Listen::Unix);
    }
    let meant = if text.starts_with('/') {
        format!("unix://{text}")
    } else if host_port(text, 0).is_ok() {
        format!("tcp://{text}")
    } else {
        return Err(format!(
            "`{text}` is not a listener; write `tcp://HOST:PORT` or `unix:///PATH`"
        ));
    };
    Err(format!("`{text}` has no scheme; write `{meant}`"))
}

/// `HOST:PORT`, or `off` for `None`.
pub(super) fn metrics_listen(text: &str) -> Parsed<Option<String>> {
    if text == "off" {
        return Ok(None);
    }
    let address = text.strip_prefix("tcp://").unwrap_or(text);
    host_port(address, 0)
        .map(|()| Some(address.to_owned()))
        .map_err(|reason| format!("{reason}, or `off` for no metrics"))
}

/// `HOST:PORT` or `unix:///PATH` of another server.
pub(super) fn peer_address(text: &str) -> Parsed<String> {
    match text.strip_prefix("unix://") {
        Some(path) => socket_path(path).map(|_| text.to_owned()),
        None => host_port(text, 1).map(|()| text.to_owned()),
    }
}

fn host_port(text: &str, lowest: u16) -> Parsed<()> {
    let wrong = |why: &str| Err(format!("`{text}` {why}"));
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() >= lowest {
            true => Ok(()),
            false => wrong("has port 0; give the port of that server"),
        };
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return wrong("has no port; write `HOST:PORT`");
    };
    if port.parse::<u16>().map_or(true, |port| port < lowest) {
        return wrong(&format!("has no valid port; give {lowest} to 65535"));
    }
    if host.is_empty() {
        return wrong("has no host; write `0.0.0.0` or `[::]` for every address");
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return wrong(&format!(
            "is ambiguous; write `[{host}]:{port}` for an IPv6 address"
        ));
    }
    let numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric || names::host(host).is_err() {
        return wrong(
            "has no valid host; write `HOST:PORT` with a name, an IPv4 address or an IPv6 address in brackets",
        );
    }
    Ok(())
}

fn socket_path(path: &str) -> Parsed<PathBuf> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!(
            "`unix://{path}` names no absolute path; write `unix:///PATH`, with three slashes"
        ));
    }
    if path.len() > MAX_SOCKET_PATH {
        return Err(format!(
            "`{path}` is too long for a unix socket; keep to {MAX_SOCKET_PATH} bytes"
        ));
    }
    Ok(path.into())
}
