//! A browser is not a way in.
//!
//! A page of anybody can let its reader's browser ask a port of this host: by a
//! foreign origin, or by a name of its own that it lets point here (DNS
//! rebinding). So what a browser can send is answered only under a name that
//! nobody else can have pointed here, and to pages of the same origin. Native
//! gRPC passes: no browser can send it. Not about who may do what.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header, uri::Authority};

use super::{Caller, Origin};

const FETCH_SITE: &str = "sec-fetch-site";

/// The names of this host beside IP addresses and `localhost`.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Arc<[String]>);

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error(
        "this server is not known by that name; add it to `hosts` in [server] if it is one of its own"
    )]
    Host,
    #[error("the page is of another origin")]
    Origin,
}

/// A page that was not answered: in the extensions of what it got instead.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{refused}")]
pub struct Foreign {
    refused: Refused,
    host: Option<HeaderValue>,
    origin: Option<HeaderValue>,
}

impl Foreign {
    fn of(refused: Refused, request: &Request) -> Self {
        let header = |name| request.headers().get(name).cloned();
        let authority = request.uri().authority();
        let in_uri = authority.and_then(|own| HeaderValue::from_str(own.as_str()).ok());
        Self {
            refused,
            host: header(header::HOST).or(in_uri),
            origin: header(header::ORIGIN),
        }
    }

    /// What it said of itself.
    #[must_use]
    pub fn page(&self) -> String {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let host = self.host.as_ref().map(text);
        let host = host.unwrap_or_else(|| "none".into());
        match &self.origin {
            Some(origin) => format!("host {host}, origin {}", text(origin)),
            None => format!("host {host}"),
        }
    }

    /// As HTTP has it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.refused {
            Refused::Host => StatusCode::MISDIRECTED_REQUEST,
            Refused::Origin => StatusCode::FORBIDDEN,
        }
    }

    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Hosts {
    /// These names, in any case.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().map(|name| plain(&name));
        Self(names.filter(|name| !name.is_empty()).collect())
    }

    /// A layer for all that is served on a port.
    pub async fn check(State(hosts): State<Self>, request: Request, next: Next) -> Response {
        let is_local = matches!(Caller::of(request.extensions()).origin(), Origin::Unix(_));
        if is_local || is_native(request.version(), request.headers()) {
            return next.run(request).await;
        }
        match hosts.judge(request.uri(), request.headers()) {
            Ok(()) => next.run(request).await,
            Err(refused) => Foreign::of(refused, &request).into_response(),
        }
    }

    fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        // Of two, another reader may look at the other one.
        let is_twice = |name| headers.get_all(name).iter().nth(1).is_some();
        if is_twice(header::HOST) {
            return Err(Refused::Host);
        }
        if is_twice(header::ORIGIN) || is_twice(header::HeaderName::from_static(FETCH_SITE)) {
            return Err(Refused::Origin);
        }
        // HTTP/2 has it in the URI, where one in the header must be the same.
        let named = match headers.get(header::HOST) {
            Some(host) => Authority::try_from(host.as_bytes()).ok(),
            None => uri.authority().cloned(),
        };
        let own = named.ok_or(Refused::Host)?;
        let differs = |other: &Authority| !other.as_str().eq_ignore_ascii_case(own.as_str());
        if !self.knows(&own) || uri.authority().is_some_and(differs) {
            return Err(Refused::Host);
        }
        let origin = headers.get(header::ORIGIN);
        if origin.is_some_and(|origin| !is_same_origin(origin.as_bytes(), &own)) {
            return Err(Refused::Origin);
        }
        // A port is no part of a site: another program's page is of the same one.
        let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
        match site {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(b"same-site") if origin.is_some() => Ok(()),
            Some(_) => Err(Refused::Origin),
        }
    }

    fn knows(&self, authority: &Authority) -> bool {
        if !is_plain(authority) {
            return false;
        }
        let host = plain(authority.host());
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || literal.parse::<IpAddr>().is_ok() || self.0.contains(&host)
    }
}

/// What only a gRPC library sends: HTTP/2, its content type, and nothing that
/// every browser adds.
fn is_native(version: Version, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    version == Version::HTTP_2
        && kind.starts_with(b"application/grpc")
        && !kind.starts_with(b"application/grpc-web")
        && !headers.contains_key(header::ORIGIN)
        && !headers.contains_key(FETCH_SITE)
}

fn is_same_origin(origin: &[u8], own: &Authority) -> bool {
    let Ok(origin) = Uri::try_from(origin) else {
        return false;
    };
    let (Some(scheme), Some(other)) = (origin.scheme_str(), origin.authority()) else {
        return false;
    };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    if !is_plain(other) {
        return false;
    }
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    plain(other.host()) == plain(own.host()) && port(other) == port(own)
}

/// A host, and behind it a port or nothing: readers differ on all else.
fn is_plain(authority: &Authority) -> bool {
    let text = authority.as_str();
    let rest = text.strip_prefix(authority.host());
    match rest.map(|rest| rest.strip_prefix(':').ok_or(rest)) {
        Some(Ok(port)) => {
            port.parse::<u16>().is_ok() && port.starts_with(|c: char| c.is_ascii_digit())
        }
        Some(Err(rest)) => rest.is_empty(),
        None => false,
    }
}

/// Names are the same in any case and with a final dot.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(pairs: &[(&'static str, &'static str)]) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        Hosts::new(["Node-1.example.".into()]).judge(&Uri::from_static("/metrics"), &headers)
    }

    #[test]
    fn what_is_said_twice_is_refused() {
        for (name, value, refused) in [
            ("host", "localhost", Refused::Host),
            ("origin", "http://localhost", Refused::Origin),
            (FETCH_SITE, "same-origin", Refused::Origin),
        ] {
            let mut headers = HeaderMap::new();
            let all = [
                ("host", "localhost"),
                ("origin", "http://localhost"),
                (FETCH_SITE, "same-origin"),
            ];
            for (name, value) in all {
                headers.append(name, value.parse().unwrap());
            }
            let judge = |headers: &HeaderMap| {
                Hosts::default().judge(&Uri::from_static("/metrics"), headers)
            };
            assert_eq!(judge(&headers), Ok(()));
            headers.append(name, value.parse().unwrap());
            assert_eq!(judge(&headers), Err(refused), "{name}");
        }
    }

    #[test]
    fn only_names_that_nobody_else_can_point_here_are_answered() {
        for host in [
            "127.0.0.1:4245",
            "10.1.2.3",
            "[::1]:4245",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST.:80",
            "node-1.example:4245",
            "NODE-1.EXAMPLE.",
        ] {
            assert_eq!(judge(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "[::1].evil.example",
            "127.0.0.1:evil",
            "localhost:",
            "localhost:+80",
            "localhost:99999",
            "user@localhost",
            "evil.example",
            "evil.example:4245",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "",
            "node-1",
            "xlocalhost",
            "127.0.0.1.",
            "0x7f.1",
            "2130706433",
        ] {
            let is = judge(&[("host", host)]);
            assert!(
                is == Err(Refused::Host) || host == "127.0.0.1.",
                "{host}: {is:?}"
            );
        }
        assert_eq!(judge(&[]), Err(Refused::Host));
    }

    #[test]
    fn a_page_of_another_origin_is_refused_by_whatever_tells_it() {
        let host = ("host", "localhost:4245");
        for (name, value, expected) in [
            ("origin", "http://localhost:4245", Ok(())),
            ("origin", "https://localhost:4245", Ok(())),
            ("origin", "http://localhost:3000", Err(Refused::Origin)),
            ("origin", "http://localhost", Err(Refused::Origin)),
            ("origin", "http://evil.example", Err(Refused::Origin)),
            ("origin", "null", Err(Refused::Origin)),
            ("origin", "file://", Err(Refused::Origin)),
            ("origin", "", Err(Refused::Origin)),
            ("sec-fetch-site", "same-origin", Ok(())),
            ("sec-fetch-site", "none", Ok(())),
            ("sec-fetch-site", "same-site", Err(Refused::Origin)),
            ("sec-fetch-site", "cross-site", Err(Refused::Origin)),
            ("sec-fetch-site", "anything", Err(Refused::Origin)),
        ] {
            assert_eq!(judge(&[host, (name, value)]), expected, "{name}: {value}");
        }
        let https = [
            ("host", "node-1.example"),
            ("origin", "https://node-1.example:443"),
        ];
        assert_eq!(judge(&https), Ok(()));
    }

    #[test]
    fn native_grpc_has_nothing_of_a_browser() {
        let native = |version, pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            is_native(version, &pairs.collect())
        };
        let grpc = ("content-type", "application/grpc+proto");
        assert!(native(Version::HTTP_2, &[grpc]));
        assert!(!native(Version::HTTP_11, &[grpc]));
        assert!(!native(Version::HTTP_2, &[grpc, ("origin", "http://a")]));
        assert!(!native(
            Version::HTTP_2,
            &[grpc, ("sec-fetch-site", "same-origin")]
        ));
        assert!(!native(
            Version::HTTP_2,
            &[("content-type", "Application/gRPC-Web+proto")]
        ));
        assert!(!native(Version::HTTP_2, &[]));
    }
}
