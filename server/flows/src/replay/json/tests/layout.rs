//! Flows however they are laid out, and in logs.

use std::time::Duration;

use super::*;

/// The ids of the flows that a text gives; nothing of it may be rejected.
fn uuids(text: &str) -> Vec<String> {
    let (report, events) = load_text(text);
    assert_eq!(report.rejected, 0, "{text}: {:?}", report.problems);
    let flows = events
        .iter()
        .map(|event| proto::to_proto(event.as_flow().unwrap()));
    flows.map(|flow| flow.uuid).collect()
}

fn line(uuid: &str) -> String {
    format!(
        r#"{{"flow":{{"uuid":"{uuid}","verdict":"FORWARDED","Summary":"a {{b}} \"c\""}},"node_name":"n"}}"#
    )
}

#[test]
fn flows_are_found_however_they_are_laid_out() {
    let [a, b, c] = ["a", "b", "c"].map(line);
    let pretty = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    let list: Vec<serde_json::Value> = [&a, &b, &c]
        .map(|line| serde_json::from_str(line).unwrap())
        .into();
    for text in [
        format!("{a}\n{b}\n{c}"),
        format!("{a}{b} {c}"),
        format!("{a},{b},\n{c},"),
        format!("{}\n{}{}", pretty(&a), pretty(&b), pretty(&c)),
        format!("[{a},{b},{c}]"),
        format!("[\n  {a},\n  {b},\n  {c}\n]\n"),
        serde_json::to_string_pretty(&list).unwrap(),
        format!("\u{feff}{a}\r\n{b}\r\n\r\n{c}\r\n"),
        format!("[{a}]\n[{b},{c}]"),
    ] {
        assert_eq!(uuids(&text), ["a", "b", "c"], "{text}");
    }
    let bare = r#"{"uuid":"a","verdict":"FORWARDED"}"#;
    assert_eq!(uuids(&format!("[{bare},\n{}]", pretty(bare))), ["a", "a"]);
}

#[test]
fn flows_are_found_in_the_output_of_log_collectors() {
    let a = line("a");
    let quoted = serde_json::to_string(&a).unwrap();
    let ended = serde_json::to_string(&format!("{a}\n")).unwrap();
    let (begin, end) = a.split_at(40);
    let quote = |text: &str| serde_json::to_string(text).unwrap();
    let time = "2026-01-02T03:04:05.678901234Z";
    for text in [
        format!("{time} stdout F {a}"),
        format!("{time} stdout P {begin}\n{time} stderr F {a}\n{time} stdout F {end}"),
        format!("time={time} level=info msg={quoted} subsys=exporter"),
        format!("hubble-export-1  | {a}"),
        format!("[pod/cilium-x/cilium-agent] {a}"),
        format!("Jan  2 03:04:05 host hubble[7]: {a}"),
        format!("{{pod=\"x\"}} {a}"),
        format!("{{\"log\":{ended},\"stream\":\"stdout\",\"time\":\"{time}\"}}"),
        format!(
            "{{\"log\":{},\"stream\":\"stdout\"}}\n{{\"log\":{},\"stream\":\"stdout\"}}",
            quote(begin),
            quote(&format!("{end}\n"))
        ),
        format!(
            "{{\"@timestamp\":\"{time}\",\"message\":{quoted},\"log\":{{\"offset\":7}},\"source\":\"/var/log/x\"}}"
        ),
        format!(
            "{{\"@timestamp\":\"{time}\",\"message\":{quoted},\"source\":{{\"address\":\"10.0.0.1\"}}}}"
        ),
        format!(
            "{{\"log\":{},\"kubernetes\":{{}}}}",
            quote(&format!("{time} stdout F {a}"))
        ),
        format!("{{\"MESSAGE\":{quoted},\"_HOSTNAME\":\"h\"}}"),
        format!("{{\"_source\":{{\"message\":{quoted}}}}}"),
        format!("{{\"jsonPayload\":{a}}}"),
        format!("{{\"flows\":[{a},{a}]}}"),
        format!("{{\"hits\":{{\"hits\":[{{\"_source\":{{\"message\":{quoted}}}}}]}}}}"),
        format!("{{\"streams\":[{{\"stream\":{{}},\"values\":[[\"1\",{quoted}]]}}]}}"),
        format!("{{\"result\":{a}}}"),
    ] {
        let found = uuids(&text);
        assert!(
            !found.is_empty() && found.iter().all(|uuid| uuid == "a"),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn what_is_no_flow_in_a_log_is_told_by_its_line() {
    let a = line("a");
    let (begin, _) = a.split_at(40);
    for (text, numbers) in [
        (format!("starting\n{a}\nstopped {{1}}\n"), vec![1, 3]),
        (
            format!("{a}\n{begin}\n{a}\n{{\n \"flow\": {{\n{a}"),
            vec![2, 4, 5],
        ),
        (
            format!("{a}\n{{\"log\":\"started\",\"stream\":\"stdout\"}}\n{a}"),
            vec![2],
        ),
        (format!("[\n{a},\n\"x\",\n{a}]"), vec![3]),
        (
            format!("{a}\n2026-01-02T03:04:05Z stdout P {begin}\n"),
            vec![3],
        ),
    ] {
        let (report, events) = load_text(&text);
        let problems: Vec<u64> = report
            .problems
            .iter()
            .map(|problem| problem.number)
            .collect();
        assert_eq!(problems, numbers, "{text}: {:?}", report.problems);
        let flows = text.matches(&a).count();
        assert_eq!(events.len(), flows, "{text}");
    }
}

#[test]
fn a_line_of_many_flows_costs_no_more_than_its_length() {
    let many = format!("[{}]", vec![line("a"); 50_000].join(","));
    let began = crate::cost::spent();
    assert_eq!(uuids(&many).len(), 50_000);
    // A search of the whole line for each takes minutes.
    assert!(crate::cost::spent() - began < Duration::from_secs(30));
}
