//! Questions about policies, as whoever may read flows may ask them, that once took
//! gigabytes or held a thread for minutes.

use std::fmt::Write as _;

use sextant_proto::sextant::policy::v1::{
    Connection, Document, End, EvaluateRequest, SimulateRequest,
};

/// Bytes of a message, which servers take.
const MOST: usize = 4_000_000;

/// What it is, and the question.
pub type Asked = (&'static str, SimulateRequest);

fn ask(texts: impl IntoIterator<Item = String>) -> SimulateRequest {
    let document = |text| Document {
        name: String::new(),
        text,
    };
    SimulateRequest {
        documents: texts.into_iter().map(document).collect(),
        prune: true,
        ..SimulateRequest::default()
    }
}

/// A policy for every endpoint, with these rules.
fn policy(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: {name}}}\n\
         spec:\n  endpointSelector: {{}}\n{rules}"
    )
}

/// As often as a message has room for it.
fn repeated(part: impl Fn(usize) -> String, most: usize) -> String {
    let mut text = String::new();
    for number in 0..most {
        let part = part(number);
        if text.len() + part.len() > MOST {
            break;
        }
        text += &part;
    }
    text
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Asked> {
    vec![
        ("values by aliases in each of many documents", by_aliases()),
        ("texts by aliases", texts_by_aliases()),
        ("many problems of a document with a long name", problems()),
        ("a file of a long name with many problems", long_file()),
        ("many policies for every endpoint", for_everybody()),
        ("many rules for every endpoint", ask([rules()])),
        ("many ports", ask([ports()])),
        ("many networks", ask([networks()])),
        ("a long list of exceptions", ask([exceptions()])),
        ("values of a selector", ask([values()])),
        ("deep nesting", ask(["[".repeat(MOST)])),
        ("deep mappings", ask(["a:\n".repeat(100_000)])),
        ("anchors in each other", ask([nested_anchors()])),
        (
            "many small documents",
            ask([repeated(|_| "---\na\n".into(), MOST)]),
        ),
        ("merged keys", ask([merged()])),
    ]
}

/// 16,000 values in 500 bytes, a thousand times.
fn by_aliases() -> SimulateRequest {
    let list = |inner: &str| format!("[{}]", vec![inner; 25].join(","));
    let [a, b, c] = [list("x"), list("*a"), list("*b")];
    let text = policy("p", &format!("  log: [&a {a}, &b {b}, {c}]\n"));
    ask((0..1000).map(|_| text.clone()))
}

fn texts_by_aliases() -> SimulateRequest {
    let (long, many) = ("x".repeat(100_000), vec!["*a"; 600].join(","));
    let text = policy("p", &format!("  log: [&a {long}, {many}]\n"));
    ask((0..30).map(|_| text.clone()))
}

fn bad_ports(name: &str) -> String {
    let ports = repeated(|_| "{port: x!},".into(), 100_000);
    policy(
        name,
        &format!("  ingress: [{{toPorts: [{{ports: [{ports}]}}]}}]\n"),
    )
}

fn problems() -> SimulateRequest {
    ask([bad_ports(&"n".repeat(2_000_000))])
}

fn long_file() -> SimulateRequest {
    let mut request = ask([bad_ports("p")]);
    request.documents[0].name = "n".repeat(2_000_000);
    request
}

fn for_everybody() -> SimulateRequest {
    let texts = (0..9_900).map(|number| {
        policy(
            &format!("p{number}"),
            "  ingress: [{fromEntities: [health]}]\n",
        )
    });
    ask(texts)
}

fn rules() -> String {
    let rules = repeated(
        |number| {
            format!(
                "  - toPorts: [{{ports: [{{port: '{}'}}]}}]\n",
                number % 65_535 + 1
            )
        },
        MOST,
    );
    policy("p", &format!("  ingress:\n{rules}"))
}

fn ports() -> String {
    let ports = vec!["{port: '7'}"; 40].join(",");
    let parts = repeated(|_| format!("{{ports: [{ports}]}},"), MOST);
    policy("p", &format!("  ingress: [{{toPorts: [{parts}]}}]\n"))
}

fn network(number: usize) -> String {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    format!("{}.{a}.{b}.{c}/32,", 11)
}

fn networks() -> String {
    let networks = repeated(network, MOST);
    policy("p", &format!("  ingress: [{{fromCIDR: [{networks}]}}]\n"))
}

fn exceptions() -> String {
    let networks = repeated(network, MOST);
    policy(
        "p",
        &format!("  ingress: [{{fromCIDRSet: [{{cidr: 0.0.0.0/0, except: [{networks}]}}]}}]\n"),
    )
}

fn values() -> String {
    let values = repeated(|number| format!("v{number},"), MOST);
    policy(
        "p",
        &format!(
            "  ingress: [{{fromEndpoints: [{{matchExpressions: [{{key: a, operator: NotIn, values: [{values}]}}]}}]}}]\n"
        ),
    )
}

fn nested_anchors() -> String {
    let long = "x".repeat(60_000);
    let open: String = (0..60).fold(String::new(), |mut text, number| {
        let _ = write!(text, "[&a{number} ");
        text
    });
    format!("{open}[{long}]{}", "]".repeat(60))
}

fn merged() -> String {
    let keys: String = (0..1000)
        .map(|number| format!("k{number}: v\n  "))
        .collect();
    let merges = repeated(|number| format!("m{number}: {{<<: *a}}\n"), 10_000);
    format!("a: &a\n  {keys}\n{merges}")
}

/// A connection between ends with labels that nobody has, of a quarter of a megabyte.
#[must_use]
pub fn of_strangers(number: usize) -> EvaluateRequest {
    let end = |side: &str| End {
        labels: (0..256)
            .map(|label| format!("k8s:{side}{label}={number}{}", "x".repeat(900)))
            .collect(),
        ..End::default()
    };
    EvaluateRequest {
        connection: Some(Connection {
            source: Some(end("a")),
            destination: Some(end("b")),
            protocol: 6,
            destination_port: 80,
            ..Connection::default()
        }),
        ..EvaluateRequest::default()
    }
}
