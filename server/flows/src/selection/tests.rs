use super::*;
use crate::flow::{Interners, proto::from_proto, redaction::Sensitive};

fn web(source: &str, destination: &str, url: &str) -> Flow {
    let side = |namespace: &str| {
        Some(pb::Endpoint {
            namespace: namespace.into(),
            ..pb::Endpoint::default()
        })
    };
    let http = pb::Http {
        url: url.into(),
        ..pb::Http::default()
    };
    let flow = pb::Flow {
        source: side(source),
        destination: side(destination),
        l7: Some(pb::Layer7 {
            record: Some(pb::layer7::Record::Http(http)),
            ..pb::Layer7::default()
        }),
        ..pb::Flow::default()
    };
    from_proto(flow, &mut Interners::default())
}

fn in_namespace(name: &str) -> Vec<pb::FlowFilter> {
    let pods = vec![format!("{name}/")];
    vec![
        pb::FlowFilter {
            source_pod: pods.clone(),
            ..pb::FlowFilter::default()
        },
        pb::FlowFilter {
            destination_pod: pods,
            ..pb::FlowFilter::default()
        },
    ]
}

fn part(namespace: &str, hidden: &[Sensitive]) -> Part {
    Part {
        filters: in_namespace(namespace),
        redaction: hidden.iter().copied().collect(),
    }
}

fn url(shown: &Flow) -> &str {
    match shown.l7().and_then(|l7| l7.record.as_ref()) {
        Some(pb::layer7::Record::Http(http)) => &http.url,
        other => panic!("{other:?}"),
    }
}

fn select(view: &View, filter: Option<pb::FlowFilter>) -> Selection {
    let filters: Vec<_> = filter.into_iter().collect();
    Selection::new(view, Filters::compile(&filters, &[]).unwrap()).unwrap()
}

#[test]
fn a_team_sees_its_own_flows_whichever_side_it_is_on() {
    let mut team = select(&View::of(vec![part("shop", &[])]), None);
    for (source, destination, expected) in [
        ("shop", "db", true),
        ("db", "shop", true),
        ("shop", "shop", true),
        ("db", "db", false),
        ("", "", false),
        ("shopping", "shop2", false),
    ] {
        let flow = web(source, destination, "/");
        let is_shown = team.show(&flow).unwrap().is_some();
        assert_eq!(is_shown, expected, "{source} {destination}");
    }
    assert!(!team.is_everything());
    assert!(select(&View::WHOLE, None).is_everything());
}

#[test]
fn a_view_without_parts_shows_nothing() {
    let mut nothing = select(&View::of(Vec::new()), None);
    assert!(nothing.show(&web("a", "b", "/")).unwrap().is_none());
    assert!(!nothing.is_everything());
}

#[test]
fn a_flow_of_two_parts_hides_what_both_hide() {
    use Sensitive::{UrlPath, UrlQuery};
    let parts = vec![part("a", &[UrlPath, UrlQuery]), part("b", &[UrlQuery])];
    let mut both = select(&View::of(parts), None);
    for (source, destination, expected) in [
        ("a", "x", "/HUBBLE_REDACTED?HUBBLE_REDACTED"),
        ("x", "b", "/p?HUBBLE_REDACTED"),
        ("a", "b", "/p?HUBBLE_REDACTED"),
    ] {
        let flow = web(source, destination, "/p?q");
        let shown = both.show(&flow).unwrap().unwrap();
        assert_eq!(url(&shown), expected, "{source} {destination}");
    }
    let whole = Part {
        filters: Vec::new(),
        redaction: Redaction::default(),
    };
    assert!(View::of(vec![part("a", &[UrlPath]), whole]).is_whole());
}

#[test]
fn filters_of_a_request_tell_nothing_of_what_is_hidden() {
    let everything_but_paths = Part {
        filters: Vec::new(),
        redaction: [Sensitive::UrlPath].into_iter().collect(),
    };
    let view = View::of(vec![everything_but_paths]);
    let flow = web("a", "b", "http://h/secret");
    let path = |pattern: &str| pb::FlowFilter {
        http_path: vec![pattern.into()],
        ..pb::FlowFilter::default()
    };
    let mut guess = select(&view, Some(path("secret")));
    assert!(guess.show(&flow).unwrap().is_none());
    let mut hidden = select(&view, Some(path("^/HUBBLE_REDACTED$")));
    assert!(hidden.show(&flow).unwrap().is_some());
    assert!(hidden.sieve().is_open());
}
