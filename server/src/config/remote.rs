//! Servers that exporters send to: what their sections have in common.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue, Uri};

use super::{
    Outgoing,
    draft::set,
    limits, names, outgoing,
    section::Section,
    values::{Parsed, choice},
};
use crate::export::{Compression, Remote, SpoolSetting, shown};

/// Bytes of a spool, unless others are given.
const SPOOL_MB: u64 = 256;

/// The server of a section; its address is under this key.
pub(super) fn remote(
    section: &mut Section<'_>,
    key: &'static str,
    shared: &Outgoing,
) -> Option<Remote> {
    let url = section.required(key).text(url);
    let headers = section.item("headers").texts(header);
    let compression = section.item("compression").text(compression);
    let timeout = section.item("timeout").duration(limits::EXPORT_TIMEOUT);
    let interval = section.item("interval").duration(limits::EXPORT_INTERVAL);
    let max_events = section.item("max_events").number(limits::EXPORT_EVENTS);
    let spool = spool(section);
    let name = section.item("tls_server_name").text(names::server);
    let (of_section, [has_tls, has_token]) = outgoing::of_section(section, shared);
    let mut remote = Remote::new(url?);
    set(&mut remote.headers, headers);
    set(&mut remote.compression, compression);
    set(&mut remote.timeout, timeout);
    set(&mut remote.interval, interval);
    set(&mut remote.max_events, max_events);
    remote.spool = spool;
    let has_own = remote
        .headers
        .iter()
        .any(|(name, _)| name == "authorization");
    if has_own && has_token {
        section.wrong("has a `token_file` and a header `authorization`; leave out one".into());
    }
    if remote.is_tls() {
        remote.tls_server_name = name;
        remote.outgoing = of_section;
        if has_own {
            remote.outgoing.token_file = None;
        }
        return Some(remote);
    }
    if has_own && !is_loopback(&remote.url) {
        section.wrong(format!(
            "would send its header `authorization` in plaintext; write `https://` in `{key}`"
        ));
    }
    if has_tls || name.is_some() {
        section.wrong(format!(
            "has keys of TLS, but `{key}` is plaintext; write `https://` there"
        ));
    }
    if has_token {
        match is_loopback(&remote.url) {
            true => remote.outgoing.token_file = of_section.token_file,
            false => section.wrong(format!(
                "would send its token in plaintext; write `https://` in `{key}`"
            )),
        }
    }
    Some(remote)
}

/// Where events wait on the disk.
fn spool(section: &mut Section<'_>) -> Option<SpoolSetting> {
    let mut section = section.section("spool")?;
    let directory = section.required("directory").text(directory);
    let max_mb = section.item("max_size_mb").number(limits::SPOOL_MB);
    section.finish();
    Some(SpoolSetting {
        directory: directory?,
        max_bytes: max_mb.unwrap_or(SPOOL_MB) << 20,
    })
}

fn directory(text: &str) -> Parsed<PathBuf> {
    let path = Path::new(text);
    match path.is_absolute() && path.file_name().is_some() && !text.contains('\0') {
        // One folder has one name.
        true => Ok(path.components().collect()),
        false => Err(format!(
            "`{text}` is no folder of its own; write an absolute path such as `/var/lib/sextant/spool/lake`"
        )),
    }
}

/// `http://` or `https://` with a host; the scheme in lower case.
pub(super) fn url(text: &str) -> Parsed<String> {
    let is_fit = |uri: &Uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let port = authority
            .rsplit_once(']')
            .map_or(authority, |(_, rest)| rest);
        let port = port.split_once(':').map(|(_, port)| port);
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !authority.contains('@')
            && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let plain = format!("{}://{rest}", scheme.to_ascii_lowercase());
    match plain.parse().is_ok_and(|uri| is_fit(&uri)) {
        true => Ok(plain),
        // What is before `@` or behind `?` may be secret.
        false if rest.contains('@') => Err(
            "has a name or password; leave out what is before `@`, and give a header or a token"
                .into(),
        ),
        false => {
            let shown = shown(text);
            Err(format!(
                "`{shown}` is no address of a server; write for example `http://127.0.0.1:4318`"
            ))
        }
    }
}

/// `name: value`.
pub(super) fn header(text: &str) -> Parsed<(String, String)> {
    let wrong = || {
        // What it is may be secret.
        let name = text.split_once(':').map_or("it", |(name, _)| name);
        format!("`{name}` is no header; write it as `name: value`")
    };
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_fit =
        HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
    match is_fit && !OWN_HEADERS.contains(&name.as_str()) {
        true => Ok((name, value.to_owned())),
        false => Err(wrong()),
    }
}

/// Headers that the exporter sets.
const OWN_HEADERS: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-timeout",
    "host",
    "te",
    "transfer-encoding",
];

pub(super) fn compression(text: &str) -> Parsed<Compression> {
    choice(
        text,
        &[
            ("none", Compression::None),
            ("gzip", Compression::Gzip),
            ("zstd", Compression::Zstd),
        ],
    )
}

fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_headers_are_what_they_should_be() {
        for good in ["http://a:1", "https://[::1]:4317/x?y=z", "http://127.0.0.1"] {
            assert!(url(good).is_ok(), "{good}");
        }
        assert_eq!(url("HTTPS://A:1"), Ok("https://A:1".into()));
        assert!(!url("http://user:secret@a").unwrap_err().contains("secret"));
        assert!(!url("ftp://a/?key=secret").unwrap_err().contains("secret"));
        for bad in [
            "",
            "a:1",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "/v1/logs",
            "unix:///a",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert_eq!(
            header("X-Tenant: a: b"),
            Ok(("x-tenant".into(), "a: b".into()))
        );
        for bad in ["", "x", "a b: c", "Content-Length: 3", "x: a\nb"] {
            assert!(header(bad).is_err(), "{bad}");
        }
        assert!(is_loopback("http://[::1]:1") && is_loopback("http://localhost/x"));
        assert!(!is_loopback("http://10.0.0.1") && !is_loopback("http://localhost.example"));
    }
}
