use sextant_proto::flow as pb;

use crate::{
    filter::Filters,
    flow::{Flow, Interners, proto::from_proto},
};

/// A forwarded TCP flow to port 80, with a reply flag and labels.
fn flow() -> Flow {
    let endpoint = |name: &str, labels: &[&str]| pb::Endpoint {
        namespace: "shop".into(),
        pod_name: name.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..pb::Endpoint::default()
    };
    let message = pb::Flow {
        time: Some(prost_types::Timestamp {
            seconds: 1_767_323_045,
            nanos: 0,
        }),
        verdict: pb::Verdict::Forwarded.into(),
        source: Some(endpoint("client-1", &["k8s:app=client"])),
        destination: Some(endpoint("web-1", &["k8s:app=web", "k8s:tier=front"])),
        l4: Some(pb::Layer4 {
            protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
                source_port: 4000,
                destination_port: 80,
                flags: None,
            })),
        }),
        is_reply: Some(false),
        ..pb::Flow::default()
    };
    from_proto(message, &mut Interners::default())
}

fn filters(expressions: &[&str]) -> Result<Filters, String> {
    let filter = pb::FlowFilter {
        experimental: Some(pb::flow_filter::Experimental {
            cel_expression: expressions.iter().map(|text| (*text).to_owned()).collect(),
        }),
        ..pb::FlowFilter::default()
    };
    Filters::compile(&[filter], &[]).map_err(|error| error.to_string())
}

#[test]
fn expressions_see_the_flow_as_the_message_it_is() {
    let check = |expression: &str, expected: bool| {
        let matched = filters(&[expression]).unwrap().matches(&flow()).unwrap();
        assert_eq!(matched, expected, "{expression}");
    };
    check("_flow.verdict == Verdict.FORWARDED", true);
    check("_flow.verdict == flow.Verdict.DROPPED", false);
    check("_flow.l4.TCP.destination_port == uint(80)", true);
    check("_flow.l4.TCP.destination_port == 80u", true);
    check("has(_flow.l4.UDP)", false);
    check("_flow.is_reply == false", true);
    check("_flow.is_reply == null", false);
    check("_flow.source.pod_name.startsWith('client')", true);
    check("_flow.source.pod_name.matches('^client-[0-9]$')", true);
    check(
        "_flow.destination.labels.exists(l, l == 'k8s:tier=front')",
        true,
    );
    check("_flow.destination.labels.all(l, l.contains('app'))", false);
    check("size(_flow.destination.labels) == 2", true);
    check("'k8s:app=web' in _flow.destination.labels", true);
    check("_flow.time > timestamp('2026-01-02T00:00:00Z')", true);
    check("_flow.time.getHours() == 3", true);
    check("1 / (size(_flow.source_names)) == 1", false);
    check("1 / 0 == 1 || _flow.verdict == Verdict.FORWARDED", true);
}

#[test]
fn a_failure_ends_the_alternatives() {
    let never_tried = ["1 / size(_flow.source_names) == 1", "true"];
    assert!(!filters(&never_tried).unwrap().matches(&flow()).unwrap());
    assert!(
        filters(&["false", "true"])
            .unwrap()
            .matches(&flow())
            .unwrap()
    );
}

#[test]
fn named_time_zones_are_those_of_the_system() {
    if !std::path::Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        println!("SKIPPED: no time zone database");
        return;
    }
    let matched = |expression| filters(&[expression]).unwrap().matches(&flow()).unwrap();
    assert!(matched("_flow.time.getHours('Europe/Berlin') == 4"));
    assert!(!matched("_flow.time.getHours('Europe/Nowhere') == 4"));
}

#[test]
fn mistakes_are_told_when_the_request_comes() {
    let check = |expression: &str, part: &str| {
        let error = filters(&[expression]).unwrap_err();
        assert!(
            error.starts_with("error compiling CEL expression: "),
            "{error}"
        );
        assert!(error.contains(part), "{error}");
    };
    check("1 + 1", r#"got "int", wanted "bool" result type"#);
    check("_flow.nothing == 1", "undefined field 'nothing'");
    check("_flow.verdict ==", "Syntax error");
    check("_flow.uuid == 1", "found no matching overload");
}

#[test]
fn nested_macros_are_compiled_in_the_time_of_their_length() {
    let levels = 40;
    let open = "[1].all(x, ".repeat(levels);
    let nested = format!("{open}true{}", ")".repeat(levels));
    // Accepted or refused as too deep; what counts is that it ends.
    let _ = filters(&[&nested]);
}
