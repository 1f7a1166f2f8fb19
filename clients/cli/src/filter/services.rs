//! Ports of services by name: those of `/etc/services`, and the usual ones where there is
//! no such file.

use std::fs;

/// Names as IANA has them.
const USUAL: [(&str, u16); 24] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("dns", 53),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("ntp", 123),
    ("imap", 143),
    ("snmp", 161),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("syslog", 514),
    ("ldaps", 636),
    ("domain-s", 853),
    ("imaps", 993),
    ("mysql", 3306),
    ("postgresql", 5432),
    ("amqp", 5672),
    ("redis", 6379),
    ("http-alt", 8080),
];
const FILE: &str = "/etc/services";

/// The port of a service, whatever its protocol.
pub(super) fn port(name: &str) -> Option<u16> {
    let usual = || {
        USUAL
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let text = fs::read_to_string(FILE).unwrap_or_default();
    in_services(&text, name).or_else(|| usual().map(|(_, port)| *port))
}

/// A line is `NAME PORT/PROTOCOL [ALIAS ...] [# COMMENT]` (services(5)).
fn in_services(text: &str, name: &str) -> Option<u16> {
    text.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let first = words.next()?;
        let (port, _) = words.next()?.split_once('/')?;
        let is_meant = std::iter::once(first)
            .chain(words)
            .any(|known| known.eq_ignore_ascii_case(name));
        is_meant.then(|| port.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_name_and_alias_and_the_usual_ones_always() {
        let text = "# x\nhttp\t80/tcp\twww # WorldWideWeb\nbad line\nodd 7\nntp 123/udp";
        for (name, port) in [
            ("http", Some(80)),
            ("WWW", Some(80)),
            ("ntp", Some(123)),
            ("WorldWideWeb", None),
            ("odd", None),
            ("80/tcp", None),
        ] {
            assert_eq!(in_services(text, name), port, "{name}");
        }
        assert_eq!(port("https"), Some(443));
        assert_eq!(port("DNS"), Some(53));
        assert_eq!(port("no-such-service"), None);
    }
}
