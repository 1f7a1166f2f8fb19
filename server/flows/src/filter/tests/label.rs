use sextant_proto::flow as pb;

use super::{check, check_refused, texts};

fn on_labels(selector: &str, labels: &[&str], wanted: bool) {
    check(
        pb::FlowFilter {
            source_label: texts(&[selector]),
            ..Default::default()
        },
        pb::Flow {
            source: Some(pb::Endpoint {
                labels: texts(labels),
                ..Default::default()
            }),
            ..Default::default()
        },
        wanted,
    );
}

#[test]
fn selectors_follow_the_grammar_of_kubernetes() {
    let labels = ["k8s:app=web", "k8s:n=5", "k8s:io.x/tier=a"];
    for (selector, wanted) in [
        ("", true),
        ("app", true),
        ("!app", false),
        ("app=web", true),
        ("app == web", true),
        ("app!=web", false),
        ("other!=web", true),
        ("app in (web, db)", true),
        ("app in (,)", false),
        ("app notin (web)", false),
        ("other notin (web)", true),
        ("app=web,n", true),
        ("app=web, !n", false),
        ("n>4", true),
        ("n<5", false),
        ("app>4", false),
        ("io.x/tier=a", true),
        ("app=", false),
    ] {
        on_labels(selector, &labels, wanted);
    }
}

#[test]
fn sources_follow_cilium() {
    for (selector, label, wanted) in [
        ("app", "k8s:app=x", true),
        ("any:app", "k8s:app=x", true),
        ("k8s:app", "k8s:app=x", true),
        ("k8s:app", "container:app=x", false),
        ("k8s:app", "app=x", false),
        ("unspec:app", "app=x", true),
        ("app", "any:app=x", true),
        ("k8s:app", "any:app=x", false),
        ("reserved:world", "reserved:world", true),
        ("reserved:host", "$host", true),
        ("cidr:10.0.0.0/8", "cidr:10.1.0.0/16", true),
        ("cidr:10.1.0.0/16", "cidr:10.0.0.0/8", false),
        ("cidr:2001-db8--0/32", "cidr:2001-db8--1/128", true),
    ] {
        on_labels(selector, &[label], wanted);
    }
}

#[test]
fn the_first_of_equal_keys_counts() {
    on_labels("app=a", &["x:app=a", "k8s:app=b"], true);
    on_labels("app=b", &["x:app=a", "k8s:app=b"], false);
    on_labels("k8s:app=b", &["x:app=a", "k8s:app=b"], true);
}

#[test]
fn a_missing_endpoint_has_no_labels() {
    let filter = |selector| pb::FlowFilter {
        destination_label: texts(&[selector]),
        ..Default::default()
    };
    check(filter("!app"), pb::Flow::default(), true);
    check(filter("app"), pb::Flow::default(), false);
}

#[test]
fn mistakes_are_reported_in_the_words_of_kubernetes() {
    const NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and \
        must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
        '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    for (selector, reason) in [
        ("a,", "found '', expected: identifier after ','"),
        (
            "a b",
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            "a in b",
            "unable to parse requirement: found 'b' expected: '('",
        ),
        (
            "a in (b",
            "unable to parse requirement: found '', expected: ',' or ')'",
        ),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        (
            "a=(",
            "unable to parse requirement: found '(', expected: identifier",
        ),
        (
            "=b",
            &format!("unable to parse requirement: <nil>: Invalid value: \"any.\": {NAME}"),
        ),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' \
             operators, the value must be an integer",
        ),
    ] {
        let filter = pb::FlowFilter {
            source_label: texts(&[selector]),
            ..Default::default()
        };
        check_refused(filter, &format!("invalid source label filter: {reason}"));
    }
}
