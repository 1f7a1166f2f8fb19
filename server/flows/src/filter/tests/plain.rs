use pb::{layer4::Protocol, layer7::Record};
use sextant_proto::flow as pb;

use super::{check, texts};

fn tcp(source_port: u32, flags: Option<pb::TcpFlags>) -> pb::Flow {
    pb::Flow {
        l4: Some(pb::Layer4 {
            protocol: Some(Protocol::Tcp(pb::Tcp {
                source_port,
                destination_port: 0,
                flags,
            })),
        }),
        ..Default::default()
    }
}

fn http(code: u32, method: &str, url: &str) -> pb::Flow {
    pb::Flow {
        l7: Some(pb::Layer7 {
            record: Some(Record::Http(pb::Http {
                code,
                method: method.into(),
                url: url.into(),
                ..Default::default()
            })),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn ports_are_compared_by_sixteen_bits() {
    for (wanted, port, matches) in [
        ("80", 80, true),
        ("0080", 80, true),
        ("80", 65616, true),
        ("81", 80, false),
    ] {
        let filter = pb::FlowFilter {
            source_port: texts(&[wanted]),
            ..Default::default()
        };
        check(filter.clone(), tcp(port, None), matches);
        check(filter, pb::Flow::default(), false);
    }
}

#[test]
fn tcp_flags_must_all_be_set() {
    let flags = |syn, ack| pb::TcpFlags {
        syn,
        ack,
        ..Default::default()
    };
    for (wanted, has, matches) in [
        (flags(true, false), Some(flags(true, true)), true),
        (flags(true, true), Some(flags(true, false)), false),
        (flags(false, false), Some(flags(false, false)), true),
        (flags(false, false), None, false),
    ] {
        let filter = pb::FlowFilter {
            tcp_flags: vec![wanted],
            ..Default::default()
        };
        check(filter, tcp(0, has), matches);
    }
}

#[test]
fn an_unknown_reply_counts_for_dropped_flows_only() {
    for (wanted, is_reply, verdict, matches) in [
        (false, Some(false), 1, true),
        (true, Some(false), 1, false),
        (false, None, 1, false),
        (false, None, 2, true),
        (true, None, 2, false),
    ] {
        let filter = pb::FlowFilter {
            reply: vec![wanted],
            ..Default::default()
        };
        let of = pb::Flow {
            is_reply,
            verdict,
            ..Default::default()
        };
        check(filter, of, matches);
    }
}

#[test]
fn status_codes_are_matched_whole_or_by_their_first_digits() {
    for (wanted, code, matches) in [
        ("404", 404, true),
        ("404", 405, false),
        ("4+", 404, true),
        ("40+", 404, true),
        ("41+", 404, false),
        ("5+", 5000, true),
        ("5+", 50, false),
        ("5+", 0, false),
    ] {
        let filter = pb::FlowFilter {
            http_status_code: texts(&[wanted]),
            ..Default::default()
        };
        check(filter, http(code, "", ""), matches);
    }
}

#[test]
fn methods_ignore_case() {
    for (wanted, method, matches) in [
        ("get", "GET", true),
        ("GET", "PUT", false),
        ("", "", false),
        ("LINK", "lin\u{212a}", true),
    ] {
        let filter = pb::FlowFilter {
            http_method: texts(&[wanted]),
            ..Default::default()
        };
        check(filter, http(200, method, ""), matches);
    }
}

#[test]
fn paths_are_those_of_valid_urls() {
    for (pattern, url, matches) in [
        ("^/a$", "http://h/a?b#c", true),
        ("^/a b$", "/a%20b", true),
        ("", "a", false),
        ("", "http://h/%zz", false),
        ("^$", "http://h", true),
        ("^$", "mailto:x", true),
        ("", "http://h:x/", false),
        ("", "http://[::1]:80/", true),
        ("", "http://[1.2.3.4]/", false),
        ("^//h/x$", "//h/x", true),
        ("", "/a\u{7f}", false),
        ("^/\u{fffd}$", "/%ff", true),
        ("", "", false),
    ] {
        let filter = pb::FlowFilter {
            http_path: texts(&[pattern]),
            ..Default::default()
        };
        check(filter, http(200, "GET", url), matches);
    }
}

#[test]
fn missing_ids_are_found_by_empty_values() {
    for filter in [
        pb::FlowFilter {
            uuid: texts(&[""]),
            ..Default::default()
        },
        pb::FlowFilter {
            trace_id: texts(&[""]),
            ..Default::default()
        },
        pb::FlowFilter {
            ip_trace_id: vec![0],
            ..Default::default()
        },
        pb::FlowFilter {
            ip_version: vec![0],
            ..Default::default()
        },
        pb::FlowFilter {
            encrypted: vec![false],
            ..Default::default()
        },
    ] {
        check(filter, pb::Flow::default(), true);
    }
}

#[test]
fn identity_needs_an_endpoint() {
    let filter = || pb::FlowFilter {
        source_identity: vec![0],
        ..Default::default()
    };
    let of = pb::Flow {
        source: Some(pb::Endpoint::default()),
        ..Default::default()
    };
    check(filter(), of, true);
    check(filter(), pb::Flow::default(), false);
}

#[test]
fn event_types_compare_the_sub_type_only_when_asked() {
    let wanted = |kind, sub_type: Option<i32>| pb::FlowFilter {
        event_type: vec![pb::EventTypeFilter {
            r#type: kind,
            match_sub_type: sub_type.is_some(),
            sub_type: sub_type.unwrap_or(7),
        }],
        ..Default::default()
    };
    let of = || pb::Flow {
        event_type: Some(pb::CiliumEventType {
            r#type: 4,
            sub_type: 3,
        }),
        ..Default::default()
    };
    check(wanted(4, None), of(), true);
    check(wanted(4, Some(3)), of(), true);
    check(wanted(4, Some(2)), of(), false);
    check(wanted(0, Some(3)), of(), true);
    check(wanted(0, None), pb::Flow::default(), false);
}

#[test]
fn a_flow_is_of_the_type_of_each_point_where_it_was_seen() {
    use crate::flow::{Counters, EventType, Flow, Interned, Point, Points};
    let at = |sub_type| Point {
        interface: Interned::default(),
        egress: false,
        sub_type,
    };
    let flow = |kind| Flow {
        event_type: Some(EventType { kind, sub_type: 5 }),
        counters: Some(Box::new(Counters {
            observation_points: Some(Points(vec![at(5), at(0)]).into()),
            ..Counters::default()
        })),
        ..Flow::default()
    };
    for (r#type, sub_type, kind, matches) in [
        (4, 5, 4, true),
        (4, 0, 4, true),
        (0, 0, 4, true),
        (4, 3, 4, false),
        // A drop is where it is.
        (1, 0, 1, false),
        (1, 5, 1, true),
        (1, 0, 4, false),
    ] {
        let wanted = pb::EventTypeFilter {
            r#type,
            match_sub_type: true,
            sub_type,
        };
        let filter = pb::FlowFilter {
            event_type: vec![wanted],
            ..Default::default()
        };
        let mut filters = crate::filter::Filters::compile(&[filter], &[]).unwrap();
        let is = filters.matches(&flow(kind)).unwrap();
        assert_eq!(is, matches, "{type}:{sub_type} of {kind}");
    }
}
