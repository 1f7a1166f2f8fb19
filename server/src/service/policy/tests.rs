use std::sync::Arc;

use tonic::Code;
use tonic_types::StatusExt as _;

use super::*;
use crate::{
    policy::testing::{Kept, text},
    store::Room,
};

fn service() -> PolicySetService {
    let policies = Policies::in_memory(Arc::new(Kept::default())).unwrap();
    let (ring, _writer) = Ring::new(Room::from(64));
    let (draining, drained) = tokio::sync::watch::channel(false);
    // One that is gone ends streams.
    std::mem::forget(draining);
    let limits = Limits::new(&crate::config::Server::default(), drained);
    PolicySetService::new(policies, Ends::default(), ring, limits)
}

fn document(name: &str, text: impl Into<String>) -> api::Document {
    api::Document {
        name: name.into(),
        text: text.into(),
    }
}

async fn apply(service: &PolicySetService, names: &[&str]) -> api::ApplyResponse {
    let documents = names.iter().map(|name| document("", text(name, 80)));
    let request = api::ApplyRequest {
        documents: documents.collect(),
        ..api::ApplyRequest::default()
    };
    let answer = service.apply(Request::new(request)).await.unwrap();
    assert!(answer.extensions().get::<What>().is_some());
    answer.into_inner()
}

async fn names(service: &PolicySetService, request: api::ListRequest) -> (Vec<String>, String) {
    let answer = service.list(Request::new(request)).await.unwrap();
    let answer = answer.into_inner();
    let names = answer.policies.into_iter().map(|policy| policy.name);
    (names.collect(), answer.next_page_token)
}

#[tokio::test]
async fn a_bad_document_among_good_ones_changes_nothing_and_each_mistake_is_told() {
    let service = service();
    apply(&service, &["a"]).await;
    let bad = text("bad", 80).replace("TCP", "TPC");
    let request = api::ApplyRequest {
        documents: vec![
            document("good.yaml", text("b", 80)),
            document("bad.yaml", bad),
            document("twice.yaml", text("b", 81)),
        ],
        prune: true,
        ..api::ApplyRequest::default()
    };
    let status = service.apply(Request::new(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let told = status.message();
    for part in [
        "bad.yaml: document 1 (CiliumNetworkPolicy shop/bad): spec.ingress[0].toPorts[0]",
        "twice.yaml: CiliumNetworkPolicy shop/b is in good.yaml too",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
    assert!(
        fields[0].starts_with("documents[1]:spec.ingress[0]"),
        "{fields:?}"
    );
    assert_eq!(fields[1], "documents[2]");
    assert_eq!(names(&service, api::ListRequest::default()).await.0, ["a"]);
}

#[tokio::test]
async fn many_mistakes_fit_into_a_status() {
    let bad = text("bad", 80).replace("TCP", &"X".repeat(2000));
    let request = api::ApplyRequest {
        documents: vec![document("ü".repeat(3000).as_str(), bad); 500],
        ..api::ApplyRequest::default()
    };
    let status = service().apply(Request::new(request)).await.unwrap_err();
    assert!(status.message().len() < 8192, "{}", status.message().len());
    assert!(status.details().len() < 16384, "{}", status.details().len());
    assert!(status.message().contains("mistakes more"));
}

#[tokio::test]
async fn pages_of_a_list_have_each_policy_once() {
    let service = service();
    let all: Vec<_> = (0..25).map(|number| format!("p{number:02}")).collect();
    apply(
        &service,
        &all.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    let mut request = api::ListRequest {
        page_size: 10,
        ..api::ListRequest::default()
    };
    let mut found = Vec::new();
    loop {
        let (names, token) = names(&service, request.clone()).await;
        assert!(names.len() <= 10);
        found.extend(names);
        if token.is_empty() {
            break;
        }
        request.page_token = token;
    }
    assert_eq!(found, all);
    request.name_prefix = "p1".into();
    let status = service
        .list(Request::new(request.clone()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    request.page_token.clear();
    request.page_size = 0;
    assert_eq!(names(&service, request).await.0, all[10..20]);
}

#[tokio::test]
async fn what_a_change_left_alone_is_told_as_unchanged() {
    let service = service();
    apply(&service, &["a"]).await;
    let answer = apply(&service, &["b", "a"]).await;
    let told = answer.changes.iter().map(|change| {
        let name = change.policy.as_ref().unwrap().name.as_str();
        (name, change.action())
    });
    let expect = [
        ("a", api::PolicyAction::Unchanged),
        ("b", api::PolicyAction::Created),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expect);
    let status = answer.status.unwrap();
    assert_eq!((status.revision, status.policies), (2, 2));
    assert_eq!(status.state(), api::PolicyState::Active);
}

#[tokio::test]
async fn requests_have_bounds() {
    let service = service();
    let confirm_within = Some(prost_types::Duration {
        seconds: 0,
        nanos: 5,
    });
    let request = api::ApplyRequest {
        documents: vec![document("", text("a", 1))],
        confirm_within,
        ..api::ApplyRequest::default()
    };
    let status = service.apply(Request::new(request)).await.unwrap_err();
    assert!(status.message().starts_with("confirm_within: "));
    for count in [0, 10_001] {
        let request = api::DeleteRequest {
            policies: vec![api::PolicyReference::default(); count],
            ..api::DeleteRequest::default()
        };
        let status = service.delete(Request::new(request)).await.unwrap_err();
        assert!(status.message().starts_with("policies: "), "{status}");
    }
    let request = api::GetRequest::default();
    let status = service.get(Request::new(request)).await.unwrap_err();
    assert_eq!(status.message(), "policy.name: name a policy");
}

/// By somebody who sees everything.
fn whole<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .extensions_mut()
        .insert(crate::selection::View::WHOLE);
    request
}

fn question(source: api::End, port: u32) -> api::Connection {
    api::Connection {
        source: Some(source),
        destination: Some(api::End {
            labels: vec!["app=web".into()],
            namespace: "shop".into(),
            ..api::End::default()
        }),
        destination_port: port,
        ..api::Connection::default()
    }
}

fn outside() -> api::End {
    api::End {
        address: "192.0.2.1".into(),
        ..api::End::default()
    }
}

async fn evaluated(service: &PolicySetService, port: u32) -> api::EvaluateResponse {
    let request = api::EvaluateRequest {
        connection: Some(question(outside(), port)),
        direction: 0,
    };
    let answer = service.evaluate(whole(request)).await;
    answer.unwrap().into_inner()
}

#[tokio::test]
async fn a_verdict_names_its_rule_or_the_default_and_follows_the_mode() {
    let service = service();
    let free = evaluated(&service, 80).await;
    assert_eq!(free.verdict(), api::PolicyVerdict::Allow);
    assert_eq!(free.judgements[1].reason(), api::PolicyReason::NotSelected);
    apply(&service, &["a"]).await;
    let allowed = evaluated(&service, 80).await;
    let ingress = &allowed.judgements[1];
    assert_eq!(allowed.verdict(), api::PolicyVerdict::Allow);
    assert_eq!(
        (ingress.rules[0].rule.as_str(), ingress.is_default),
        ("ingress[0]", false)
    );
    assert_eq!(allowed.judgements[0].reason(), api::PolicyReason::Elsewhere);
    let denied = evaluated(&service, 443).await;
    let ingress = &denied.judgements[1];
    assert_eq!(denied.verdict(), api::PolicyVerdict::Deny);
    assert_eq!(
        (ingress.reason(), ingress.is_default),
        (api::PolicyReason::DefaultDeny, true)
    );
    assert_eq!(ingress.text, "CiliumNetworkPolicy shop/a default deny");
    assert_eq!(ingress.rules[0].revision, 1);
    let request = api::SetModeRequest {
        policies: vec![api::PolicyReference {
            namespace: "shop".into(),
            name: "a".into(),
            ..api::PolicyReference::default()
        }],
        mode: api::PolicyMode::Audit.into(),
        ..api::SetModeRequest::default()
    };
    service.set_mode(Request::new(request)).await.unwrap();
    let audited = evaluated(&service, 443).await;
    assert_eq!(audited.verdict(), api::PolicyVerdict::Audit);
    assert_eq!(audited.revision, 2);
}

#[tokio::test]
async fn what_is_no_connection_is_told_by_its_field() {
    let service = service();
    for (connection, field) in [
        (api::Connection::default(), "connection.source: "),
        (question(api::End::default(), 80), "connection.source: "),
        (question(outside(), 70_000), "connection.destination_port: "),
        (
            question(
                api::End {
                    address: "nowhere".into(),
                    ..api::End::default()
                },
                80,
            ),
            "connection.source: ",
        ),
        (
            question(
                api::End {
                    labels: vec!["a=b".into(); 257],
                    ..api::End::default()
                },
                80,
            ),
            "connection.source: ",
        ),
    ] {
        let request = api::EvaluateRequest {
            connection: Some(connection),
            direction: 0,
        };
        let status = service.evaluate(whole(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(field), "{status}");
    }
}

#[tokio::test]
async fn an_explanation_has_each_rule_that_is_about_an_end() {
    let service = service();
    apply(&service, &["a", "b"]).await;
    let request = api::ExplainRequest {
        what: Some(api::explain_request::What::Connection(question(
            outside(),
            443,
        ))),
    };
    let answer = service.explain(whole(request)).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.verdict(), api::PolicyVerdict::Deny);
    let ingress = answer.ingress.unwrap();
    assert_eq!(ingress.subject, "app=web");
    let outcomes: Vec<_> = ingress.rules.iter().map(|rule| rule.outcome()).collect();
    assert_eq!(outcomes, [api::RuleOutcome::OtherPort; 2]);
    assert!(answer.egress.unwrap().rules.is_empty());
    // Who does not see everything is not told who is at an address.
    let request = api::ExplainRequest {
        what: Some(api::explain_request::What::Connection(question(
            outside(),
            443,
        ))),
    };
    let status = service.explain(Request::new(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let request = api::ExplainRequest {
        what: Some(api::explain_request::What::FlowUuid("no-such".into())),
    };
    let status = service.explain(Request::new(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn who_watches_sees_each_change_once_and_those_before_if_asked() {
    use futures::StreamExt as _;

    let service = service();
    apply(&service, &["a"]).await;
    apply(&service, &["b"]).await;
    let watch = async |from_revision| {
        let request = api::WatchRequest { from_revision };
        let answer = service.watch(Request::new(request)).await.unwrap();
        answer.into_inner()
    };
    let number = |answer: Option<Result<api::WatchResponse, Status>>| {
        let answer = answer.unwrap().unwrap();
        answer.revision.map(|revision| revision.revision)
    };
    let from_revision = Some(3);
    let unknown = service.watch(Request::new(api::WatchRequest { from_revision }));
    assert_eq!(unknown.await.err().unwrap().code(), Code::OutOfRange);
    let (mut old, mut new) = (watch(Some(0)).await, watch(None).await);
    assert_eq!(
        (number(old.next().await), number(new.next().await)),
        (None, None)
    );
    assert_eq!(number(old.next().await), Some(1));
    assert_eq!(number(old.next().await), Some(2));
    apply(&service, &["c"]).await;
    apply(&service, &["d"]).await;
    for revision in [3, 4] {
        assert_eq!(number(new.next().await), Some(revision));
        assert_eq!(number(old.next().await), Some(revision));
    }
}

#[tokio::test]
async fn a_policy_in_messages_is_applied_told_and_changed() {
    let service = service();
    apply(&service, &["a"]).await;
    let get = || async {
        let policy = Some(api::PolicyReference {
            name: "a".into(),
            namespace: "shop".into(),
            ..api::PolicyReference::default()
        });
        let answer = service.get(Request::new(api::GetRequest { policy })).await;
        answer.unwrap().into_inner().policy.unwrap()
    };
    let policy = get().await;
    let mut typed = api::TypedPolicy {
        kind: policy.kind,
        namespace: policy.namespace,
        name: policy.name,
        specs: policy.specs,
    };
    let with = |typed: &api::TypedPolicy| api::ApplyRequest {
        policies: vec![typed.clone()],
        ..api::ApplyRequest::default()
    };
    typed.specs[0].ingress[0].to_ports[0].ports[0].port = "81".into();
    service.apply(Request::new(with(&typed))).await.unwrap();
    assert_eq!(get().await.specs, typed.specs);
    assert!(get().await.document.contains(r#""port":"81""#));

    typed.specs[0].ingress[0].to_ports[0].ports[0].port = "81x!".into();
    let status = service.apply(Request::new(with(&typed))).await.unwrap_err();
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    assert_eq!(
        violations[0].field,
        "policies[0]:spec.ingress[0].toPorts[0].ports[0].port"
    );
    assert_eq!(get().await.specs[0].ingress.len(), 1);
}
