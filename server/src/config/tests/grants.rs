//! `[[grant]]` and `[[token]]`.

use super::{mistakes, read};
use crate::{
    config::{Role, Sees, Who},
    flow::redaction::Sensitive,
};

fn grant(text: &str) -> String {
    format!("[[grant]]\nrole = 'viewer'\nto = ['uid:1000']\n{text}")
}

#[test]
fn a_viewer_is_limited_by_namespaces_labels_and_what_is_hidden() {
    let limits =
        "namespaces = ['shop']\nlabels = ['app in (web, api), tier!=db']\nredact = ['url-query']";
    let config = read(&grant(limits)).unwrap();
    let [grant] = &config.access.grants[..] else {
        panic!("{:?}", config.access.grants);
    };
    assert_eq!(
        (grant.role, &grant.to[..]),
        (Some(Role::Viewer), [Who::User(1000)].as_slice())
    );
    let expect = Sees {
        namespaces: vec!["shop".into()],
        labels: vec!["app in (web, api), tier!=db".into()],
        redact: vec![Sensitive::UrlQuery],
    };
    assert_eq!(grant.sees, expect);
}

#[test]
fn a_grant_that_says_what_it_cannot_mean_is_refused_where_it_is() {
    for (text, told) in [
        ("namespaces = []", "an empty list"),
        ("labels = []", "an empty list"),
        ("namespaces = ['']", "is not a name"),
        ("namespaces = ['a/b']", "is not a name"),
        ("namespaces = 'shop'", "a list"),
        ("labels = ['']", "selects everything"),
        ("labels = ['a in (']", "grant.labels"),
        ("labels = ['= =']", "grant.labels"),
        ("redact = ['url']", "what can is `url-path`"),
        ("redacted = ['url-path']", "did you mean `redact`"),
        (
            "[[grant]]\nrole = 'recorder'\nto = ['anyone']\nnamespaces = ['a']",
            "is for the role `viewer`",
        ),
        ("[[grant]]\nrole = 'viewer'\nto = []", "is for nobody"),
        (
            "[[grant]]\nrole = 'viewer'\nto = ['token:x']",
            "add a [[token]]",
        ),
    ] {
        let found = mistakes(&grant(text));
        assert!(
            found.iter().any(|found| found.contains(told)),
            "{text}: {found:?}"
        );
    }
}
