use super::*;
use crate::{document, label::Labels};

fn set(spec: &str) -> PolicySet {
    let text = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n  \
         endpointSelector: {{matchLabels: {{app: web}}}}\n{spec}"
    );
    match document::parse(&text) {
        Ok(policies) => PolicySet::new(policies, Enforcement::Default),
        Err(problems) => panic!("{problems}"),
    }
}

fn endpoint(labels: &[&str]) -> Endpoint {
    Endpoint::new(labels.iter().copied().collect::<Labels>())
}

fn web() -> Endpoint {
    endpoint(&["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"])
}

fn api() -> Endpoint {
    endpoint(&["k8s:app=api", "k8s:io.kubernetes.pod.namespace=shop"])
}

fn verdict(set: &PolicySet, peer: &Endpoint, direction: Direction, port: u16) -> Verdict {
    let subject = web();
    set.judge(&Connection {
        subject: &subject,
        peer,
        direction,
        protocol: 6,
        port,
    })
    .verdict
}

#[test]
fn an_endpoint_denies_by_default_in_the_direction_that_a_policy_is_about() {
    let set = set("  ingress: [{fromEndpoints: [{matchLabels: {app: api}}]}]\n");
    let stranger = Endpoint::outside([192, 0, 2, 1].into());
    assert_eq!(
        verdict(&set, &api(), Direction::Ingress, 80),
        Verdict::Allow
    );
    assert_eq!(
        verdict(&set, &stranger, Direction::Ingress, 80),
        Verdict::Deny
    );
    assert_eq!(
        verdict(&set, &stranger, Direction::Egress, 80),
        Verdict::Allow
    );
    let other = endpoint(&["k8s:app=api", "k8s:io.kubernetes.pod.namespace=other"]);
    assert_eq!(verdict(&set, &other, Direction::Ingress, 80), Verdict::Deny);
}

#[test]
fn an_empty_rule_and_an_empty_list_allow_nothing() {
    for rules in [
        "[{}]",
        "[{fromEndpoints: []}]",
        "[{fromEntities: [], toPorts: [{ports: [{port: '80'}]}]}]",
    ] {
        let set = set(&format!("  ingress: {rules}\n"));
        assert_eq!(
            verdict(&set, &api(), Direction::Ingress, 80),
            Verdict::Deny,
            "{rules}"
        );
    }
    let set = set("  ingress: [{toPorts: [{ports: [{port: '80'}]}]}]\n");
    assert_eq!(
        verdict(&set, &api(), Direction::Ingress, 80),
        Verdict::Allow
    );
    assert_eq!(verdict(&set, &api(), Direction::Ingress, 81), Verdict::Deny);
}

#[test]
fn a_denying_rule_beats_a_closer_allowing_one() {
    let set = set(
        "  egress: [{toCIDR: [192.0.2.7], toPorts: [{ports: [{port: '443', protocol: TCP}]}]}]\n  \
         egressDeny: [{toCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.64/26]}]}]\n",
    );
    let denied = Endpoint::outside([192, 0, 2, 7].into());
    assert_eq!(
        verdict(&set, &denied, Direction::Egress, 443),
        Verdict::Deny
    );
    let subject = web();
    let judgement = set.judge(&Connection {
        subject: &subject,
        peer: &denied,
        direction: Direction::Egress,
        protocol: 6,
        port: 443,
    });
    let Reason::Rules(rules) = judgement.reason else {
        panic!("{judgement:?}");
    };
    let told: Vec<_> = rules
        .iter()
        .map(|source| format!("{} {}", source.policy, source.rule.place()))
        .collect();
    assert_eq!(told, ["CiliumNetworkPolicy shop/p egressDeny[0]"]);
}

#[test]
fn policies_that_do_not_deny_by_default_take_away_only_what_they_deny() {
    let set = set("  enableDefaultDeny: {egress: false}\n  egressDeny: [{toEntities: [world]}]\n");
    let outside = Endpoint::outside([192, 0, 2, 7].into());
    assert_eq!(
        verdict(&set, &outside, Direction::Egress, 80),
        Verdict::Deny
    );
    assert_eq!(verdict(&set, &api(), Direction::Egress, 80), Verdict::Allow);
}

#[test]
fn addresses_are_of_those_outside_and_not_of_endpoints() {
    let set = set("  ingress: [{fromCIDR: [0.0.0.0/0]}]\n");
    let outside = Endpoint::outside([192, 0, 2, 7].into());
    assert_eq!(
        verdict(&set, &outside, Direction::Ingress, 80),
        Verdict::Allow
    );
    assert_eq!(verdict(&set, &api(), Direction::Ingress, 80), Verdict::Deny);
}

#[test]
fn the_closest_rule_that_says_so_asks_for_authentication() {
    let set = set(
        "  ingress: [{fromEndpoints: [{}], authentication: {mode: required}}, \
         {fromEndpoints: [{}], toPorts: [{ports: [{port: '80'}]}], authentication: {mode: disabled}}]\n",
    );
    assert_eq!(
        verdict(&set, &api(), Direction::Ingress, 80),
        Verdict::Allow
    );
    assert_eq!(
        verdict(&set, &api(), Direction::Ingress, 81),
        Verdict::AllowAuthenticated
    );
}

#[test]
fn an_endpoint_that_nothing_is_known_of_denies_by_default() {
    let set = PolicySet::default();
    let (init, peer) = (endpoint(&["reserved:init"]), api());
    for direction in [Direction::Ingress, Direction::Egress] {
        let judgement = set.judge(&Connection {
            subject: &init,
            peer: &peer,
            direction,
            protocol: 6,
            port: 80,
        });
        assert_eq!(judgement.verdict, Verdict::Deny);
    }
}

#[test]
fn a_namespace_has_its_name_as_a_label() {
    let shop = endpoint(&["k8s:io.kubernetes.pod.namespace=shop"]);
    let name = "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name";
    let told: Vec<_> = shop
        .labels
        .with("k8s", name)
        .map(|label| &label.value)
        .collect();
    assert_eq!(told, ["shop"]);
}

#[test]
fn a_port_that_is_not_told_is_each_port_of_the_protocol() {
    let set = set("  ingress: [{toPorts: [{ports: [{protocol: TCP}]}]}]\n");
    assert_eq!(
        verdict(&set, &api(), Direction::Ingress, 4711),
        Verdict::Allow
    );
}

#[test]
fn what_a_label_is_not_selects_endpoints_alone() {
    let outside = Endpoint::outside([192, 0, 2, 1].into());
    let health = endpoint(&["reserved:health"]);
    let other = endpoint(&["k8s:io.kubernetes.pod.namespace=other"]);
    for expression in [
        "{key: io.kubernetes.pod.namespace, operator: NotIn, values: [shop]}",
        "{key: io.kubernetes.pod.namespace, operator: NotIn, values: [shop]}, {key: tier, operator: DoesNotExist}",
    ] {
        let set = set(&format!(
            "  ingress: [{{fromEndpoints: [{{matchExpressions: [{expression}]}}]}}]\n"
        ));
        let ingress = |peer| verdict(&set, peer, Direction::Ingress, 80);
        assert_eq!(ingress(&other), Verdict::Allow, "{expression}");
        assert_eq!(ingress(&outside), Verdict::Deny, "{expression}");
        assert_eq!(ingress(&health), Verdict::Deny, "{expression}");
    }
    let set = set("  ingress: [{fromEndpoints: [{matchLabels: {'reserved:health': ''}}]}]\n");
    let ingress = |peer| verdict(&set, peer, Direction::Ingress, 80);
    assert_eq!(ingress(&health), Verdict::Allow);
    assert_eq!(ingress(&outside), Verdict::Deny);
}

#[test]
fn what_is_a_part_of_the_host_is_under_its_policies_and_under_its_own() {
    let text = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: host}\nspec:\n  \
         nodeSelector: {matchLabels: {role: edge}}\n  ingress: [{toPorts: [{ports: [{port: '22'}]}]}]\n---\n\
         apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: unit, namespace: system}\nspec:\n  \
         endpointSelector: {matchLabels: {unit: nginx.service}}\n  enableDefaultDeny: {egress: false}\n  ingress: [{fromEntities: [world], toPorts: [{ports: [{port: '80'}]}]}]\n  \
         egressDeny: [{toEntities: [host]}]\n";
    let set = match document::parse(text) {
        Ok(policies) => PolicySet::new(policies, Enforcement::Default),
        Err(problems) => panic!("{problems}"),
    };
    let host = endpoint(&["reserved:host", "k8s:role=edge"]);
    let unit = |name: &str| {
        let label = format!("sextant:unit={name}.service");
        endpoint(&[&label, "sextant:io.kubernetes.pod.namespace=system"])
    };
    let nginx = unit("nginx").on_host(&host.labels);
    let outside = Endpoint::outside([192, 0, 2, 1].into());
    let mut judge = crate::judge::Judge::new(&set);
    let mut judged = |subject: &Endpoint, peer: &Endpoint, direction, port| {
        let connection = Connection {
            subject,
            peer,
            direction,
            protocol: 6,
            port,
        };
        let verdict = set.judge(&connection).verdict;
        assert_eq!(judge.judge(&connection).verdict, verdict);
        verdict
    };
    for (subject, port, expected) in [
        (&nginx, 80, Verdict::Allow),
        (&nginx, 22, Verdict::Allow),
        (&nginx, 23, Verdict::Deny),
        (&unit("db").on_host(&host.labels), 80, Verdict::Deny),
        (&unit("nginx"), 22, Verdict::Deny),
        (&unit("db").on_host(&Labels::default()), 23, Verdict::Allow),
        (&unit("db"), 23, Verdict::Allow),
        (&host, 80, Verdict::Deny),
    ] {
        let verdict = judged(subject, &outside, Direction::Ingress, port);
        assert_eq!(verdict, expected, "{subject:?} {port}");
    }
    let egress = |peer: &Endpoint| {
        set.judge(&Connection {
            subject: &nginx,
            peer,
            direction: Direction::Egress,
            protocol: 6,
            port: 1,
        })
        .verdict
    };
    assert_eq!(egress(&host), Verdict::Deny);
    assert_eq!(egress(&unit("db").on_host(&host.labels)), Verdict::Deny);
    assert_eq!(egress(&unit("db")), Verdict::Allow);
}

#[test]
fn of_two_with_the_same_name_the_later_one_counts_in_whatever_order_they_come() {
    let named = |name: &str, description: &str| {
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{description: {description}, endpointSelector: {{}}, ingress: [{{}}]}}\n"
        );
        document::parse(&text).unwrap().remove(0)
    };
    for order in [["a", "b", "a"], ["b", "a", "a"], ["a", "a", "b"]] {
        let given = order.iter().enumerate();
        let set = PolicySet::new(
            given.map(|(n, name)| named(name, &format!("n{n}"))),
            Enforcement::Default,
        );
        let found: Vec<_> = set
            .policies()
            .iter()
            .map(|policy| policy.id.name.as_str())
            .collect();
        assert_eq!(found, ["a", "b"], "{order:?}");
        let last = order.iter().rposition(|name| *name == "a").unwrap();
        assert_eq!(set.policies()[0].specs[0].description, format!("n{last}"));
    }
}
