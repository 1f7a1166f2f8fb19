//! `[[listener]]`: addresses with TLS or roles of their own; and that plaintext
//! beyond this host is meant.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use super::{
    ClientCertificate, Listen, Listener, Mistake, Role, Roles, Server, Tls,
    report::Once,
    section::Section,
    socket,
    values::{self, Parsed, optional_path},
};

/// All `[[listener]]`; each address once.
pub(super) fn listeners(top: &mut Section<'_>) -> Vec<Listener> {
    let mut once = Once::new(top.report());
    let sections = top.sections("listener").into_iter();
    sections
        .filter_map(|section| listener(section, &mut once))
        .collect()
}

fn listener(mut section: Section<'_>, once: &mut Once<'_>) -> Option<Listener> {
    let address = section.required("address").text(socket::listen);
    if let Some(address) = &address {
        once.see(format!("listener `{address}`"), section.offset());
    }
    let tls = tls(&mut section);
    if tls.is_some() && matches!(address, Some(Listen::Unix(_))) {
        section.wrong(
            "is a unix socket, which needs no TLS; leave out `certificate` and `key`".into(),
        );
    }
    let roles = section.item("roles").texts(role);
    let plaintext = section.item("plaintext").switch().unwrap_or_default();
    if plaintext && tls.is_some() {
        section.wrong("has a certificate and says `plaintext`; leave out one of them".into());
    }
    section.finish();
    Some(Listener {
        address: address?,
        tls,
        roles: roles.map(Roles::from_iter),
        plaintext,
    })
}

/// The keys of TLS; none are there without a certificate.
pub(super) fn tls(section: &mut Section<'_>) -> Option<Tls> {
    let certificate = section.item("certificate").text(optional_path).flatten();
    let key = section.item("key").text(optional_path).flatten();
    let client_ca = section.item("client_ca").texts(values::path);
    let client = section.item("client").text(client_certificate);
    let has_client = client_ca.as_ref().is_some_and(|files| !files.is_empty())
        || client.is_some_and(|client| client != ClientCertificate::None);
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => {
            if has_client {
                section.wrong("asks for certificates of clients without TLS; give `certificate` and `key` too".into());
            }
            return None;
        }
        (certificate, _) => {
            let missing = if certificate.is_some() {
                "key"
            } else {
                "certificate"
            };
            section.wrong(format!(
                "has no `{missing}`; TLS needs `certificate` and `key`"
            ));
            return None;
        }
    };
    let client_ca: Vec<PathBuf> = client_ca.unwrap_or_default();
    let client = client.unwrap_or(match client_ca.is_empty() {
        true => ClientCertificate::None,
        false => ClientCertificate::Required,
    });
    if (client == ClientCertificate::None) != client_ca.is_empty() {
        let message = match client_ca.is_empty() {
            true => "asks for certificates of clients; name who issues them in `client_ca`",
            false => "names a `client_ca` and asks for no certificate; say `client = \"required\"`",
        };
        section.wrong(message.into());
    }
    Some(Tls {
        certificate,
        key,
        client_ca,
        client,
    })
}

fn client_certificate(text: &str) -> Parsed<ClientCertificate> {
    match text {
        "required" => Ok(ClientCertificate::Required),
        "optional" => Ok(ClientCertificate::Optional),
        "none" => Ok(ClientCertificate::None),
        _ => Err(format!(
            "`{text}` is none of `required`, `optional` and `none`"
        )),
    }
}

/// A role by its name.
pub(super) fn role(text: &str) -> Parsed<Role> {
    let mut all = Role::ALL.into_iter();
    all.find(|role| role.name() == text).ok_or_else(|| {
        let names = Role::ALL.map(Role::name).join("`, `");
        format!("`{text}` is no role; the roles are `{names}`")
    })
}

/// Plaintext beyond this host needs a word of its own.
pub(super) fn plaintext(server: &Server) -> Vec<Mistake> {
    let listeners = server.all_listeners().into_iter();
    let open = listeners.filter(|listener| !listener.plaintext && is_open(listener));
    open.map(|listener| Mistake {
        place: format!("listener {}", listener.address),
        message: "would serve flows in plaintext beyond this host; give it a certificate in a [[listener]], \
                  or say that plaintext is meant: `--plaintext`, or `plaintext = true` in [server] or [[listener]]"
            .into(),
    })
    .collect()
}

/// Whether others than this host can connect, in plaintext.
pub(super) fn is_open(listener: &Listener) -> bool {
    let (Listen::Tcp(address), None) = (&listener.address, &listener.tls) else {
        return false;
    };
    let ip = address.parse::<SocketAddr>().map(|address| address.ip());
    match ip {
        Ok(IpAddr::V6(ip)) => !ip.to_canonical().is_loopback(),
        Ok(ip) => !ip.is_loopback(),
        Err(_) => !address.to_ascii_lowercase().starts_with("localhost:"),
    }
}
