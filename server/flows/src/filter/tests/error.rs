use sextant_proto::flow as pb;

use super::{check_refused, texts};
use crate::filter::Filters;

type Set = fn(&mut pb::FlowFilter) -> &mut Vec<String>;

const TABLE: &[(Set, &str, &str)] = &[
    (
        |f| &mut f.protocol,
        "kafka",
        r#"invalid protocol filter: unknown protocol: "kafka""#,
    ),
    (
        |f| &mut f.source_ip,
        "x",
        r#"invalid IP address "x" in filter: ParseAddr("x"): unable to parse IP"#,
    ),
    (
        |f| &mut f.destination_ip,
        "1.2.3.x",
        r#"invalid IP address "1.2.3.x" in filter: ParseAddr("1.2.3.x"): unexpected character (at "x")"#,
    ),
    (
        |f| &mut f.source_ip_xlated,
        "10.0.0.0/33",
        r#"invalid IP prefix "10.0.0.0/33" in filter: netip.ParsePrefix("10.0.0.0/33"): prefix length out of range"#,
    ),
    (
        |f| &mut f.source_ip,
        "::x/8",
        r#"invalid IP prefix "::x/8" in filter: netip.ParsePrefix("::x/8"): ParseAddr("::x"): each colon-separated field must have at least one digit (at "x")"#,
    ),
    (
        |f| &mut f.source_pod,
        "",
        "invalid filter, name must not be empty",
    ),
    (
        |f| &mut f.destination_service,
        "",
        "invalid destination service filter: invalid filter, name must not be empty",
    ),
    (
        |f| &mut f.source_cluster_name,
        "",
        "invalid filter, name must not be empty",
    ),
    (|f| &mut f.source_fqdn, " . ", "empty pattern"),
    (
        |f| &mut f.source_fqdn,
        "a..",
        "multiple trailing dots in pattern",
    ),
    (
        |f| &mut f.destination_fqdn,
        "a!",
        "'!': invalid rune in pattern",
    ),
    (|f| &mut f.node_name, "a/b/c", "too many slashes in pattern"),
    (
        |f| &mut f.dns_query,
        "(",
        "invalid DNS query filter: failed to compile regexp: error parsing regexp: missing closing ): `(`",
    ),
    (
        |f| &mut f.http_path,
        "(",
        "invalid http path filter: (: error parsing regexp: missing closing ): `(`",
    ),
    (
        |f| &mut f.http_url,
        "a**",
        "invalid http url filter: a**: error parsing regexp: invalid nested repetition operator: `**`",
    ),
    (
        |f| &mut f.http_status_code,
        "600",
        r#"invalid http status code filter: invalid status code prefix: "600""#,
    ),
    (
        |f| &mut f.source_port,
        "+80",
        r#"invalid source port filter: invalid port "+80": strconv.ParseUint: parsing "+80": invalid syntax"#,
    ),
    (
        |f| &mut f.destination_port,
        "99999x",
        r#"invalid destination port filter: invalid port "99999x": strconv.ParseUint: parsing "99999x": value out of range"#,
    ),
    (
        |f| &mut f.node_labels,
        "a b",
        "invalid node label filter: unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    ),
];

#[test]
fn texts_are_those_of_hubble() {
    for (set, value, text) in TABLE {
        let mut filter = pb::FlowFilter::default();
        *set(&mut filter) = texts(&[value]);
        check_refused(filter, text);
    }
}

#[test]
fn http_filters_need_l7_events() {
    let filter = |kind| pb::FlowFilter {
        http_method: texts(&["GET"]),
        event_type: vec![pb::EventTypeFilter {
            r#type: kind,
            ..Default::default()
        }],
        ..Default::default()
    };
    let text = "filtering by http method requires the event type filter to only match 'l7' events";
    check_refused(filter(0), text);
    assert!(Filters::compile(&[filter(129)], &[]).is_ok());
}

#[test]
fn the_first_mistake_in_order_is_reported() {
    let mut first = pb::FlowFilter {
        node_name: texts(&[""]),
        source_port: texts(&["x"]),
        ..Default::default()
    };
    let second = pb::FlowFilter {
        protocol: texts(&["x"]),
        ..Default::default()
    };
    let refuse = |white: &[pb::FlowFilter], black: &[pb::FlowFilter]| {
        Filters::compile(white, black)
            .expect_err("invalid")
            .to_string()
    };
    let port = r#"invalid source port filter: invalid port "x": strconv.ParseUint: parsing "x": invalid syntax"#;
    assert_eq!(
        refuse(&[first.clone()], std::slice::from_ref(&second)),
        port
    );
    assert_eq!(refuse(&[first.clone(), second.clone()], &[]), port);
    first.source_port.clear();
    assert_eq!(refuse(&[first], &[second]), "empty pattern");
}
