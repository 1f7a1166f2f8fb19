//! Metrics that the configuration makes up.

use super::{check, read};
use crate::metrics::custom::{CustomKind, Measured};

/// A section with these lines beside what each has.
fn metric(name: &str, lines: &str) -> String {
    format!("[[metrics.custom]]\nname = '{name}'\nhelp = 'H'\n{lines}\n")
}

#[test]
fn what_is_not_said_is_as_it_is_documented() {
    let config = read(&metric("shop_flows_total", "type = 'counter'")).expect("no mistakes");
    let [one] = &config.custom[..] else {
        panic!("{config:?}")
    };
    assert_eq!(one.name, "shop_flows");
    assert_eq!(one.full_name(), "shop_flows_total");
    assert_eq!(
        (one.kind, one.measured, one.max_series, one.idle.as_secs()),
        (CustomKind::Counter, Measured::Flows, 1000, 3600)
    );
    assert!(one.labels.is_empty() && one.buckets.is_empty());
    let config = read(&metric("sizes", "type = 'histogram'\nvalue = 'bytes'"));
    assert_eq!(config.expect("no mistakes").custom[0].buckets.len(), 10);
}

#[test]
fn labels_and_buckets_arrive() {
    let config = read(&metric(
        "d",
        "type = 'histogram'\nvalue = 'duration'\nbuckets = [1, 2.5, 0x10]\n\
         labels = { b = 'verdict', a = 'source.labels[k8s:app]' }",
    ));
    let custom = config.expect("no mistakes").custom;
    let names: Vec<_> = custom[0].labels.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(custom[0].buckets, [1.0, 2.5, 16.0]);
}

#[test]
fn each_mistake_is_told_with_its_place() {
    for (name, lines, place, told) in [
        (
            "9",
            "type = 'counter'",
            "file:2",
            "`9` is no name of a metric",
        ),
        ("a-b", "type = 'counter'", "file:2", "`a-b` is no name"),
        ("a:b", "type = 'counter'", "file:2", "`a:b` is no name"),
        (
            "hubble_drop",
            "type = 'counter'",
            "file:2",
            "begins with `hubble_`",
        ),
        (
            "sextant_x",
            "type = 'gauge'\nvalue = 'rtt'",
            "file:2",
            "begins with `sextant_`",
        ),
        (
            "x_sum",
            "type = 'gauge'\nvalue = 'rtt'",
            "file:2",
            "ends with `_sum`",
        ),
        (
            "x_total",
            "type = 'gauge'\nvalue = 'rtt'",
            "file:2",
            "ends with `_total`",
        ),
        (
            "x",
            "type = 'summary'",
            "file:4",
            "`counter`, `gauge` or `histogram`",
        ),
        (
            "x",
            "type = 'counter'\nvalue = 'rtt'",
            "file:1",
            "has no sum",
        ),
        ("x", "type = 'gauge'", "file:1", "write a counter"),
        (
            "x",
            "type = 'counter'\nbuckets = [1]",
            "file:1",
            "only a histogram",
        ),
        (
            "x",
            "type = 'histogram'\nvalue = 'rtt'\nbuckets = [2, 1]",
            "file:1",
            "not ascending",
        ),
        (
            "x",
            "type = 'histogram'\nvalue = 'rtt'\nbuckets = []",
            "file:6",
            "has 0 numbers",
        ),
        (
            "x",
            "type = 'histogram'\nvalue = 'rtt'\nbuckets = [inf]",
            "file:6",
            "a finite number",
        ),
        (
            "x",
            "type = 'histogram'\nvalue = 'rtt'\nlabels = { le = 'verdict' }",
            "file:1",
            "`le`",
        ),
        (
            "x",
            "type = 'counter'\nlabels = { __a = 'verdict' }",
            "file:5",
            "`__a` is no name of a label",
        ),
        (
            "x",
            "type = 'counter'\nlabels = { a = 'verdit' }",
            "file:5",
            "did you mean `verdict`?",
        ),
        (
            "x",
            "type = 'counter'\nlabels = { a = 'summary' }",
            "file:5",
            "no field that a label can tell",
        ),
        (
            "x",
            "type = 'counter'\nlabels = ['a']",
            "file:5",
            "a table of strings",
        ),
        (
            "x",
            "type = 'counter'\nallow = ['{\"protocl\":[]}']",
            "file:5",
            "protocl",
        ),
        (
            "x",
            "type = 'counter'\ndeny = ['{\"source_ip\":[\"1.2.3\"]}']",
            "file:5",
            "1.2.3",
        ),
        ("x", "type = 'counter'\nmax_series = 0", "file:5", "1 to"),
        ("x", "type = 'counter'\nidle = '10ms'", "file:5", "10ms"),
        (
            "x",
            "type = 'counter'\nfilters = []",
            "file:5",
            "unknown key `filters`",
        ),
    ] {
        check(&metric(name, lines), &[(place, told)]);
    }
    check(
        "[[metrics.custom]]\n",
        &[
            ("file:1", "no `type`"),
            ("file:1", "no `name`"),
            ("file:1", "no `help`"),
        ],
    );
}

#[test]
fn no_two_metrics_share_the_name_of_a_series() {
    for (first, second) in [("a", "a"), ("a_total", "a")] {
        let text = metric(first, "type = 'counter'") + &metric(second, "type = 'counter'");
        check(&text, &[("file:5", "`a` is the name of a series of two")]);
    }
    let text = metric("a", "type = 'counter'") + &metric("a", "type = 'gauge'\nvalue = 'bytes'");
    check(&text, &[("file:5", "`a` is the name")]);
    let many: String = (0..65)
        .map(|number| metric(&format!("m{number}"), "type = 'counter'"))
        .collect();
    check(&many, &[("file:257", "65 custom metrics, 64 at most")]);
}
