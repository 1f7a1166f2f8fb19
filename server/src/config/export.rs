//! `[export]`, `[[export.file]]`, `[[export.http]]` and `[[export.otlp]]`: exporters, with
//! Hubble's options of what goes out.

use std::time::Duration;

use super::{
    Outgoing,
    draft::set,
    limits,
    remote::remote,
    section::Section,
    values::{Parsed, choice, optional_path},
};
use crate::{
    export::{
        Aggregation, Exports, FileTarget, HttpFormat, HttpTarget, OtlpTarget, Protocol, Remote,
        Selected, Setting, Signal, SpansOf, SpoolSetting, Target, check, filters, name, target,
    },
    mask::Mask,
};

/// Metrics are sent each, unless another is given; as OpenTelemetry has it.
const METRICS_INTERVAL: Duration = Duration::from_secs(60);

/// All exporters.
pub(super) fn export(top: &mut Section<'_>, outgoing: &Outgoing) -> Exports {
    let Some(mut section) = top.section("export") else {
        return Exports::default();
    };
    let files = section.sections("file").into_iter();
    let mut given: Vec<_> = files.filter_map(file).collect();
    let servers = section.sections("http").into_iter();
    given.extend(servers.filter_map(|section| http(section, outgoing)));
    for collector in section.sections("otlp") {
        given.extend(otlp(collector, outgoing).into_iter().flatten());
    }
    if let Err(error) = check(&given) {
        section.wrong(format!("does not fit: {error}"));
    }
    let flow_logs = section.item("flow_logs").text(optional_path);
    section.finish();
    Exports {
        given,
        flow_logs: flow_logs.flatten(),
    }
}

fn file(mut section: Section<'_>) -> Option<Setting> {
    let path = section.required("path").text(target);
    let name = section.item("name").text(name);
    let selected = aggregated(&mut section);
    let max_mb = section.item("max_size_mb").number(limits::EXPORT_MB);
    let max_backups = section.item("max_backups").number(limits::EXPORT_BACKUPS);
    let compress = section.item("compress").switch();
    section.finish();
    let path = path?;
    let name = name.unwrap_or_else(|| path.to_string_lossy().into_owned());
    let mut file = FileTarget::new(path);
    set(&mut file.max_bytes, max_mb.map(|mb| mb << 20));
    set(&mut file.max_backups, max_backups);
    set(&mut file.compress, compress);
    Some(Setting {
        selected,
        ..Setting::file(name, file)
    })
}

fn http(mut section: Section<'_>, outgoing: &Outgoing) -> Option<Setting> {
    let name = section.item("name").text(name);
    let selected = aggregated(&mut section);
    let formats = [("ndjson", HttpFormat::Lines), ("array", HttpFormat::Array)];
    let format = section.item("format").text(|text| choice(text, &formats));
    let remote = remote(&mut section, "url", outgoing);
    section.finish();
    let remote = remote?;
    Some(Setting {
        name: name.unwrap_or_else(|| remote.shown()),
        selected,
        target: Target::Http(HttpTarget {
            remote,
            format: format.unwrap_or(HttpFormat::Lines),
        }),
    })
}

/// One for each signal.
fn otlp(mut section: Section<'_>, outgoing: &Outgoing) -> Option<Vec<Setting>> {
    let name = section.item("name").text(name);
    let selected = aggregated(&mut section);
    let protocols = [("grpc", Protocol::Grpc), ("http", Protocol::Http)];
    let protocol = section
        .item("protocol")
        .text(|text| choice(text, &protocols));
    let protocol = protocol.unwrap_or(Protocol::Grpc);
    let signals = [
        ("logs", Signal::Logs),
        ("metrics", Signal::Metrics),
        ("traces", Signal::Traces),
    ];
    let signals = section.item("signals").texts(|text| choice(text, &signals));
    let mut signals = signals.unwrap_or_else(|| vec![Signal::Logs, Signal::Metrics]);
    signals.sort_unstable();
    signals.dedup();
    let spans = spans(&mut section, signals.contains(&Signal::Traces));
    if !selected.aggregation.fields.is_empty() && !signals.contains(&Signal::Logs) {
        section.wrong("has `field_aggregate`, but no \"logs\" among its `signals`".into());
    }
    let every = section
        .item("metrics_interval")
        .duration(limits::EXPORT_METRICS)
        .unwrap_or(METRICS_INTERVAL);
    let resource = section
        .item("resource")
        .labels(attribute)
        .unwrap_or_default();
    let remote = remote(&mut section, "endpoint", outgoing);
    if protocol == Protocol::Http
        && remote
            .as_ref()
            .is_some_and(|remote| remote.url.contains('?'))
    {
        section.wrong(
            "has a query in `endpoint`, behind which no path of a signal fits; use `headers`"
                .into(),
        );
    }
    section.finish();
    let remote = remote?;
    let name = name.unwrap_or_else(|| remote.shown());
    let setting = |signal: Signal| Setting {
        name: format!("{name}/{}", signal.name()),
        selected: of_signal(&selected, signal),
        target: Target::Otlp(OtlpTarget {
            remote: Remote {
                url: signal_url(&remote.url, protocol, signal),
                interval: match signal {
                    Signal::Metrics => every,
                    _ => remote.interval,
                },
                spool: signal_spool(remote.spool.as_ref(), signal),
                ..remote.clone()
            },
            protocol,
            signal,
            spans,
            resource: pairs(&resource),
        }),
    };
    Some(signals.into_iter().map(setting).collect())
}

/// What there are spans of.
fn spans(section: &mut Section<'_>, has_traces: bool) -> SpansOf {
    let kinds = [("connections", true), ("daemon", false)];
    let kinds = section.item("spans").texts(|text| choice(text, &kinds));
    match kinds {
        None => SpansOf::default(),
        Some(_) if !has_traces => {
            section.wrong("has `spans`, but no \"traces\" among its `signals`".into());
            SpansOf::default()
        }
        Some(kinds) if kinds.is_empty() => {
            section.wrong(
                "has `spans` of nothing; say \"connections\", \"daemon\" or both, or leave out \"traces\" in `signals`"
                    .into(),
            );
            SpansOf::default()
        }
        Some(kinds) => SpansOf {
            connections: kinds.contains(&true),
            daemon: kinds.contains(&false),
        },
    }
}

/// Logs alone are counted in groups.
fn of_signal(selected: &Selected, signal: Signal) -> Selected {
    let mut selected = selected.clone();
    if signal != Signal::Logs {
        selected.aggregation = Aggregation::default();
    }
    selected
}

/// By HTTP a signal has a path below that of the collector.
fn signal_url(url: &str, protocol: Protocol, signal: Signal) -> String {
    match protocol {
        Protocol::Grpc => url.to_owned(),
        Protocol::Http => format!("{}/v1/{}", url.trim_end_matches('/'), signal.name()),
    }
}

/// Below the folder that is given each signal has one; metrics are totals and never wait.
fn signal_spool(spool: Option<&SpoolSetting>, signal: Signal) -> Option<SpoolSetting> {
    let of_signal = |spool: &SpoolSetting| SpoolSetting {
        directory: spool.directory.join(signal.name()),
        max_bytes: spool.max_bytes,
    };
    spool.filter(|_| signal != Signal::Metrics).map(of_signal)
}

/// `key=value` of a resource.
fn attribute(text: &str) -> Parsed<String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() && !text.chars().any(char::is_control) => Ok(text.into()),
        _ => Err(format!("`{text}` is no attribute; write it as `key=value`")),
    }
}

fn pairs(attributes: &[String]) -> Vec<(String, String)> {
    let pairs = attributes.iter().filter_map(|text| text.split_once('='));
    pairs
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// Of those that may write one event for many flows.
fn aggregated(section: &mut Section<'_>) -> Selected {
    Selected {
        aggregation: aggregation(section),
        ..selected(section)
    }
}

fn selected(section: &mut Section<'_>) -> Selected {
    let mut list = |key| {
        let filters = |text: &str| filters(text).map_err(|error| error.to_string());
        let lists = section.item(key).texts(filters).unwrap_or_default();
        lists.into_iter().flatten().collect()
    };
    Selected {
        allow: list("allow"),
        deny: list("deny"),
        field_mask: section.item("field_mask").texts(field).unwrap_or_default(),
        end: None,
        aggregation: Aggregation::default(),
    }
}

/// Which flows are one line.
fn aggregation(section: &mut Section<'_>) -> Aggregation {
    let fields = section.item("field_aggregate").texts(field);
    let interval = section
        .item("aggregation_interval")
        .duration(limits::EXPORT_AGGREGATION);
    let fields = fields.unwrap_or_default();
    match (fields.is_empty(), interval) {
        (false, None) => section.wrong(
            "has `field_aggregate` and no `aggregation_interval`; say how often, such as `\"30s\"`"
                .into(),
        ),
        (true, Some(_)) => section.wrong(
            "has `aggregation_interval` and no `field_aggregate`; say which fields are equal"
                .into(),
        ),
        _ => {}
    }
    Aggregation {
        fields,
        interval: interval.unwrap_or_default(),
    }
}

fn field(text: &str) -> Parsed<String> {
    match Mask::compile(&[text.to_owned()]) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "`{text}` is no field of flow.Flow; write for example `source.pod_name`"
        )),
    }
}
