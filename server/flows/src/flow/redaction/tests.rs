use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::flow::{
    Interners,
    proto::{from_proto, to_proto},
};

fn hiding(what: &[Sensitive]) -> Redaction {
    what.iter().copied().collect()
}

fn redacted(flow: pb::Flow, what: &[Sensitive]) -> pb::Flow {
    let flow = from_proto(flow, &mut Interners::default());
    to_proto(&hiding(what).of(&flow).map_or(flow, |flow| *flow))
}

fn with_record(record: Record) -> pb::Flow {
    pb::Flow {
        l7: Some(pb::Layer7 {
            record: Some(record),
            ..pb::Layer7::default()
        }),
        ..pb::Flow::default()
    }
}

fn http(url: &str) -> pb::Flow {
    with_record(Record::Http(pb::Http {
        url: url.into(),
        headers: vec![pb::HttpHeader {
            key: ":path".into(),
            value: "/secret?key".into(),
        }],
        ..pb::Http::default()
    }))
}

fn url_of(flow: &pb::Flow) -> &str {
    match flow.l7.as_ref().and_then(|l7| l7.record.as_ref()) {
        Some(Record::Http(http)) => &http.url,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_part_of_a_url_is_hidden_by_its_name() {
    use Sensitive::{DnsNames, HttpHeaders, UrlPath, UrlQuery};
    let all = [UrlPath, UrlQuery, DnsNames].as_slice();
    for (url, what, expected) in [
        (
            "http://a.b:80/x/y?k=v#f",
            [UrlPath].as_slice(),
            "http://a.b:80/HUBBLE_REDACTED?k=v#f",
        ),
        (
            "http://a.b:80/x/y?k=v#f",
            &[UrlQuery],
            "http://a.b:80/x/y?HUBBLE_REDACTED",
        ),
        (
            "http://a.b/x#f?g",
            &[UrlQuery],
            "http://a.b/x#HUBBLE_REDACTED",
        ),
        (
            "http://a.b/x?k=http://c/d",
            &[UrlPath],
            "http://a.b/HUBBLE_REDACTED?k=http://c/d",
        ),
        (
            "http://me:pw@a.b/x",
            &[UrlQuery],
            "http://HUBBLE_REDACTED@a.b/x",
        ),
        (
            "http://a@b@c/x",
            &[HttpHeaders],
            "http://HUBBLE_REDACTED@c/x",
        ),
        ("http://a.b", all, "http://HUBBLE_REDACTED"),
        (
            "http://a.b?q",
            all,
            "http://HUBBLE_REDACTED?HUBBLE_REDACTED",
        ),
        (
            "http://a.b/x?q",
            all,
            "http://HUBBLE_REDACTED/HUBBLE_REDACTED?HUBBLE_REDACTED",
        ),
        ("/x/y?k=v", &[UrlPath], "/HUBBLE_REDACTED?k=v"),
        ("/x?k=http://a/b", &[UrlQuery], "/x?HUBBLE_REDACTED"),
        ("/x?k", &[DnsNames], "/x?k"),
        ("//a.b/x", &[DnsNames], "HUBBLE_REDACTED"),
        ("//a.b/x", &[UrlPath], "/HUBBLE_REDACTED"),
        ("a.b:443", &[DnsNames], "HUBBLE_REDACTED"),
        ("mailto:a@b", &[UrlPath], "HUBBLE_REDACTED"),
        ("*", &[UrlQuery], "*"),
        ("", all, ""),
        ("é?é", &[UrlQuery], "é?HUBBLE_REDACTED"),
    ] {
        assert_eq!(
            url_of(&redacted(http(url), what)),
            expected,
            "{url} {what:?}"
        );
    }
}

#[test]
fn names_that_dns_tells_are_gone_and_addresses_are_not() {
    let dns = with_record(Record::Dns(pb::Dns {
        query: "db.secret.example.".into(),
        ips: vec!["10.0.0.1".into()],
        cnames: vec!["x.secret.example.".into()],
        rcode: 3,
        ..pb::Dns::default()
    }));
    let flow = pb::Flow {
        source_names: vec!["a.secret.example".into()],
        destination_names: vec!["b.secret.example".into()],
        destination: Some(pb::Endpoint {
            labels: vec!["fqdn:secret.example".into(), "k8s:app=web".into()],
            pod_name: "web".into(),
            ..pb::Endpoint::default()
        }),
        ..dns
    };
    let kept = redacted(flow.clone(), &[Sensitive::UrlPath]);
    assert_eq!(kept, flow);
    let shown = redacted(flow, &[Sensitive::DnsNames]);
    let json = format!("{shown:?}");
    assert!(!json.contains("secret"), "{json}");
    assert!(
        json.contains("10.0.0.1") && json.contains("k8s:app=web"),
        "{json}"
    );
}

#[test]
fn text_that_could_repeat_what_is_hidden_is_left_out() {
    let flow = pb::Flow {
        extensions: Some(prost_types::Any {
            type_url: "type.googleapis.com/google.protobuf.Struct".into(),
            value: Vec::new(),
        }),
        ..http("/x")
    };
    #[expect(deprecated, reason = "Hubble UI reads Summary")]
    let flow = pb::Flow {
        summary: "HTTP/1.1 GET http://secret.example/secret".into(),
        ..flow
    };
    for what in Sensitive::ALL {
        let shown = format!("{:?}", redacted(flow.clone(), &[what]));
        assert!(!shown.contains("secret"), "{what:?}: {shown}");
        assert!(!shown.contains("type_url"), "{what:?}: {shown}");
    }
}

#[test]
fn a_flow_with_nothing_to_hide_is_not_copied() {
    let plain = from_proto(pb::Flow::default(), &mut Interners::default());
    assert!(
        Sensitive::ALL
            .into_iter()
            .collect::<Redaction>()
            .of(&plain)
            .is_none()
    );
    let web = from_proto(http("http://a/b"), &mut Interners::default());
    assert!(Redaction::default().of(&web).is_none());
}

proptest! {
    /// Whatever surrounds it.
    #[test]
    fn a_secret_in_a_url_is_never_shown(before in "[a-z:/?#@.%]{0,12}", after in "[a-z:/?#@.%]{0,12}") {
        let all: Redaction = Sensitive::ALL.into_iter().collect();
        let scheme = before.split("://").next().unwrap_or_default();
        let flow = http(&format!("{before}SECRET{after}"));
        let flow = from_proto(flow, &mut Interners::default());
        let shown = to_proto(&all.of(&flow).unwrap());
        // A scheme is no secret, and has none of the signs of the rest.
        let is_scheme = !before.contains("://") && after.contains("://")
            && !format!("{scheme}SECRET{}", after.split("://").next().unwrap_or_default())
                .contains(['/', '?', '#']);
        let bytes = shown.encode_to_vec();
        let is_shown = bytes.windows(6).any(|part| part == b"SECRET");
        prop_assert!(!is_shown || is_scheme, "{}", url_of(&shown));
    }
}
