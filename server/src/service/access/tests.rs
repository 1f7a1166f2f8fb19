use super::*;
use crate::{
    config::{Grant, Role, Roles, Sees, Token, Who},
    listener::Certificate,
};

const RECORD: &str = "/sextant.flow.v1.FlowService/RecordFlows";
const READ: &str = "/observer.Observer/GetFlows";
const AUDIT: &str = "/sextant.audit.v1.AuditService/ListAudit";

fn grant(role: Role, to: &[Who]) -> Grant {
    Grant {
        role: Some(role),
        to: to.to_vec(),
        sees: Sees::default(),
    }
}

impl Access {
    fn of(
        config: &config::Access,
        group: Option<WriteGroup>,
        bound: &[Bound],
    ) -> Result<Self, AccessError> {
        let contents = Tokens::read(&config.tokens)?;
        let tokens = Tokens::new(&config.tokens, &contents)?;
        Self::new(&config.grants, tokens, group, bound)
    }
}

fn access(grants: Vec<Grant>, group: Option<u32>) -> Access {
    let config = config::Access {
        grants,
        tokens: Vec::new(),
    };
    let group = group.map(|gid| WriteGroup {
        name: "sextant".into(),
        gid,
    });
    let access = Access::of(&config, group, &[Bound::Unix("/run/s".into())]).unwrap();
    Access { own: 0, ..access }
}

fn user(uid: u32, groups: &[u32]) -> Caller {
    Caller::from(Origin::Unix(Process {
        uid,
        groups: groups.to_vec(),
        pid: None,
    }))
}

fn tcp() -> Caller {
    Caller::new(
        Origin::Tcp(([10, 0, 0, 1], 9).into()),
        Security::Plaintext,
        Roles::from_iter([Role::Viewer]),
    )
}

fn tls(certificate: Option<Certificate>, most: Roles) -> Caller {
    let origin = Origin::Tcp(([10, 0, 0, 1], 9).into());
    Caller::new(origin, Security::Tls(certificate), most)
}

fn may(access: &Access, path: &str, caller: &Caller) -> bool {
    access.check(path, caller, &HeaderMap::new()).is_ok()
}

#[test]
fn root_the_servers_user_and_members_of_the_group_may_write() {
    let check = |uid, groups: &[u32], group, expected| {
        let is = may(&access(Vec::new(), group), RECORD, &user(uid, groups));
        assert_eq!(is, expected, "{uid} {groups:?} {group:?}");
    };
    check(0, &[0], None, true);
    check(1000, &[1000], None, false);
    // Without a group nobody else may, not even who is in group 0.
    check(1000, &[0], None, false);
    check(1000, &[300], Some(300), true);
    check(1000, &[1000, 24, 300], Some(300), true);
    check(1000, &[1000, 24], Some(300), false);
    let rootless = Access {
        own: 1000,
        ..access(Vec::new(), None)
    };
    assert!(may(&rootless, RECORD, &user(1000, &[1000])));
}

#[test]
fn whoever_connects_may_read_until_viewers_are_named() {
    let open = access(Vec::new(), None);
    for caller in [tcp(), user(1000, &[]), tls(None, Roles::ALL)] {
        assert!(may(&open, READ, &caller));
        assert!(!may(&open, AUDIT, &caller));
    }
    let named = access(vec![grant(Role::Viewer, &[Who::User(1000)])], None);
    assert!(may(&named, READ, &user(1000, &[])));
    assert!(may(&named, READ, &user(0, &[])));
    for caller in [tcp(), user(1001, &[]), tls(None, Roles::ALL)] {
        assert!(!may(&named, READ, &caller), "{caller}");
    }
}

#[test]
fn a_certificate_has_the_roles_of_its_names() {
    let relay = Certificate {
        subject: "CN=relay, O=x".into(),
        common_names: vec!["relay".into()],
        dns_names: vec!["Relay.Example".into()],
        uris: vec!["spiffe://x/ns/a/sa/relay".into()],
    };
    let caller = tls(Some(relay), Roles::ALL);
    for (who, expected) in [
        (Who::CommonName("relay".into()), true),
        (Who::CommonName("rel*".into()), true),
        (Who::CommonName("relay.example".into()), false),
        (Who::DnsName("*.EXAMPLE".into()), true),
        (Who::DnsName("relay".into()), false),
        (Who::Uri("spiffe://x/ns/a/*".into()), true),
        (Who::Uri("spiffe://y/*".into()), false),
        (Who::Subject("*O=x".into()), true),
        (Who::Loopback, false),
        (Who::Anyone, true),
        (Who::User(0), false),
    ] {
        let granted = access(
            vec![grant(Role::Recorder, std::slice::from_ref(&who))],
            None,
        );
        assert_eq!(may(&granted, RECORD, &caller), expected, "{who:?}");
        assert!(
            !may(&granted, RECORD, &tcp()),
            "plaintext is for viewers alone"
        );
        assert!(!may(&granted, AUDIT, &caller));
    }
}

#[test]
fn a_listener_bounds_what_anybody_may_do_there() {
    let anyone = access(vec![grant(Role::Recorder, &[Who::Anyone])], None);
    let viewers = Roles::from_iter([Role::Viewer]);
    assert!(may(&anyone, RECORD, &tls(None, Roles::ALL)));
    assert!(!may(&anyone, RECORD, &tls(None, viewers)));
}

#[test]
fn a_token_is_right_or_the_call_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123\n").unwrap();
    let config = config::Access {
        grants: vec![grant(Role::Recorder, &[Who::Token("ci".into())])],
        tokens: vec![Token {
            name: "ci".into(),
            file: file.clone(),
        }],
    };
    let access = Access::of(&config, None, &[]).unwrap();
    let caller = tls(None, Roles::ALL);
    let call = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value.parse().unwrap());
        access
            .check(RECORD, &caller, &headers)
            .map(drop)
            .map_err(|error| error.code())
    };
    assert_eq!(call("Bearer 0123456789abcdef0123"), Ok(()));
    assert_eq!(call("bearer 0123456789abcdef0123"), Ok(()));
    for wrong in [
        "Bearer 0123456789abcdef012",
        "Bearer 0123456789abcdef01234",
        "Bearer ",
        "Bearer",
        "",
        "Basic 0123456789abcdef0123",
        "0123456789abcdef0123",
        "Bearer 0123456789abcdef0124",
    ] {
        assert_eq!(call(wrong), Err(tonic::Code::Unauthenticated), "{wrong}");
    }
    for short in ["", "tiny", "has two words in it", "0123456789abcdef\u{e9}"] {
        std::fs::write(&file, short).unwrap();
        let error = Access::of(&config, None, &[]).unwrap_err().to_string();
        assert!(
            error.contains("`ci`") && error.contains("openssl"),
            "{error}"
        );
        assert!(short.is_empty() || !error.contains(short), "{error}");
    }
}

#[test]
fn who_is_refused_is_told_what_to_do() {
    let socket =
        "call it by the unix socket unix:///run/s, as root or as a member of the group `sextant`";
    let rules = access(Vec::new(), Some(300));
    let bob = Certificate {
        common_names: vec!["bob".into()],
        ..Certificate::default()
    };
    let viewers = Roles::from_iter([Role::Viewer]);
    for (caller, told) in [
        (
            tcp(),
            format!(
                "{socket}, or by TLS with a certificate or token that has a [[grant]] of `recorder`; \
                 this connection is plaintext TCP"
            ),
        ),
        (
            tls(Some(bob.clone()), Roles::ALL),
            format!(
                "have a [[grant]] of `recorder` to `cn:bob`, or {socket}; this connection is from cn:bob"
            ),
        ),
        (
            tls(None, Roles::ALL),
            format!(
                "show a certificate or a token that has a [[grant]] of `recorder`, or {socket}; \
                 this connection shows no certificate"
            ),
        ),
        (
            tls(Some(bob), viewers),
            format!(
                "{socket}, or by a listener whose `roles` have it; what is granted does not count on this one; \
                 this connection is from cn:bob"
            ),
        ),
        (
            user(1000, &[]),
            format!(
                "{socket}, or have a [[grant]] of `recorder` to `uid:1000`; this connection is from user 1000"
            ),
        ),
    ] {
        let refused = rules.check(RECORD, &caller, &HeaderMap::new()).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        let expected = format!("RecordFlows needs the role recorder: {told}");
        assert_eq!(refused.message(), expected);
    }
}

#[test]
fn health_is_for_everybody_and_an_unknown_method_for_the_router() {
    let named = access(vec![grant(Role::Viewer, &[Who::User(1000)])], None);
    assert!(may(&named, "/grpc.health.v1.Health/Check", &tcp()));
    assert!(may(&named, "/observer.Observer/Nope", &tcp()));
}

#[test]
fn every_rpc_that_needs_a_role_is_refused_to_who_has_none() {
    let nobody = access(vec![grant(Role::Viewer, &[Who::User(1)])], None);
    for (path, need) in crate::service::roles::all() {
        let refused = nobody.check(&path, &tcp(), &HeaderMap::new());
        assert_eq!(refused.is_ok(), need == Need::Nothing, "{path}");
    }
}

/// Grants of `viewer` to users, by their limits.
fn seeing(grants: &[(u32, Sees)]) -> Access {
    let grant = |(uid, sees): &(u32, Sees)| Grant {
        role: Some(Role::Viewer),
        to: vec![Who::User(*uid)],
        sees: sees.clone(),
    };
    access(grants.iter().map(grant).collect(), None)
}

fn namespace(name: &str) -> Sees {
    Sees {
        namespaces: vec![name.into()],
        ..Sees::default()
    }
}

#[test]
fn a_viewer_sees_what_all_its_grants_show_together() {
    let access = seeing(&[
        (1000, namespace("a")),
        (1000, namespace("b")),
        (1001, namespace("a")),
        (1001, Sees::default()),
    ]);
    let view = |uid| {
        let view = access.check(READ, &user(uid, &[]), &HeaderMap::new());
        view.map_err(|refused| refused.code())
    };
    let two = view(1000).unwrap();
    assert!(!two.is_whole());
    assert!(format!("{two:?}").contains("a/") && format!("{two:?}").contains("b/"));
    assert!(view(1001).unwrap().is_whole());
    assert!(view(0).unwrap().is_whole());
    assert_eq!(view(1002), Err(tonic::Code::PermissionDenied));
}

#[test]
fn what_cannot_be_limited_is_for_those_who_see_everything() {
    let access = seeing(&[(1000, namespace("a")), (1001, Sees::default())]);
    for (path, need) in crate::service::roles::all() {
        let Need::Role(Role::Viewer, scope) = need else {
            continue;
        };
        let limited = access.check(&path, &user(1000, &[]), &HeaderMap::new());
        assert_eq!(limited.is_err(), scope == Scope::Everything, "{path}");
        assert!(may(&access, &path, &user(1001, &[])), "{path}");
    }
    let refused = access.check(
        "/observer.Observer/GetAgentEvents",
        &user(1000, &[]),
        &HeaderMap::new(),
    );
    let text = refused.unwrap_err().message().to_owned();
    assert!(text.contains("without limits"), "{text}");
}

#[test]
fn a_request_that_passed_no_gate_shows_nothing() {
    assert_eq!(view_of(&http::Extensions::new()), View::of(Vec::new()));
}
