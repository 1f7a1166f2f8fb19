//! What may be in names and labels.

use crate::config::names;

fn check(parse: fn(&str) -> Result<String, String>, input: &str, expect: Result<(), &str>) {
    match (parse(input), expect) {
        (Ok(is), Ok(())) => assert_eq!(is, input),
        (Err(is), Err(part)) => assert!(is.contains(part), "{input}: {is}"),
        (is, wanted) => panic!("{input}: {is:?}, not {wanted:?}"),
    }
}

#[test]
fn a_node_has_a_name_without_a_slash() {
    for right in ["a", "Web-1", "web_1.example", &"x".repeat(253)] {
        check(names::node, right, Ok(()));
    }
    for wrong in ["", "a/b", "-a", "a.", "a b", "nöde", &"x".repeat(254)] {
        check(names::node, wrong, Err("use 1 to 253 letters"));
    }
}

#[test]
fn a_cluster_or_namespace_is_at_most_63_long() {
    check(names::group, &"x".repeat(63), Ok(()));
    check(names::group, &"x".repeat(64), Err("use 1 to 63 letters"));
}

#[test]
fn a_peer_is_a_node_or_a_node_of_a_cluster() {
    check(names::peer, "node", Ok(()));
    check(names::peer, "cluster/node", Ok(()));
    for wrong in ["", "/node", "cluster/", "a/b/c"] {
        check(names::peer, wrong, Err("named `node` or `cluster/node`"));
    }
}

#[test]
fn an_endpoint_may_be_named_by_others() {
    for right in ["web-1", "getty@tty1.service", "drucker-büro", "a,b"] {
        check(names::free, right, Ok(()));
    }
    for wrong in ["", "a/b", "a b", "a\tb", "a\0", &"x".repeat(254)] {
        check(names::free, wrong, Err("without spaces and `/`"));
    }
}

#[test]
fn a_label_of_an_endpoint_has_a_key_a_value_and_perhaps_a_source() {
    let check = |input: &str, expect| check(names::endpoint_label, input, expect);
    for right in [
        "app=web",
        "k8s:app=web",
        "app=",
        "app.kubernetes.io/name=a_b.c-d",
    ] {
        check(right, Ok(()));
    }
    check("app", Err("has no `=`; write `key=value`"));
    check("=web", Err("no valid key"));
    check("a/b/c=d", Err("no valid key"));
    check("/b=d", Err("no valid key"));
    check(":app=web", Err("no valid source"));
    check("k8s:=web", Err("no valid key"));
    check("a:b:c=d", Err("no valid key"));
    check("app=a,b", Err("no valid value"));
    check("app=a=b", Err("no valid value"));
    check("app=a b", Err("no valid value"));
    check("reserved:world=", Err("Sextant's own labels"));
    check(&format!("{}={}", "k".repeat(63), "v".repeat(63)), Ok(()));
    check(&format!("{}=v", "k".repeat(64)), Err("no valid key"));
    check(&format!("k={}", "v".repeat(64)), Err("no valid value"));
}

#[test]
fn a_label_of_a_node_has_no_source() {
    check(names::node_label, "kubernetes.io/arch=amd64", Ok(()));
    check(names::node_label, "k8s:zone=a", Err("write `key=value`"));
}

#[test]
fn a_node_has_a_name_that_filters_can_match() {
    use crate::config::names::node_of_host;
    for (host, node) in [
        ("moseisley", "moseisley"),
        ("Web_01.Example.COM", "web-01.example.com"),
        ("_a_", "a"),
        ("é", "localhost"),
        ("", "localhost"),
    ] {
        assert_eq!(node_of_host(host), node);
        assert_eq!(node_of_host(node), node);
    }
}
