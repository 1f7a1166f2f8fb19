//! What a request may cost: bounds when it is compiled, steps when it is judged.

use sextant_proto::flow as pb;

use crate::{
    filter::{FilterError, Filters, meter::FLOW_STEPS},
    flow::{Flow, Interners, proto::from_proto},
};

fn cel(expression: &str) -> pb::FlowFilter {
    pb::FlowFilter {
        experimental: Some(pb::flow_filter::Experimental {
            cel_expression: vec![expression.into()],
        }),
        ..pb::FlowFilter::default()
    }
}

/// A request to a page, from endpoints with labels.
fn flow() -> Flow {
    let endpoint = pb::Endpoint {
        labels: (0..20).map(|n| format!("k8s:key-{n}=value")).collect(),
        ..pb::Endpoint::default()
    };
    let http = pb::Http {
        url: "http://shop/api/v1/users/17".into(),
        ..pb::Http::default()
    };
    let flow = pb::Flow {
        source: Some(endpoint.clone()),
        destination: Some(endpoint),
        l7: Some(pb::Layer7 {
            record: Some(pb::layer7::Record::Http(http)),
            ..pb::Layer7::default()
        }),
        ..pb::Flow::default()
    };
    from_proto(flow, &mut Interners::default())
}

#[track_caller]
fn refused(whitelist: &[pb::FlowFilter], blacklist: &[pb::FlowFilter]) -> String {
    match Filters::compile(whitelist, blacklist) {
        Err(FilterError::Excess(excess)) => excess.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_is_too_large_is_refused_with_its_field() {
    let one = pb::FlowFilter::default();
    let urls = |patterns: &[String]| pb::FlowFilter {
        http_url: patterns.to_vec(),
        ..pb::FlowFilter::default()
    };
    let labels = pb::FlowFilter {
        destination_label: vec!["a".into(), "b".repeat(16 << 10)],
        ..pb::FlowFilter::default()
    };
    let names = pb::FlowFilter {
        node_name: vec!["*".into(); 1001],
        ..pb::FlowFilter::default()
    };
    let tokens = format!("1 in [{}]", ["1"; 1000].join(","));
    let loops = format!("{}true{}", "[1].all(x,".repeat(33), ")".repeat(33));
    let pattern = r"'a'.matches('\\pL{60}')";
    let large: Vec<String> = (0..100).map(|n| format!("\\pL{{10}}{n}")).collect();
    for (whitelist, blacklist, text) in [
        (
            vec![one.clone(); 1025],
            vec![],
            "whitelist[1024]: a request may have at most 1024 filters",
        ),
        (
            vec![one.clone(); 1000],
            vec![one.clone(); 25],
            "blacklist[24]: a request may",
        ),
        (
            vec![one.clone(), urls(&large)],
            vec![],
            "whitelist[1].http_url[3]: a request may have at most 2097152 bytes of compiled regular expressions",
        ),
        (
            vec![],
            vec![urls(&["a".into(), "x".repeat(20_000)])],
            "blacklist[0].http_url[1]: a request may have at most 16384 bytes of patterns",
        ),
        (
            vec![one.clone(), labels],
            vec![],
            "whitelist[1].destination_label[1]: a request may have at most 16384 bytes of patterns",
        ),
        (
            vec![names],
            vec![],
            "whitelist[0].node_name[1000]: a request may have at most 1000 patterns",
        ),
        (
            vec![cel(&tokens)],
            vec![],
            "whitelist[0].experimental.cel_expression[0]: a request may have at most 1500 words",
        ),
        (
            vec![cel("true"), cel(&loops)],
            vec![],
            "whitelist[1].experimental.cel_expression[0]: a request may have at most 32 loops",
        ),
        (
            vec![cel(pattern)],
            vec![],
            "whitelist[0].experimental.cel_expression[0]: a request may have at most 2097152 bytes of compiled",
        ),
    ] {
        let found = refused(&whitelist, &blacklist);
        assert!(found.starts_with(text), "{found}");
    }
}

#[test]
fn ordinary_requests_of_many_filters_are_compiled() {
    let filter = |n: usize| pb::FlowFilter {
        source_pod: vec![format!("shop/pod-{n}")],
        destination_label: vec![format!("k8s:app=web-{n}")],
        http_url: vec![format!("http://.*/api/v1/users/{n}")],
        ..pb::FlowFilter::default()
    };
    let filters: Vec<_> = (0..200).map(filter).collect();
    let mut filters = Filters::compile(&filters, &filters[..100]).unwrap();
    assert_eq!(filters.matches(&flow()), Ok(false));
    let addresses = pb::FlowFilter {
        source_ip: (0..5000)
            .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
            .collect(),
        ..pb::FlowFilter::default()
    };
    assert!(Filters::compile(&[addresses], &[]).is_ok());
}

/// Expressions that would take for ever, or make more than memory has.
const RUNAWAY: &[&str] = &[
    "L.all(a, L.all(b, L.all(c, L.all(d, L.all(e, L.all(f, true))))))",
    "L.exists(a, L.exists(b, L.exists(c, L.exists(d, L.exists(e, a + b + c + d + e == 0)))))",
    "!L.map(a, L.map(b, L.map(c, L.map(d, [a, b, c, d])))).exists(x, x == [])",
    "1 / 0 == 1 || L.all(a, L.all(b, L.all(c, L.all(d, L.all(e, true)))))",
    "L.all(a, 1 / 0 == 1 || L.all(b, L.all(c, L.all(d, L.all(e, true)))))",
    "D(s + s).size() > 0",
    "D(s.contains('b') ? s : s + s + s).size() > 0",
    "BYTES.size() > 0",
    "TREE.all(x, x == x)",
    "L.all(a, L.all(b, 'aaaaaaaaaaaaaaaaaaaaaaaa'.matches('(a|a)*' + string(a) + 'b{50}') || true))",
    "'a'.matches('\\\\pN{' + '200}')",
    "L.all(a, L.all(b, L.all(c, _flow.source == _flow.source)))",
    "L.all(a, L.all(b, has(_flow.extensions) || true))",
    "L.all(a, L.all(b, L.all(c, _flow.time.getHours('Europe/Nowhere') == 1 || true)))",
    "L.all(a, L.all(b, _flow.source.labels.all(c, _flow.destination.labels.all(d, c == d || true))))",
    "[L.map(x, L)].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).all(x, x.all(y, x.all(z, y == z)))",
    "[Endpoint{labels: L.map(x, 'aaaaaaaaaaaaaaaa')}].map(e, Endpoint{labels: e.labels + e.labels})\
     .map(e, Endpoint{labels: e.labels + e.labels}).map(e, Endpoint{labels: e.labels + e.labels})\
     .map(e, L.all(a, L.all(b, L.all(c, e == e)))).size() > 0",
];

/// `L` is a list of fifty, `D(...)` doubles a text thirty times, `TREE` is as
/// many pairs of pairs.
fn written(short: &str) -> String {
    let list: Vec<String> = (1..=50).map(|n| n.to_string()).collect();
    let mut text = short.replace('L', &format!("[{}]", list.join(",")));
    text = text.replace("BYTES", "D(bytes(string(s) + string(s)))");
    let tree = (0..30).fold("[1]".to_owned(), |inner, _| inner + ".map(x, [x, x])");
    text = text.replace("TREE", &tree);
    if let Some(at) = text.find("D(") {
        let end = text.rfind(").size()").unwrap();
        let step = text[at + 2..end].to_owned();
        let start = "['aaaaaaaaaaaaaaaa']".to_owned();
        let doubled = (0..30).fold(start, |inner, _| format!("{inner}.map(s, {step})"));
        text.replace_range(at..=end, &doubled);
    }
    text
}

#[test]
fn what_takes_too_long_ends_the_request_on_either_list() {
    for short in RUNAWAY {
        let expression = written(short);
        let one = [cel(&expression)];
        for (white, black) in [(&one[..], &[][..]), (&[], &one)] {
            let mut filters = Filters::compile(white, black)
                .unwrap_or_else(|error| panic!("{expression}: {error}"));
            let list = if white.is_empty() {
                "blacklist"
            } else {
                "whitelist"
            };
            let begin = crate::cost::spent();
            let overrun = filters.matches(&flow()).expect_err(short);
            let spent = crate::cost::spent() - begin;
            // Some milliseconds; this only tells it from for ever.
            assert!(spent.as_secs() < 5, "{short}: {spent:?}");
            let place = format!(
                "{list}[0].experimental.cel_expression[0]: takes more than {FLOW_STEPS} steps"
            );
            assert!(overrun.to_string().starts_with(&place), "{overrun}");
        }
    }
}

#[test]
fn what_is_ordinary_is_far_from_the_bound() {
    for (short, wanted) in [
        (
            "_flow.source.labels.exists(l, l.startsWith('k8s:key-19'))",
            true,
        ),
        (
            "_flow.source.labels.all(l, _flow.destination.labels.exists(m, l == m))",
            true,
        ),
        ("L.map(x, x * 2).filter(x, x > 10).size() == 45", true),
        ("L.all(x, L.exists(y, x == y))", true),
        (
            "_flow.l7.http.url.matches('^http://[a-z]+/api/v[0-9]+/users/[0-9]+$')",
            true,
        ),
        ("_flow.l7.http.url.matches('^http://' + 'shop' + '/')", true),
        ("_flow == _flow && _flow.source == _flow.destination", true),
        ("LLL.map(x, string(x) + 'a').size() == 400", true),
    ] {
        let expression = written(&short.replace("LLL", "(L + L + L + L + L + L + L + L)"));
        let mut filters = Filters::compile(&[cel(&expression)], &[])
            .unwrap_or_else(|error| panic!("{expression}: {error}"));
        for _ in 0..3 {
            assert_eq!(filters.matches(&flow()), Ok(wanted), "{short}");
        }
    }
}

#[test]
fn a_request_that_takes_long_for_each_flow_ends() {
    // A third of what one flow may take.
    let expression = written("L.all(x, L.all(y, [x, y, x, y, x, y].size() == 6))");
    let mut filters = Filters::compile(&[cel(&expression)], &[]).unwrap();
    filters.steps = 200_000;
    let flow = flow();
    let end = (0..100).find_map(|_| filters.matches(&flow).err());
    let text = end.expect("an end").to_string();
    assert!(text.starts_with("the filters took more than"), "{text}");
}

#[test]
fn a_flow_with_a_huge_text_ends_a_request_of_many_patterns() {
    let http = pb::Http {
        url: "http://shop/".to_owned() + &"ab".repeat(25_000),
        ..pb::Http::default()
    };
    let huge = pb::Flow {
        l7: Some(pb::Layer7 {
            record: Some(pb::layer7::Record::Http(http)),
            ..pb::Layer7::default()
        }),
        ..pb::Flow::default()
    };
    let huge = from_proto(huge, &mut Interners::default());
    let urls = |patterns: Vec<String>| pb::FlowFilter {
        http_url: patterns,
        ..pb::FlowFilter::default()
    };
    let few = urls(vec!["/api/".into(), "ab$".into()]);
    let mut filters = Filters::compile(&[few], &[]).unwrap();
    assert_eq!(filters.matches(&huge), Ok(true));
    let many = urls((0..50).map(|n| format!("[ab]*c{{{n}}}d")).collect());
    let mut filters = Filters::compile(&[many], &[]).unwrap();
    let text = filters.matches(&huge).unwrap_err().to_string();
    assert!(text.starts_with("whitelist[0].http_url["), "{text}");
}

#[test]
fn types_that_double_with_each_word_are_refused() {
    let begun = std::time::Instant::now();
    for (seed, step) in [
        ("[[]]", ".map(x, {x: [x]})"),
        ("[1]", ".map(x, {x: x})"),
        ("[[]]", ".map(x, {x: x})"),
        ("[{}]", ".map(x, {'a': [x], 'b': [x]}.map(k, {x: k}))"),
        ("[[]]", ".map(x, {x: {x: x}})"),
        ("[[]]", ".map(x, [x, x]).map(x, {x: x})"),
        ("[dyn(1)]", ".map(x, {x: x})"),
        ("[type(1)]", ".map(x, type({x: x}))"),
        ("[[]]", ".filter(x, x == {x: x}).map(x, {x: x})"),
    ] {
        for times in [8, 15, 16, 30] {
            for rest in ["", " == {}", " == []", ".size() == 1"] {
                let text = format!("{seed}{}{rest}", step.repeat(times));
                // Some are so short that their types are small, and some have another fault.
                let _ = Filters::compile(&[cel(&text)], &[]);
            }
        }
        let text = refused(
            &[cel(&format!(
                "{seed}{} == []",
                ".map(x, {x: x})".repeat(20)
            ))],
            &[],
        );
        assert!(
            text.contains("the types of a request's CEL expressions"),
            "{text}"
        );
        assert!(
            text.starts_with("whitelist[0].experimental.cel_expression[0]: "),
            "{text}"
        );
    }
    // Of a hundred expressions, of which one took gigabytes and minutes.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    // What is written as one is not more than what is written as two.
    let many = "[[1, 2], [3]].map(x, {x[0]: [x]}).exists(m, 1 in m) || ".repeat(12);
    assert!(Filters::compile(&[cel(&format!("{many}true"))], &[]).is_ok());
}

#[test]
fn many_patterns_of_names_against_long_names_end_with_their_field() {
    let long = "a".repeat(250);
    let mut flow = flow();
    flow.destination_names = Some(vec![long; 16].into());
    let fqdn = |count: usize, length: usize| pb::FlowFilter {
        destination_fqdn: vec!["*a".repeat(length / 2) + "b"; count],
        ..pb::FlowFilter::default()
    };
    let text = refused(&[fqdn(100, 1000)], &[]);
    assert!(text.contains("65536 bytes of patterns of names"), "{text}");
    let mut dear = Filters::compile(&[fqdn(900, 60)], &[]).unwrap();
    let error = dear.matches(&flow).unwrap_err().to_string();
    assert!(
        error.starts_with("whitelist[0].destination_fqdn[0]: takes more than"),
        "{error}"
    );
    let mut sane = Filters::compile(&[fqdn(100, 20)], &[]).unwrap();
    assert!(!sane.matches(&flow).unwrap());
}
