//! What of a flow is hidden from somebody: URLs, header values, DNS names.
//!
//! A redacted flow is a flow of its own, so filters, masks and summaries see what
//! its reader sees and tell no more. Free text that could say the same again
//! (extensions of others, a summary that came with the flow) is left out. Bound:
//! one copy of a flow; a flow with nothing to hide is not copied.

use pb::layer7::Record;
use sextant_proto::flow as pb;

use super::{Endpoint, Flow, Interned, Process, Summary};

/// Stands for what is hidden, as in Hubble.
pub const REDACTED: &str = "HUBBLE_REDACTED";

/// Something that can be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitive {
    /// Paths of URLs.
    UrlPath,
    /// Queries and fragments of URLs.
    UrlQuery,
    /// Values of HTTP headers.
    HttpHeaders,
    /// Names that DNS tells, and hosts of URLs.
    DnsNames,
    /// Command lines of processes, which may have all of the others in them: they are
    /// hidden with any of these.
    CommandLines,
}

impl Sensitive {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::UrlPath,
        Self::UrlQuery,
        Self::HttpHeaders,
        Self::DnsNames,
        Self::CommandLines,
    ];

    /// As the configuration has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UrlPath => "url-path",
            Self::UrlQuery => "url-query",
            Self::HttpHeaders => "http-headers",
            Self::DnsNames => "dns-names",
            Self::CommandLines => "command-lines",
        }
    }
}

fn hide_command_line(side: &mut Option<Interned<Process>>) {
    let process = side
        .as_ref()
        .filter(|process| !process.command_line.is_empty());
    let hidden = process.map(|process| Process {
        command_line: String::new(),
        ..Process::clone(process)
    });
    if let Some(hidden) = hidden {
        *side = Some(hidden.into());
    }
}

/// A set of what is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redaction(u8);

impl FromIterator<Sensitive> for Redaction {
    fn from_iter<I: IntoIterator<Item = Sensitive>>(hidden: I) -> Self {
        Self(hidden.into_iter().fold(0, |set, one| set | 1 << one as u8))
    }
}

impl Redaction {
    /// Whether it hides nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What both hide.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn hides(self, what: Sensitive) -> bool {
        self.0 & 1 << what as u8 != 0
    }

    /// The flow without what is hidden; none where that is the flow itself.
    #[must_use]
    pub fn of(self, flow: &Flow) -> Option<Box<Flow>> {
        if self.is_empty() || !self.concerns(flow) {
            return None;
        }
        let mut flow = Box::new(flow.clone());
        if matches!(flow.summary, Summary::Text(_)) {
            flow.summary = Summary::Derived;
        }
        if let Some(cold) = flow.cold.as_deref_mut() {
            cold.extensions = None;
            match cold.l7.as_mut().and_then(|l7| l7.record.as_mut()) {
                Some(Record::Http(http)) => self.redact_http(http),
                Some(Record::Dns(dns)) if self.hides(Sensitive::DnsNames) => redact_dns(dns),
                _ => {}
            }
        }
        if let Some(counters) = flow.counters.as_deref_mut() {
            for process in [
                &mut counters.source_process,
                &mut counters.destination_process,
            ] {
                hide_command_line(process);
            }
        }
        if self.hides(Sensitive::DnsNames) {
            flow.source_names = None;
            flow.destination_names = None;
            for side in [&mut flow.source, &mut flow.destination] {
                hide_fqdn_labels(side);
            }
        }
        Some(flow)
    }

    /// Whether the flow has what may be hidden.
    fn concerns(self, flow: &Flow) -> bool {
        let has_names = || {
            let names = [&flow.source_names, &flow.destination_names];
            let sides = [&flow.source, &flow.destination];
            names.into_iter().any(Option::is_some)
                || sides.into_iter().flatten().any(|side| has_fqdn_label(side))
        };
        let has_command_line = || {
            let counters = flow.counters.as_ref();
            counters.is_some_and(|counters| {
                let sides = [&counters.source_process, &counters.destination_process];
                let mut processes = sides.into_iter().flatten();
                processes.any(|process| !process.command_line.is_empty())
            })
        };
        matches!(flow.summary, Summary::Text(_))
            || has_command_line()
            || flow
                .cold
                .as_ref()
                .is_some_and(|cold| cold.l7.is_some() || cold.extensions.is_some())
            || self.hides(Sensitive::DnsNames) && has_names()
    }

    /// Headers repeat the URL (`:path`, `referer`, `location`, those of proxies),
    /// so no value of them is shown where a part of a URL is not.
    fn redact_http(self, http: &mut pb::Http) {
        http.url = self.redact_url(&http.url);
        for header in &mut http.headers {
            REDACTED.clone_into(&mut header.value);
        }
    }

    /// Scheme, authority, path and query as RFC 3986 (appendix B) splits them.
    /// User and password are hidden with whatever else is.
    fn redact_url(self, url: &str) -> String {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => (Some(scheme), rest),
            // Where no host can be told from a path, both are hidden.
            _ if self.hides(Sensitive::DnsNames) && !url.starts_with(['/', '?', '#']) => {
                return if url.is_empty() {
                    String::new()
                } else {
                    REDACTED.to_owned()
                };
            }
            _ if url.starts_with("//") && self.hides(Sensitive::DnsNames) => {
                return REDACTED.to_owned();
            }
            _ => (None, url),
        };
        let mut out = String::new();
        let rest = match scheme {
            None => rest,
            Some(scheme) => {
                let (authority, rest) =
                    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                out.push_str(scheme);
                out.push_str("://");
                out.push_str(&self.redact_authority(authority));
                rest
            }
        };
        let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        out.push_str(&match self.hides(Sensitive::UrlPath) {
            true if path.starts_with('/') => format!("/{REDACTED}"),
            true if !path.is_empty() => REDACTED.to_owned(),
            _ => path.to_owned(),
        });
        match query.get(..1) {
            Some(sign) if self.hides(Sensitive::UrlQuery) => {
                out.push_str(sign);
                out.push_str(REDACTED);
            }
            _ => out.push_str(query),
        }
        out
    }

    fn redact_authority(self, authority: &str) -> String {
        let (user, host) = match authority.rsplit_once('@') {
            Some((_, host)) => (format!("{REDACTED}@"), host),
            None => (String::new(), authority),
        };
        match self.hides(Sensitive::DnsNames) && !host.is_empty() {
            true => user + REDACTED,
            false => user + host,
        }
    }
}

fn redact_dns(dns: &mut pb::Dns) {
    REDACTED.clone_into(&mut dns.query);
    dns.cnames.clear();
}

/// Labels of endpoints that are known by their name alone, as Cilium makes them.
fn is_fqdn_label(label: &str) -> bool {
    label.starts_with("fqdn:")
}

fn has_fqdn_label(side: &Endpoint) -> bool {
    side.labels.iter().any(|label| is_fqdn_label(label))
}

fn hide_fqdn_labels(side: &mut Option<Interned<Endpoint>>) {
    if let Some(endpoint) = side.as_deref().filter(|endpoint| has_fqdn_label(endpoint)) {
        let mut endpoint = endpoint.clone();
        endpoint.labels.retain(|label| !is_fqdn_label(label));
        *side = Some(endpoint.into());
    }
}

#[cfg(test)]
mod tests;
