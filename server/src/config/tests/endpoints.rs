//! Endpoints of the inventory: their names, places and labels.

use super::{check, read};
use crate::config::Config;

fn right(text: &str) -> Config {
    read(text).expect("no mistakes")
}

#[test]
fn an_endpoint_has_a_name_and_a_place() {
    let at = "[[endpoint]]\n";
    check(
        at,
        &[
            ("file:1: endpoint has no `name`", "add"),
            (
                "file:1: endpoint is nowhere",
                "`addresses`, `cidrs`, `interfaces`",
            ),
        ],
    );
    check(
        &format!("{at}name = 'a'\naddresses = []"),
        &[("file:1: endpoint is nowhere", "at least one")],
    );
    check(
        &format!("{at}name = 'a'\naddresses = ['x']"),
        &[("file:3: endpoint.addresses: `x`", "not an IP")],
    );
    for place in [
        "addresses = ['::1']",
        "cidrs = ['10.0.0.0/8']",
        "interfaces = ['v']",
    ] {
        assert_eq!(
            right(&format!("{at}name = 'a'\n{place}"))
                .identity
                .endpoints
                .len(),
            1
        );
    }
    check(
        &format!(
            "{at}name = 'a/b'\nnamespace = ''\nlabels = ['x']\ninterfaces = ['v*']\nworkload = {{ kind = 'Pod' }}"
        ),
        &[
            ("file:2: endpoint.name: `a/b`", "without spaces"),
            ("file:3: endpoint.namespace: ``", "use 1 to 63"),
            ("file:4: endpoint.labels: label `x`", "has no `=`"),
            ("file:5: endpoint.interfaces: `v*`", "wildcard"),
            ("file:6: endpoint.workload has no `name`", "add"),
        ],
    );
}

#[test]
fn an_address_belongs_to_one_endpoint() {
    let two = |first: &str, second: &str| format!("[[endpoint]]\n{first}\n[[endpoint]]\n{second}");
    let taken = |place: &str| {
        let text = two(
            &format!("name = 'a'\n{place}"),
            &format!("name = 'b'\n{place}"),
        );
        check(
            &text,
            &[(
                "file:6: endpoint.",
                "is in line 3 already; keep one of them",
            )],
        );
    };
    taken("addresses = ['10.0.0.1']");
    taken("cidrs = ['10.0.0.0/8']");
    taken("interfaces = ['veth1']");
    check(
        &two(
            "name = 'a'\naddresses = ['10.0.0.1']",
            "name = 'b'\naddresses = ['::ffff:10.0.0.1']",
        ),
        &[("file:6: endpoint.addresses: `10.0.0.1`", "line 3")],
    );
    let nested = two(
        "name = 'a'\ncidrs = ['10.0.0.0/8']",
        "name = 'b'\ncidrs = ['10.1.0.0/16']",
    );
    assert_eq!(right(&nested).identity.endpoints.len(), 2);
}

#[test]
fn a_name_is_there_once_in_its_namespace() {
    let two = |first: &str, second: &str| {
        format!(
            "[[endpoint]]\nname = 'a'\n{first}\naddresses = ['10.0.0.1']\n\
             [[endpoint]]\nname = 'a'\n{second}\naddresses = ['10.0.0.2']"
        )
    };
    assert_eq!(
        right(&two("namespace = 'x'", "namespace = 'y'"))
            .identity
            .endpoints
            .len(),
        2
    );
    assert_eq!(
        right(&two("namespace = 'x'", "")).identity.endpoints.len(),
        2
    );
    check(
        &two("", ""),
        &[("file:5: endpoint `a` is in line 1 already", "keep one")],
    );
    let same = two("namespace = 'x'", "namespace = 'x'");
    check(
        &same,
        &[("file:5: endpoint `x/a` is in line 1 already", "keep one")],
    );
}
