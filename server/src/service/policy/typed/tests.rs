use sextant_policy::document::{parse, policy_of, written};

use super::*;

/// All that the format has, and what is written in odd ways.
const DOCUMENTS: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: all, namespace: shop, labels: {a: b}}
spec:
  description: all of it
  labels: [{key: team, value: shop}, {key: x, source: k8s}]
  endpointSelector:
    matchLabels: {app: web, "k8s:tier": null}
    matchExpressions:
    - {key: env, operator: In, values: [a, b]}
    - {key: old, operator: DoesNotExist}
  enableDefaultDeny: {egress: false}
  ingress:
  - fromEndpoints: [{matchLabels: {app: api}}, {}]
    toPorts: [{ports: [{port: "80", protocol: TCP}, {port: "8000", endPort: 8080}, {port: http}]}]
    authentication: {mode: required}
  - fromEntities: [world-ipv4, host]
    icmps: [{fields: [{type: 8}, {family: IPv6, type: EchoRequest}]}]
  - toPorts: [{}]
  - {}
  ingressDeny:
  - fromCIDR: [10.0.0.0/8, 192.0.2.1]
  egress:
  - toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}, {cidr: "2001:db8::/32"}]
  egressDeny:
  - toEntities: [all]
    toPorts: [{ports: [{protocol: GRE}]}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: host}
specs:
- nodeSelector: {}
  ingress: [{fromEntities: [cluster]}]
- endpointSelector: {}
  ingress: null
  egress: [{toEntities: [world]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: nobody}
spec:
  endpointSelector: {}
  ingress:
  - fromEndpoints: []
  - {fromCIDR: [], toPorts: [{ports: [{port: "443"}]}]}
  - {fromEntities: [all], fromEndpoints: []}
  egress:
  - {toEntities: []}
"#;

fn typed(document: &Value) -> api::TypedPolicy {
    let policy = policy_of(document).unwrap();
    let kind = match policy.id.kind {
        Kind::Cilium => api::PolicyKind::CiliumNetworkPolicy,
        _ => api::PolicyKind::CiliumClusterwideNetworkPolicy,
    };
    api::TypedPolicy {
        kind: kind.into(),
        namespace: policy.id.namespace.clone(),
        name: policy.id.name,
        specs: specs(policy.id.kind, document),
    }
}

#[test]
fn a_policy_in_messages_means_what_its_document_means() {
    for one in written(DOCUMENTS).unwrap() {
        let typed = typed(&one.document);
        assert!(!typed.specs.is_empty(), "{}", one.policy.id);
        let text = document(&typed, "policies[0]").unwrap();
        let mut again = parse(&text).unwrap();
        let mut before = one.policy;
        if before.id.name == "nobody" {
            // Said in other words; what counts is that nobody is let in.
            for rule in before.specs.iter_mut().flat_map(|spec| &mut spec.rules) {
                rule.peers = nobody();
            }
        }
        assert_eq!(again.remove(0), before);
        assert!(again.is_empty());
    }
}

fn nobody() -> sextant_policy::policy::Peers {
    use sextant_policy::policy::{Entity, Peer, Peers};
    Peers::These(vec![Peer::Entity(Entity::None)])
}

#[test]
fn messages_that_are_no_policy_are_refused_with_their_field() {
    let refused = |policy: &api::TypedPolicy| {
        let status = document(policy, "policies[7]").unwrap_err();
        status.message().to_owned()
    };
    let mut policy = api::TypedPolicy {
        name: "a".into(),
        ..api::TypedPolicy::default()
    };
    assert!(refused(&policy).starts_with("policies[7].specs: "));
    policy.kind = api::PolicyKind::NetworkPolicy.into();
    assert!(refused(&policy).starts_with("policies[7].kind: "));
    policy.kind = 99;
    assert!(refused(&policy).starts_with("policies[7].kind: "));
}

#[test]
fn kubernetes_policies_and_odd_documents_have_no_messages() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}}";
    let one = written(text).unwrap().remove(0);
    assert!(specs(one.policy.id.kind, &one.document).is_empty());
    // What stands in a list of parts that one cannot say is not left out in silence.
    let odd = json!({"specs": [{"endpointSelector": {}, "ingress": [{}]}, ["odd"]]});
    assert!(specs(Kind::Cilium, &odd).is_empty());
}

#[test]
fn a_document_has_what_was_given_and_nothing_else() {
    let text = r#"{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":{"name":"a"},"spec":{"endpointSelector":{"matchLabels":{"app":""}},"ingress":[{"toPorts":[{"ports":[{"port":"80"}]}]}]}}"#;
    let one = written(text).unwrap().remove(0);
    let policy = api::TypedPolicy {
        namespace: String::new(),
        ..typed(&one.document)
    };
    assert_eq!(document(&policy, "policies[0]").unwrap(), text);
}
