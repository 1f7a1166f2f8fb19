use sextant_proto::flow as pb;

use super::{check, texts};

#[test]
fn pods_are_matched_by_namespace_and_prefix() {
    for (pattern, namespace, pod, wanted) in [
        ("web", "default", "web-1", true),
        ("web", "other", "web-1", false),
        ("other/web", "other", "web-1", true),
        ("other/", "other", "", true),
        ("/web", "any", "web", true),
        ("/", "any", "", true),
        ("/", "", "", false),
        ("a/b/c", "a", "bx", true),
        ("default/eb", "default", "web", false),
    ] {
        check(
            pb::FlowFilter {
                destination_pod: texts(&[pattern]),
                ..Default::default()
            },
            pb::Flow {
                destination: Some(pb::Endpoint {
                    namespace: namespace.into(),
                    pod_name: pod.into(),
                    ..Default::default()
                }),
                ..Default::default()
            },
            wanted,
        );
    }
}

#[test]
fn dns_names_are_matched_by_globs() {
    for (pattern, name, wanted) in [
        ("a.example.com", "a.example.com", true),
        ("A.Example.COM.", "a.example.com", true),
        (" a.example.com ", "a.example.com", true),
        ("a.example.com", "A.example.com", false),
        ("a.example.com", "a.example.com.", false),
        ("*.example.com", "x.y.example.com", true),
        ("*.example.com", "x_y.example.com", false),
        ("*_*.com", "x_y.com", true),
        ("*", "", true),
        ("a*b*c", "abbbc", true),
        ("a*b*c", "abbb", false),
        ("aXc", "abc", false),
    ] {
        check(
            pb::FlowFilter {
                source_fqdn: texts(&[pattern]),
                ..Default::default()
            },
            pb::Flow {
                source_names: texts(&["other.test", name]),
                ..Default::default()
            },
            wanted,
        );
    }
}

#[test]
fn node_names_are_matched_with_their_cluster() {
    for (pattern, name, wanted) in [
        ("node-1", "node-1", true),
        ("node-1", "c1/node-1", true),
        ("default/node-1", "node-1", true),
        ("c1/node-1", "node-1", false),
        ("c1/", "c1/any", true),
        ("/", "c1/any", true),
        ("/", "c1/UPPER", true),
        ("Db_*", "db_1", true),
        ("db*", "DB_1", true),
        ("*", "C1/Db_1", true),
        ("c2/*", "C1/Db_1", false),
        ("*", "db 1", false),
        ("node-1", "a..b/node-1", false),
        ("node-1", "/node-1", false),
        ("*/*", "a/b/c", false),
        ("NODE-1", "node-1", true),
        ("*", "", false),
    ] {
        check(
            pb::FlowFilter {
                node_name: texts(&[pattern]),
                ..Default::default()
            },
            pb::Flow {
                node_name: name.into(),
                ..Default::default()
            },
            wanted,
        );
    }
}

#[test]
fn workloads_are_matched_by_name_and_kind() {
    let workload = |name: &str, kind: &str| pb::Workload {
        name: name.into(),
        kind: kind.into(),
    };
    for (wanted, has, matches) in [
        (workload("w", ""), workload("w", "Job"), true),
        (workload("", "Job"), workload("w", "Job"), true),
        (workload("w", "Pod"), workload("w", "Job"), false),
        (workload("", ""), workload("w", "Job"), true),
    ] {
        let filter = pb::FlowFilter {
            source_workload: vec![wanted],
            ..Default::default()
        };
        let source = pb::Endpoint {
            workloads: vec![has],
            ..Default::default()
        };
        let of = pb::Flow {
            source: Some(source),
            ..Default::default()
        };
        check(filter.clone(), of, matches);
        check(filter, pb::Flow::default(), false);
    }
}
