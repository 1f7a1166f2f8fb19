//! `[outgoing]` and the keys of TLS in `[[peer]]`.

use super::{mistakes, read};
use crate::config::{Outgoing, Peer};

const OUTGOING: &str =
    "[outgoing]\nca = ['/ca']\ncertificate = '/c'\nkey = '/k'\ntoken_file = '/t'\n";

fn peer(text: &str) -> Peer {
    let text = format!("{OUTGOING}[[peer]]\nname = 'b.C'\naddress = 'h:1'\n{text}");
    read(&text).unwrap().peers.remove(0)
}

#[test]
fn a_peer_has_tls_by_any_of_its_keys_and_the_name_that_relay_expects() {
    let common = Outgoing {
        ca: vec!["/ca".into()],
        pair: Some(("/c".into(), "/k".into())),
        token_file: Some("/t".into()),
    };
    let name = "b-c.default.hubble-grpc.cilium.io";
    for (text, expected) in [
        ("tls = true", Some(name)),
        ("ca = ['/x']", Some(name)),
        ("certificate = '/x'\nkey = '/y'", Some(name)),
        ("tls_server_name = 'x'", Some("x")),
        ("tls_server_name = '::1'", Some("::1")),
        ("tls_server_name = '10.0.0.1'", Some("10.0.0.1")),
        ("", None),
        ("tls = false", None),
    ] {
        let is = peer(text);
        assert_eq!(is.tls_server_name.as_deref(), expected, "{text}");
        // What is secret goes over TLS alone.
        if expected.is_none() {
            assert_eq!(is.outgoing, Outgoing::default(), "{text}");
        }
    }
    assert_eq!(peer("tls = true").outgoing, common);
    let own = Outgoing {
        ca: Vec::new(),
        ..common
    };
    assert_eq!(peer("ca = []").outgoing, own);
    let other = read("[[peer]]\nname = 'x/b'\naddress = 'h:1'\ntls = true").unwrap();
    let name = other.peers[0].tls_server_name.as_deref();
    assert_eq!(name, Some("b.x.hubble-grpc.cilium.io"));
}

#[test]
fn what_does_not_fit_together_is_told() {
    for (text, told) in [
        ("tls = false\nca = ['/x']", "leave out `tls`"),
        ("tls = false\ntls_server_name = 'x'", "leave out `tls`"),
        ("token_file = '/t'", "in plaintext; say `tls = true`"),
        ("certificate = '/c'", "has no `key`"),
        ("key = '/k'", "has no `certificate`"),
        ("tls = 'yes'", "without quotes"),
        ("tls_server_name = 'x:1'", "is not a name of a server"),
        ("tls_server_name = ''", "is not a name of a server"),
        ("tls_server_name = '*.x'", "is not a name of a server"),
        ("ca = '/x'", "a list of strings"),
        ("ca = ['']", "the path is empty"),
        (
            "[[peer]]\nname = 'u'\naddress = 'unix:///s'\ntls = true",
            "needs no TLS",
        ),
        ("[outgoing]\nkey = '/k'", "outgoing has no `certificate`"),
    ] {
        let found = mistakes(&format!("[[peer]]\nname = 'b'\naddress = 'h:1'\n{text}"));
        assert!(
            found.iter().any(|found| found.contains(told)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn a_token_goes_to_a_unix_socket_too() {
    let text = format!("{OUTGOING}[[peer]]\nname = 'b'\naddress = 'unix:///s'");
    let peer = read(&text).unwrap().peers.remove(0);
    assert_eq!(peer.outgoing.token_file, Some("/t".into()));
    assert_eq!(peer.outgoing.pair, None);
}
