//! `[[listener]]`, TLS, and plaintext that is meant.

use super::{load_file, mistakes, read};
use crate::config::{ClientCertificate, Role, Roles};

const TLS: &str = "certificate = '/c'\nkey = '/k'\n";

fn listener(text: &str) -> String {
    format!("[[listener]]\naddress = 'tcp://0.0.0.0:1'\n{text}")
}

#[test]
fn a_listener_with_a_certificate_is_tls() {
    let config = read(&listener(&format!("{TLS}roles = ['recorder']"))).unwrap();
    let [listener] = &config.server.listeners[..] else {
        panic!("{:?}", config.server.listeners);
    };
    let tls = listener.tls.as_ref().unwrap();
    assert_eq!(tls.client, ClientCertificate::None);
    assert_eq!(listener.roles, Some(Roles::from_iter([Role::Recorder])));
    // Beside those that are there by default.
    assert_eq!(config.server.all_listeners().len(), 3);
}

#[test]
fn a_client_ca_asks_for_certificates() {
    let client = |text: &str| {
        let config = read(&listener(&format!("{TLS}client_ca = ['/a']\n{text}"))).unwrap();
        config.server.listeners[0].tls.as_ref().unwrap().client
    };
    assert_eq!(client(""), ClientCertificate::Required);
    assert_eq!(client("client = 'optional'"), ClientCertificate::Optional);
}

#[test]
fn what_does_not_fit_together_is_told() {
    for (text, told) in [
        ("certificate = '/c'".into(), "has no `key`"),
        ("key = '/k'".into(), "has no `certificate`"),
        ("client_ca = ['/a']".into(), "without TLS"),
        (format!("{TLS}client = 'required'"), "name who issues them"),
        (
            format!("{TLS}client_ca = ['/a']\nclient = 'none'"),
            "asks for no certificate",
        ),
        (format!("{TLS}client = 'maybe'"), "none of `required`"),
        (format!("{TLS}plaintext = true"), "leave out one of them"),
        (format!("{TLS}roles = ['root']"), "the roles are `viewer`"),
        (
            format!("{TLS}[[listener]]\naddress = 'tcp://0.0.0.0:1'\n{TLS}"),
            "is in line 1 already",
        ),
        (
            format!("{TLS}[[listener]]\naddress = 'unix:///s'\n{TLS}"),
            "is a unix socket",
        ),
        (
            "[metrics]\nkey = '/k'\ncertificate = ''".into(),
            "has no `certificate`",
        ),
    ] {
        let found = mistakes(&listener(&text));
        assert!(
            found.iter().any(|found| found.contains(told)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn plaintext_beyond_this_host_needs_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sextant.toml");
    let is_refused = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let error = load_file(&path).err().map(|error| error.to_string());
        error.is_some_and(|error| error.contains("--plaintext"))
    };
    for address in [
        "0.0.0.0:1",
        "[::]:1",
        "10.0.0.1:1",
        "[::ffff:10.0.0.1]:1",
        "node:1",
        "localhost.x:1",
    ] {
        let listen = format!("listen = ['tcp://{address}']");
        assert!(is_refused(&format!("[server]\n{listen}")), "{address}");
        assert!(
            !is_refused(&format!("[server]\nplaintext = true\n{listen}")),
            "{address}"
        );
        let own = format!("[[listener]]\naddress = 'tcp://{address}'\n");
        assert!(is_refused(&own), "{address}");
        assert!(!is_refused(&format!("{own}plaintext = true")), "{address}");
        assert!(!is_refused(&format!("{own}{TLS}")), "{address}");
    }
    for address in [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
        "localhost:1",
    ] {
        assert!(
            !is_refused(&format!("[server]\nlisten = ['tcp://{address}']")),
            "{address}"
        );
    }
}
