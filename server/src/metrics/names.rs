//! Names as packets carry them: DNS messages, and server names in TLS.

use std::fmt;

use super::Page;
use crate::{dns::Malformed, ledger::Payloads, sni};

impl Page<'_> {
    pub(super) fn dns(&mut self, payloads: &Payloads) -> fmt::Result {
        let (messages, names) = (payloads.dns.messages, payloads.dns.names);
        let kinds = [("query", messages.queries), ("answer", messages.answers)];
        self.counters(
            "dns_messages",
            "DNS messages that packets carry, by kind",
            kinds.map(|(kind, count)| ([("kind", kind)], count)),
        )?;
        self.counter(
            "dns_unasked_answers",
            "DNS answers that nobody was seen to ask for",
            messages.unasked,
        )?;
        let malformed = Malformed::ALL.iter().zip(messages.malformed);
        self.counters(
            "dns_malformed",
            "Bytes on port 53 that are no DNS message, by cause",
            malformed.map(|(cause, count)| ([("cause", cause.name())], count)),
        )?;
        let forgotten = [
            ("queries", messages.forgotten_queries),
            ("streams", messages.forgotten_streams),
            ("addresses", names.forgotten),
            ("names", names.left_out),
        ];
        self.counters(
            "dns_forgotten",
            "What was let go for want of room: queries before their answer, TCP streams, addresses and names",
            forgotten.map(|(what, count)| ([("what", what)], count)),
        )?;
        self.gauge(
            "dns_addresses",
            "Addresses with names, counted for each client",
            names.addresses as f64,
        )?;
        self.tls(payloads)
    }

    fn tls(&mut self, payloads: &Payloads) -> fmt::Result {
        let (hellos, names) = (payloads.dns.hellos, payloads.dns.server_names);
        let kinds = [
            ("yes", hellos.hellos - hellos.nameless),
            ("no", hellos.nameless),
        ];
        self.counters(
            "tls_hellos",
            "TLS ClientHellos that were read, by whether they ask for a server name",
            kinds.map(|(named, count)| ([("named", named)], count)),
        )?;
        let malformed = sni::Malformed::ALL.iter().zip(hellos.malformed);
        self.counters(
            "tls_malformed",
            "Beginnings of TLS connections that gave no name, by cause",
            malformed.map(|(cause, count)| ([("cause", cause.name())], count)),
        )?;
        let forgotten = [
            ("connections", hellos.forgotten),
            ("addresses", names.forgotten),
            ("names", names.left_out),
        ];
        self.counters(
            "tls_forgotten",
            "What was let go for want of room: names of connections, addresses and names of them",
            forgotten.map(|(what, count)| ([("what", what)], count)),
        )?;
        self.gauge(
            "tls_addresses",
            "Addresses with names by TLS, counted for each client",
            names.addresses as f64,
        )
    }
}
