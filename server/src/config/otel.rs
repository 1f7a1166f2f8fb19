//! The standard variables of OpenTelemetry: another exporter, beside those of the file.
//!
//! They mean what its specification says ("OpenTelemetry Environment Variable
//! Specification", "OTLP Exporter Configuration"): those of a signal win over the general
//! ones, empty is not set, and what cannot be followed, value or variable, is told and
//! passed over, since it may be meant for other programs. Of the resource:
//! `export::otlp::resource`.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{Outgoing, limits, remote};
use crate::{
    export::{
        Compression, OtlpTarget, Protocol, Remote, Selected, Setting, Signal, SpansOf, Target,
    },
    percent::decoded,
};

/// What the exporters are called, before the signal.
const NAME: &str = "environment";

/// Events of a request, unless it is said.
const USUAL_BATCH: usize = 512;

/// Variables of the specification that nothing here follows.
const NOT_FOLLOWED: [&str; 12] = [
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    "OTEL_METRICS_EXEMPLAR_FILTER",
    "OTEL_METRIC_EXPORT_TIMEOUT",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BLRP_EXPORT_TIMEOUT",
    "OTEL_BLRP_MAX_QUEUE_SIZE",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_PROPAGATORS",
    "OTEL_CONFIG_FILE",
];

/// The environment.
type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Where exporters without an endpoint send to.
fn usual(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Grpc => "http://localhost:4317",
        Protocol::Http => "http://localhost:4318",
    }
}

/// Whether the environment turns OpenTelemetry off.
pub(super) fn is_disabled(env: Env<'_>) -> bool {
    env("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"))
}

/// One for each signal that the environment asks for.
pub(super) fn exporters(env: Env<'_>) -> Vec<Setting> {
    let signals = [Signal::Logs, Signal::Metrics, Signal::Traces];
    let wanted = signals.into_iter().filter(|signal| is_wanted(env, *signal));
    let made: Vec<_> = wanted.filter_map(|signal| exporter(env, signal)).collect();
    if !made.is_empty() {
        not_followed(env);
    }
    made
}

fn not_followed(env: Env<'_>) {
    for name in NOT_FOLLOWED {
        if word(env, name).is_some() {
            tracing::warn!("{name} is not followed: it changes nothing here");
        }
    }
}

/// Logs and metrics with the general endpoint; a signal with an endpoint of its own, or
/// one that is exported by name; none that is not exported by name.
fn is_wanted(env: Env<'_>, signal: Signal) -> bool {
    let variable = format!("OTEL_{}_EXPORTER", letters(signal));
    if let Some(words) = word(env, &variable) {
        let words = words.to_ascii_lowercase();
        let words: Vec<_> = words.split(',').map(str::trim).collect();
        for other in words.iter().filter(|word| !["otlp", "none"].contains(word)) {
            tracing::warn!("{variable}: `{other}` is not there; write `otlp` or `none`");
        }
        return words.contains(&"otlp");
    }
    let has = |name: &str| word(env, name).is_some();
    has(&format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", letters(signal)))
        || signal != Signal::Traces && has("OTEL_EXPORTER_OTLP_ENDPOINT")
}

fn exporter(env: Env<'_>, signal: Signal) -> Option<Setting> {
    let of = Variables { env, signal };
    let protocols = [("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)];
    let protocol = of.choice("PROTOCOL", &protocols).unwrap_or(Protocol::Http);
    let mut remote = Remote::new(of.url(protocol)?);
    let compressions = [("gzip", Compression::Gzip), ("none", Compression::None)];
    remote.compression = of.choice("COMPRESSION", &compressions).unwrap_or_default();
    match of.millis("TIMEOUT") {
        Some(Duration::ZERO) => {
            remote.timeout = *limits::EXPORT_TIMEOUT.end();
            let most = remote.timeout;
            tracing::warn!("OTEL_EXPORTER_OTLP_TIMEOUT: there is always a limit; {most:?}");
        }
        Some(timeout) => {
            remote.timeout = within(
                "OTEL_EXPORTER_OTLP_TIMEOUT",
                timeout,
                limits::EXPORT_TIMEOUT,
            );
        }
        None => {}
    }
    remote.headers = of.headers();
    if remote.is_tls() {
        let path = |name| of.word(name).map(PathBuf::from);
        remote.outgoing = Outgoing {
            ca: path("CERTIFICATE").into_iter().collect(),
            pair: path("CLIENT_CERTIFICATE").zip(path("CLIENT_KEY")),
            token_file: None,
        };
    }
    batching(env, signal, &mut remote);
    Some(Setting {
        name: format!("{NAME}/{}", signal.name()),
        selected: Selected::default(),
        target: Target::Otlp(OtlpTarget {
            remote,
            protocol,
            signal,
            // What these variables are for are a program's own spans.
            spans: SpansOf {
                connections: true,
                daemon: true,
            },
            resource: Vec::new(),
        }),
    })
}

/// How long what is sent waits, and how much goes together.
fn batching(env: Env<'_>, signal: Signal, remote: &mut Remote) {
    let millis = |name: &str| number(env, name).map(Duration::from_millis);
    let (interval, usual, range) = match signal {
        Signal::Logs => ("OTEL_BLRP_SCHEDULE_DELAY", 1, limits::EXPORT_INTERVAL),
        Signal::Traces => ("OTEL_BSP_SCHEDULE_DELAY", 5, limits::EXPORT_INTERVAL),
        Signal::Metrics => ("OTEL_METRIC_EXPORT_INTERVAL", 60, limits::EXPORT_METRICS),
    };
    let asked = millis(interval).unwrap_or(Duration::from_secs(usual));
    remote.interval = within(interval, asked, range);
    let most = match signal {
        Signal::Logs => "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        Signal::Traces => "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        Signal::Metrics => return,
    };
    let events = match number(env, most) {
        Some(0) => {
            tracing::warn!("{most}: 0 is no size; passed over");
            USUAL_BATCH
        }
        Some(events) => usize::try_from(events).unwrap_or(usize::MAX),
        None => USUAL_BATCH,
    };
    remote.max_events = within(most, events, limits::EXPORT_EVENTS);
}

/// What was asked for, or the nearest there is, which is told.
fn within<T: PartialOrd + Copy + fmt::Debug>(name: &str, asked: T, range: RangeInclusive<T>) -> T {
    let (least, most) = (*range.start(), *range.end());
    let given = match asked {
        asked if asked < least => least,
        asked if asked > most => most,
        asked => return asked,
    };
    tracing::warn!("{name}: {asked:?} is not possible; {given:?} instead");
    given
}

/// Variables of OTLP: `OTEL_EXPORTER_OTLP_<SIGNAL>_<NAME>`, else without the signal.
struct Variables<'e> {
    env: Env<'e>,
    signal: Signal,
}

impl Variables<'_> {
    fn own(&self, name: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{}_{name}", letters(self.signal))
    }

    fn word(&self, name: &str) -> Option<String> {
        let own = word(self.env, &self.own(name));
        own.or_else(|| word(self.env, &format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.word(name)?;
        let found = super::values::choice(&word.trim().to_ascii_lowercase(), choices);
        found
            .map_err(|error| tracing::warn!("OTEL_EXPORTER_OTLP_{name}: {error}; passed over"))
            .ok()
    }

    fn millis(&self, name: &str) -> Option<Duration> {
        let word = self.word(name)?;
        let millis = word.trim().parse().map(Duration::from_millis);
        millis
            .map_err(|_| {
                tracing::warn!("OTEL_EXPORTER_OTLP_{name}: `{word}` is no number; passed over")
            })
            .ok()
    }

    /// That of the signal as it is; by HTTP the signal's path is added to the general one.
    fn url(&self, protocol: Protocol) -> Option<String> {
        let own = word(self.env, &self.own("ENDPOINT"));
        let general = word(self.env, "OTEL_EXPORTER_OTLP_ENDPOINT");
        let is_insecure = || {
            let said = self.word("INSECURE");
            said.is_some_and(|word| word.eq_ignore_ascii_case("true"))
        };
        let with_scheme = |url: String| match (url.contains("://"), protocol) {
            (false, Protocol::Grpc) if is_insecure() => format!("http://{url}"),
            (false, Protocol::Grpc) => format!("https://{url}"),
            _ => url,
        };
        let url = match (own, protocol) {
            (Some(own), _) => with_scheme(own),
            (None, Protocol::Grpc) => {
                with_scheme(general.unwrap_or_else(|| usual(protocol).into()))
            }
            (None, Protocol::Http) => {
                let base = general.unwrap_or_else(|| usual(protocol).into());
                let (path, query) = match base.split_once('?') {
                    Some((path, query)) => (path, format!("?{query}")),
                    None => (base.as_str(), String::new()),
                };
                let path = path.trim_end_matches('/');
                format!("{path}/v1/{}{query}", self.signal.name())
            }
        };
        remote::url(&url)
            .map_err(|error| {
                tracing::warn!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}; nothing is exported")
            })
            .ok()
    }

    /// `key=value,key=value`, percent-encoded (W3C Baggage).
    fn headers(&self) -> Vec<(String, String)> {
        let words = self.word("HEADERS").unwrap_or_default();
        let pairs = words.split(',').filter(|pair| !pair.trim().is_empty());
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            remote::header(&format!(
                "{}: {}",
                decoded(name.trim())?,
                decoded(value.trim())?
            ))
            .ok()
        };
        let read = pairs.filter_map(|pair| {
            let header = header(pair);
            if header.is_none() {
                // What it is may be secret.
                tracing::warn!(
                    "OTEL_EXPORTER_OTLP_HEADERS: a part is no `name=value`; passed over"
                );
            }
            header
        });
        read.collect()
    }
}

fn word(env: Env<'_>, name: &str) -> Option<String> {
    env(name).filter(|word| !word.trim().is_empty())
}

fn number(env: Env<'_>, name: &str) -> Option<u64> {
    let word = word(env, name)?;
    let number = word.trim().parse();
    number
        .map_err(|_| tracing::warn!("{name}: `{word}` is no number; passed over"))
        .ok()
}

fn letters(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "LOGS",
        Signal::Metrics => "METRICS",
        Signal::Traces => "TRACES",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(variables: &[(&str, &str)]) -> Vec<OtlpTarget> {
        let env = |name: &str| {
            let mut found = variables.iter().filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        let settings = exporters(&env).into_iter();
        let targets = settings.map(|setting| match setting.target {
            Target::Otlp(target) => target,
            other => panic!("{other:?}"),
        });
        targets.collect()
    }

    fn urls(variables: &[(&str, &str)]) -> Vec<String> {
        let made = made(variables).into_iter();
        made.map(|target| target.remote.url).collect()
    }

    #[test]
    fn what_is_out_of_range_is_the_nearest_there_is_and_words_have_any_case() {
        let of = |name: &'static str, value: &'static str| {
            let made = made(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/a/?tenant=7"),
                ("OTEL_LOGS_EXPORTER", "OTLP"),
                ("OTEL_METRICS_EXPORTER", "None"),
                (name, value),
            ]);
            made.into_iter().next().unwrap().remote
        };
        let (least, most) = limits::EXPORT_TIMEOUT.into_inner();
        let timeout = |value| of("OTEL_EXPORTER_OTLP_TIMEOUT", value).timeout;
        assert_eq!(timeout("0"), most, "no limit");
        assert_eq!(timeout("1"), least);
        assert_eq!(timeout("99999999"), most);
        assert_eq!(timeout("2000"), Duration::from_secs(2));
        let events = |value| of("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", value).max_events;
        assert_eq!(["0", "7", "soon"].map(events), [512, 7, 512]);
        let compression = of("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP").compression;
        assert_eq!(compression, Compression::Gzip);
        assert_eq!(of("X", "").url, "http://c:4318/a/v1/logs?tenant=7");
    }

    #[test]
    fn endpoints_are_found_as_the_specification_says() {
        assert!(urls(&[]).is_empty());
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        assert_eq!(
            urls(&[general]),
            ["http://c:4318/v1/logs", "http://c:4318/v1/metrics"]
        );
        assert_eq!(
            urls(&[
                general,
                ("OTEL_METRICS_EXPORTER", "none"),
                ("OTEL_TRACES_EXPORTER", "otlp")
            ]),
            ["http://c:4318/v1/logs", "http://c:4318/v1/traces"]
        );
        assert_eq!(
            urls(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:1/x")]),
            ["http://t:1/x"]
        );
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert_eq!(
            urls(&[("OTEL_LOGS_EXPORTER", "otlp"), grpc]),
            ["http://localhost:4317"]
        );
        let bare = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "c:4317");
        assert_eq!(urls(&[bare, grpc]), ["https://c:4317"]);
        assert_eq!(
            urls(&[bare, grpc, ("OTEL_EXPORTER_OTLP_INSECURE", "true")]),
            ["http://c:4317"]
        );
        // Of no use, and told.
        assert!(urls(&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "nowhere")]).is_empty());
    }

    #[test]
    fn a_signals_own_variables_win_and_odd_values_are_passed_over() {
        let made = made(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1,%20,x-b=two%20words"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-c=3"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "brotli"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ]);
        let [logs, metrics] = &made[..] else {
            panic!("{made:?}");
        };
        let headers = [("x-a", "1"), ("x-b", "two words")];
        assert_eq!(
            logs.remote.headers,
            headers.map(|(name, value)| (name.into(), value.into()))
        );
        assert_eq!(metrics.remote.headers, [("x-c".into(), "3".into())]);
        assert_eq!(logs.remote.timeout, Duration::from_millis(250));
        assert_eq!(metrics.remote.timeout, Duration::from_secs(10));
        assert_eq!(logs.remote.compression, Compression::Gzip);
        assert_eq!(metrics.remote.compression, Compression::None);
        assert_eq!(logs.remote.outgoing.ca, [PathBuf::from("/ca.pem")]);
        assert_eq!(logs.remote.interval, Duration::from_millis(20));
        assert_eq!(metrics.remote.interval, Duration::from_millis(500));
        assert_eq!(
            (logs.remote.max_events, logs.protocol),
            (512, Protocol::Http)
        );
    }
}
