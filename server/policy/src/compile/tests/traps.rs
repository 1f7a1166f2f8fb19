//! Sets in which the first entry that is there would be the wrong one, and the ends of
//! what numbers can be.

use std::collections::HashMap;

use ipnet::IpNet;
use sextant_ebpf_common::policy::{
    ANY_CLASS, Decision, EVERY_PROTOCOL, HOST_CLASS, Subject, reason_of, verdict, verdict_of,
};

use super::generator::{endpoint, net};
use crate::{
    compile::{Limits, MatchType, Reasons, Sets, Tables, TooLarge, Why, World, compile},
    document,
    endpoint::Endpoint,
    policy::{Direction, Policy},
    set::{Enforcement, PolicySet},
};

const SHOP: &str = "k8s:io.kubernetes.pod.namespace=shop";

fn web() -> Endpoint {
    endpoint(&["k8s:app=web", SHOP], &[("http", 6, 8080)])
}

fn api() -> Endpoint {
    endpoint(&["k8s:app=api", SHOP], &[("http", 6, 9090)])
}

fn host() -> Endpoint {
    endpoint(&["reserved:host"], &[])
}

fn policies(name: &str, spec: &str) -> Vec<Policy> {
    let text = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
         endpointSelector: {{matchLabels: {{app: web}}}}\n{spec}"
    );
    document::parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The host at 192.0.2.1 and ::1, `api` at 10.0.0.2, `web` judged as 1.
struct Compiled {
    tables: Tables,
    reasons: Reasons,
}

impl Compiled {
    fn of(enforced: &PolicySet, with_audit: &PolicySet) -> Result<Self, TooLarge> {
        Self::within(enforced, with_audit, &Limits::default())
    }

    fn within(
        enforced: &PolicySet,
        with_audit: &PolicySet,
        limits: &Limits,
    ) -> Result<Self, TooLarge> {
        let addresses = [
            ("192.0.2.1/32", host()),
            ("::1/128", host()),
            ("10.0.0.2/32", api()),
        ];
        let addresses: Vec<(IpNet, Endpoint)> = addresses
            .map(|(text, endpoint)| (net(text), endpoint))
            .into();
        let world = World {
            addresses: &addresses,
            subjects: &[web(), api(), endpoint(&["reserved:init"], &[]), host()],
            peers: &[web(), api()],
        };
        let revisions = enforced
            .policies()
            .iter()
            .map(|policy| (policy.id.clone(), 7));
        let sets = Sets {
            enforced,
            with_audit,
            revisions: &revisions.collect::<HashMap<_, _>>(),
        };
        let mut reasons = Reasons::default();
        let tables = compile(&sets, &world, &mut reasons, limits)?;
        Ok(Self { tables, reasons })
    }

    fn enforcing(spec: &str) -> Self {
        let set = PolicySet::new(policies("p", spec), Enforcement::Default);
        Self::of(&set, &set).unwrap()
    }

    fn decide(&self, direction: Direction, peer: &str, protocol: u8, port: u16) -> Decision {
        let class = self.tables.class_of(peer.parse().unwrap());
        self.tables.judge(1, direction, class, protocol, port)
    }

    fn to(&self, peer: &str, protocol: u8, port: u16) -> u32 {
        verdict_of(self.decide(Direction::Egress, peer, protocol, port))
    }

    fn from(&self, peer: &str, protocol: u8, port: u16) -> u32 {
        verdict_of(self.decide(Direction::Ingress, peer, protocol, port))
    }
}

#[test]
fn a_deny_for_more_ports_is_put_at_the_port_that_another_rule_allows() {
    let tables = Compiled::enforcing(
        "  egress: [{toCIDR: [198.51.100.0/24], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]\n  \
         egressDeny: [{toCIDR: [198.51.100.0/24], toPorts: [{ports: [{port: '64', endPort: 127, protocol: TCP}]}]}]\n",
    );
    assert_eq!(tables.to("198.51.100.7", 6, 80), verdict::DENY);
}

#[test]
fn an_allow_for_everybody_at_a_port_does_not_beat_the_deny_of_a_class() {
    let tables = Compiled::enforcing(
        "  egress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]\n  \
         egressDeny: [{toCIDR: [198.51.100.0/24], toPorts: [{ports: [{protocol: TCP}]}]}]\n",
    );
    assert_eq!(tables.to("198.51.100.7", 6, 80), verdict::DENY);
    assert_eq!(tables.to("198.51.101.7", 6, 80), verdict::ALLOW);
    assert_eq!(tables.to("198.51.101.7", 6, 81), verdict::DENY);
}

#[test]
fn a_deny_for_every_protocol_beats_an_allow_for_a_port() {
    let tables = Compiled::enforcing(
        "  egress: [{toEntities: [all], toPorts: [{ports: [{port: '80', protocol: TCP}, {protocol: UDP}]}]}]\n  \
         egressDeny: [{toCIDR: [198.51.100.0/24]}]\n",
    );
    for (protocol, port) in [(6, 80), (17, 1), (47, 0)] {
        assert_eq!(tables.to("198.51.100.7", protocol, port), verdict::DENY);
    }
    assert_eq!(tables.to("198.51.101.7", 17, 65_535), verdict::ALLOW);
    let all = Compiled::enforcing(
        "  egress: [{toEntities: [all], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]\n  \
         egressDeny: [{toEntities: [all]}]\n",
    );
    assert_eq!(all.to("198.51.100.7", 6, 80), verdict::DENY);
}

#[test]
fn a_class_that_is_allowed_more_is_not_denied_at_a_closer_block() {
    let tables = Compiled::enforcing(
        "  egress: [{toEndpoints: [{matchLabels: {app: api}}]}]\n  \
         egressDeny: [{toCIDR: [0.0.0.0/0], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]\n",
    );
    assert_eq!(tables.to("10.0.0.2", 6, 80), verdict::ALLOW);
    assert_eq!(tables.to("10.0.0.3", 6, 80), verdict::DENY);
}

#[test]
fn networks_reach_from_the_first_address_to_the_last_but_for_exceptions() {
    let tables = Compiled::enforcing(
        "  egress: [{toCIDRSet: [{cidr: 0.0.0.0/0, except: [0.0.0.0/32, 10.0.0.0/8, 255.255.255.255/32]}]}, \
         {toCIDRSet: [{cidr: '::/0', except: ['::/128', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128']}]}]\n",
    );
    for (peer, expected) in [
        ("0.0.0.0", verdict::DENY),
        ("0.0.0.1", verdict::ALLOW),
        ("9.255.255.255", verdict::ALLOW),
        ("10.0.0.0", verdict::DENY),
        ("10.255.255.255", verdict::DENY),
        ("11.0.0.0", verdict::ALLOW),
        ("255.255.255.254", verdict::ALLOW),
        ("255.255.255.255", verdict::DENY),
        ("::", verdict::DENY),
        ("::2", verdict::ALLOW),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", verdict::ALLOW),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", verdict::DENY),
    ] {
        assert_eq!(tables.to(peer, 6, 80), expected, "{peer}");
    }
    let first = |range| (range, Some(0));
    let (v4, v6) = (&tables.tables.ranges4, &tables.tables.ranges6);
    assert_eq!(
        first(v4.first().map(|range| range.from)),
        (Some(0), Some(0))
    );
    assert_eq!(v6.first().map(|range| range.from), Some([0, 0]));
    assert_eq!(tables.tables.spans4.len(), 65_536);
    assert!(tables.tables.spans4.iter().all(|span| span.len > 0));
}

#[test]
fn an_exception_of_one_network_is_in_another_one() {
    let tables = Compiled::enforcing(
        "  egress: [{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}, {cidr: 10.1.2.0/24}]}]\n",
    );
    assert_eq!(tables.to("10.1.2.3", 6, 80), verdict::ALLOW);
    assert_eq!(tables.to("10.1.3.3", 6, 80), verdict::DENY);
    assert_eq!(tables.to("10.0.3.3", 6, 80), verdict::ALLOW);
    // `api` is known, so it is no address.
    assert_eq!(tables.to("10.0.0.2", 6, 80), verdict::DENY);
}

#[test]
fn a_port_s_name_is_the_server_s() {
    let rule = "toPorts: [{ports: [{port: http, protocol: TCP}]}]";
    let tables = Compiled::enforcing(&format!(
        "  egress: [{{{rule}}}]\n  ingress: [{{{rule}}}]\n"
    ));
    assert_eq!(tables.to("10.0.0.2", 6, 9090), verdict::ALLOW);
    assert_eq!(tables.to("10.0.0.2", 6, 8080), verdict::DENY);
    assert_eq!(tables.to("198.51.100.7", 6, 9090), verdict::DENY);
    assert_eq!(tables.from("10.0.0.2", 6, 8080), verdict::ALLOW);
    assert_eq!(tables.from("10.0.0.2", 6, 9090), verdict::DENY);
}

#[test]
fn types_of_icmp_stand_where_ports_do() {
    let tables = Compiled::enforcing(
        "  egress: [{icmps: [{fields: [{type: 8}, {type: 128, family: IPv6}]}]}]\n",
    );
    assert_eq!(tables.to("198.51.100.7", 1, 8), verdict::ALLOW);
    assert_eq!(tables.to("198.51.100.7", 1, 0), verdict::DENY);
    assert_eq!(tables.to("2001:db8::1", 58, 128), verdict::ALLOW);
    assert_eq!(tables.to("2001:db8::1", 1, 128), verdict::DENY);
}

#[test]
fn who_is_not_selected_is_not_judged_unless_everybody_is() {
    let set = PolicySet::new(policies("p", "  ingress: [{}]\n"), Enforcement::Default);
    let tables = Compiled::of(&set, &set).unwrap().tables;
    assert_eq!(tables.subjects[0], Subject::default());
    assert!(!tables.subjects[1].egress.is_judged());
    assert_eq!(
        verdict_of(tables.subjects[1].ingress.otherwise),
        verdict::DENY
    );
    let other = tables.subjects[2];
    assert!(!other.ingress.is_judged() && !other.egress.is_judged());
    let init = tables.subjects[3];
    for scope in [init.ingress, init.egress] {
        assert_eq!(verdict_of(scope.otherwise), verdict::DENY);
    }
    let always = PolicySet::new([] as [Policy; 0], Enforcement::Always);
    let tables = Compiled::of(&always, &always).unwrap().tables;
    assert_eq!(
        verdict_of(tables.subjects[2].egress.otherwise),
        verdict::DENY
    );
    assert!(reason_of(tables.subjects[2].egress.otherwise) > 0);
    let never = PolicySet::new(policies("p", "  ingress: [{}]\n"), Enforcement::Never);
    let tables = Compiled::of(&never, &never).unwrap().tables;
    let judged = |subject: &Subject| subject.ingress.is_judged() || subject.egress.is_judged();
    assert!(!tables.subjects.iter().any(judged));
}

#[test]
fn a_unit_of_the_host_is_under_the_host_s_rules_and_its_own_and_has_a_class() {
    let own = "  ingress: [{toPorts: [{ports: [{port: '80'}]}]}]\n";
    let of_host = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: host}\n\
         spec:\n  nodeSelector: {}\n  ingress: [{toPorts: [{ports: [{port: '22'}]}]}]\n";
    let all = [policies("p", own), document::parse(of_host).unwrap()].concat();
    let set = PolicySet::new(all, Enforcement::Default);
    let unit = || web().on_host(&host().labels);
    let world = World {
        addresses: &[(net("192.0.2.1/32"), host())],
        subjects: &[unit(), web(), api().on_host(&host().labels)],
        peers: &[unit(), host()],
    };
    let sets = Sets {
        enforced: &set,
        with_audit: &set,
        revisions: &HashMap::new(),
    };
    let limits = Limits::default();
    let tables = compile(&sets, &world, &mut Reasons::default(), &limits).unwrap();
    assert_ne!(tables.peer_classes[0], HOST_CLASS);
    assert_eq!(tables.peer_classes[1], HOST_CLASS);
    let outside = tables.class_of("198.51.100.1".parse().unwrap());
    let judged =
        |subject, port| verdict_of(tables.judge(subject, Direction::Ingress, outside, 6, port));
    let verdicts = [1, 2, 3].map(|subject| [22, 80, 23].map(|port| judged(subject, port)));
    let (allow, deny) = (verdict::ALLOW, verdict::DENY);
    assert_eq!(
        verdicts,
        [
            [allow, allow, deny],
            [deny, allow, deny],
            [allow, deny, deny]
        ]
    );
}

#[test]
fn what_only_audit_denies_is_let_through_and_told() {
    let allowing = policies("a", "  egress: [{toCIDR: [198.51.0.0/16]}]\n");
    let audited = policies("b", "  egressDeny: [{toCIDR: [198.51.100.0/24]}]\n");
    let opening = policies("c", "  egress: [{toCIDR: [203.0.113.0/24]}]\n");
    let enforced = PolicySet::new(allowing.clone(), Enforcement::Default);
    let all = [allowing, audited, opening].concat();
    let with_audit = PolicySet::new(all, Enforcement::Default);
    let tables = Compiled::of(&enforced, &with_audit).unwrap();
    assert_eq!(tables.to("198.51.1.1", 6, 80), verdict::ALLOW);
    assert_eq!(tables.to("198.51.100.1", 6, 80), verdict::AUDIT);
    assert_eq!(
        tables.to("203.0.113.1", 6, 80),
        verdict::DENY,
        "audit opens nothing"
    );
    let nothing = PolicySet::default();
    let tables = Compiled::of(&nothing, &with_audit).unwrap();
    assert_eq!(tables.to("192.0.2.200", 6, 80), verdict::AUDIT);
    let allowed = tables.decide(Direction::Egress, "203.0.113.1", 6, 80);
    assert_eq!(
        (verdict_of(allowed), reason_of(allowed)),
        (verdict::ALLOW, 0)
    );
}

#[test]
fn what_needs_authentication_is_denied_for_that_reason() {
    let tables = Compiled::enforcing(
        "  ingress: [{fromEndpoints: [{}], authentication: {mode: required}}, \
         {fromEndpoints: [{}], toPorts: [{ports: [{port: '80'}]}], authentication: {mode: disabled}}]\n",
    );
    assert_eq!(tables.from("10.0.0.2", 6, 80), verdict::ALLOW);
    let decision = tables.decide(Direction::Ingress, "10.0.0.2", 6, 81);
    assert_eq!(verdict_of(decision), verdict::DENY);
    let because = tables.reasons.get(reason_of(decision)).unwrap();
    assert_eq!(because.why, Why::Authentication);
    assert_eq!(because.told[0].place, "ingress[0]");
}

#[test]
fn who_is_named_beside_everybody_is_closer_as_authentication_goes() {
    let tables = Compiled::enforcing(
        "  egress: [{toEntities: [all], authentication: {mode: required}}, \
         {toEntities: [all, world], authentication: {mode: disabled}}]\n",
    );
    assert_eq!(tables.to("198.51.100.1", 6, 80), verdict::ALLOW);
    assert_eq!(tables.to("10.0.0.2", 6, 80), verdict::DENY);
}

#[test]
fn a_reason_tells_policy_revision_rule_and_how_close_it_is() {
    let tables = Compiled::enforcing(
        "  egress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]\n  \
         egressDeny: [{toCIDR: [198.51.100.0/24]}]\n",
    );
    let told = |peer, port| {
        let decision = tables.decide(Direction::Egress, peer, 6, port);
        let because = tables.reasons.get(reason_of(decision)).unwrap();
        let told = because.told.iter();
        let told = told.map(|told| format!("{} {} {}", told.policy, told.revision, told.place));
        (because.match_type, told.collect::<Vec<_>>())
    };
    let of = |place| vec![format!("CiliumNetworkPolicy shop/p 7 {place}")];
    assert_eq!(told("192.0.2.9", 80), (MatchType::Port, of("egress[0]")));
    assert_eq!(
        told("198.51.100.1", 80),
        (MatchType::Peer, of("egressDeny[0]"))
    );
    assert_eq!(told("192.0.2.9", 81), (MatchType::None, of("")));
}

#[test]
fn the_host_has_its_own_class_and_many_networks_of_a_rule_have_one() {
    let nets: Vec<_> = (0..4_000_u32)
        .map(|n| format!("'{}'", std::net::Ipv4Addr::from(0x6000_0000 + n * 512)))
        .collect();
    let tables = Compiled::enforcing(&format!("  egress: [{{toCIDR: [{}]}}]\n", nets.join(",")));
    for own in ["192.0.2.1", "::1"] {
        assert_eq!(tables.tables.class_of(own.parse().unwrap()), HOST_CLASS);
    }
    let mut classes: Vec<_> = tables
        .tables
        .ranges4
        .iter()
        .map(|range| range.class)
        .collect();
    classes.sort_unstable();
    classes.dedup();
    // The host, `api`, those of the rule, those outside of it.
    assert!(
        classes.len() <= 4 && !classes.contains(&ANY_CLASS),
        "{classes:?}"
    );
    assert_eq!(tables.tables.taken, 1);
    assert_eq!(tables.to("96.0.2.0", 6, 1), verdict::ALLOW);
    assert_eq!(tables.to("96.0.2.1", 6, 1), verdict::DENY);
}

#[test]
fn a_rule_about_most_classes_takes_entries_for_the_others() {
    let app = |n: u8| endpoint(&[&format!("k8s:app=a{n}"), SHOP], &[]);
    let addresses: Vec<_> = (0..40)
        .map(|n| (net(&format!("10.0.1.{n}/32")), app(n)))
        .collect();
    let each = (0..40).map(|n| {
        format!("{{toEndpoints: [{{matchLabels: {{app: a{n}}}}}], toPorts: [{{ports: [{{port: '{}'}}]}}]}}", n + 1)
    });
    let each: Vec<_> = each.collect();
    let spec = format!(
        "  egress: [{}]\n  ingress: [{{fromEntities: [cluster], toPorts: [{{ports: [{{port: '80', protocol: TCP}}]}}]}}]\n",
        each.join(",")
    );
    let set = PolicySet::new(policies("p", &spec), Enforcement::Default);
    let world = World {
        addresses: &addresses,
        subjects: &[web()],
        peers: &[],
    };
    let sets = Sets {
        enforced: &set,
        with_audit: &set,
        revisions: &HashMap::new(),
    };
    let mut reasons = Reasons::default();
    let tables = compile(&sets, &world, &mut reasons, &Limits::default()).unwrap();
    let from = |peer: &str| {
        let class = tables.class_of(peer.parse().unwrap());
        tables.judge(1, Direction::Ingress, class, 6, 80)
    };
    assert_eq!(verdict_of(from("10.0.1.7")), verdict::ALLOW);
    let denied = from("198.51.100.1");
    assert_eq!(verdict_of(denied), verdict::DENY);
    assert_eq!(
        reasons.get(reason_of(denied)).unwrap().why,
        Why::DefaultDeny
    );
    // Three protocols for each of 40 ports; everybody, and who is outside by IPv4 and
    // IPv6 or the host.
    assert!(tables.taken <= 120 + 4, "{}", tables.taken);
}

#[test]
fn lengths_are_those_that_are_in_use() {
    let tables = Compiled::enforcing(
        "  egress: [{toEntities: [world]}, {toPorts: [{ports: [{port: '80', protocol: TCP}, {port: '1', endPort: 2}]}]}]\n",
    );
    let expected = 1 << 16 | 1 << EVERY_PROTOCOL;
    assert_eq!(tables.tables.subjects[1].egress.lengths, expected);
}

#[test]
fn what_does_not_fit_is_named() {
    let rules: Vec<_> = (1..=40).map(|port| format!("{{port: '{port}'}}")).collect();
    let spec = format!(
        "  egress: [{{toPorts: [{{ports: [{}]}}]}}]\n",
        rules.join(",")
    );
    let set = PolicySet::new(policies("p", &spec), Enforcement::Default);
    let all = Limits::default();
    for (limits, what) in [
        (Limits { places: 64, ..all }, "entries of rules"),
        (Limits { ranges4: 1, ..all }, "ranges of IPv4"),
        (Limits { ranges6: 1, ..all }, "ranges of IPv6"),
        (Limits { classes: 2, ..all }, "classes of peers"),
        (Limits { subjects: 4, ..all }, "subjects"),
        (Limits { rules: 1, ..all }, "distinct sets of rules"),
        (Limits { steps: 10, ..all }, "steps to compile"),
    ] {
        let refused = Compiled::within(&set, &set, &limits).err().unwrap();
        assert_eq!(refused.what, what);
        assert!(refused.needed > refused.room, "{refused}");
    }
}
