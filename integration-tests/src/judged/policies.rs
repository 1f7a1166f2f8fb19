//! Sets of policies at random.

use super::{Dice, PORTS};

/// A set about the host and about `shop/api`.
pub fn policies(dice: &mut Dice) -> String {
    let mut text = String::new();
    for n in 0..1 + dice.below(3) {
        let (head, subject) = match dice.chance(5) {
            true => (
                format!("kind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: p{n}}}"),
                "nodeSelector: {}",
            ),
            false => (
                format!("kind: CiliumNetworkPolicy\nmetadata: {{name: p{n}, namespace: shop}}"),
                *dice.one(&[
                    "endpointSelector: {matchLabels: {app: api}}",
                    "endpointSelector: {}",
                ]),
            ),
        };
        text += &format!("---\napiVersion: cilium.io/v2\n{head}\nspec:\n  {subject}\n");
        for list in ["ingress", "egress", "ingressDeny", "egressDeny"] {
            let denies = list.ends_with("Deny");
            if !dice.chance(if denies { 2 } else { 5 }) {
                continue;
            }
            text += &format!("  {list}:\n");
            let way = if list.starts_with("in") { "from" } else { "to" };
            for _ in 0..1 + dice.below(3) {
                let authentication = match !denies && dice.below(20) == 0 {
                    true => ", authentication: {mode: required}",
                    false => "",
                };
                let (peers, ports) = (peers(dice, way), ports(dice));
                text += &format!("  - {{{peers}{ports}{authentication}}}\n");
            }
        }
        // A part without a rule is refused.
        if !text.ends_with("}\n") || !text.rsplit("---").next().unwrap().contains("  - ") {
            text += "  ingress:\n  - {fromEntities: [world]}\n";
        }
    }
    text
}

fn peers(dice: &mut Dice, way: &str) -> String {
    match dice.below(4) {
        0 => {
            let nets = [
                "10.9.1.0/24",
                "10.9.1.77/32",
                "0.0.0.0/0",
                "10.9.1.64/26",
                "192.0.2.0/25",
            ];
            let nets6 = [
                "fd09:1::/64",
                "fd09:1::77/128",
                "::/0",
                "fd09:1::70/124",
                "2001:db8::/40",
            ];
            format!(
                "{way}CIDR: [\"{}\", \"{}\"]",
                dice.one(&nets),
                dice.one(&nets6)
            )
        }
        1 => {
            let app = dice.one(&["api", "db"]);
            format!(
                "{way}Endpoints: [{{matchLabels: {{app: {app}, k8s:io.kubernetes.pod.namespace: shop}}}}]"
            )
        }
        2 => {
            let entity = dice.one(&[
                "all",
                "world",
                "host",
                "cluster",
                "world-ipv4",
                "world-ipv6",
                "none",
            ]);
            format!("{way}Entities: [{entity}]")
        }
        _ => format!(
            "{way}CIDRSet: [{{cidr: 10.9.0.0/16, except: [10.9.1.0/26]}}, {{cidr: \"fd09::/16\", except: [\"fd09:1::77/128\"]}}]"
        ),
    }
}

fn ports(dice: &mut Dice) -> String {
    let protocol = *dice.one(&["TCP", "UDP", "SCTP", "ANY"]);
    match dice.below(5) {
        0 | 3 => String::new(),
        1 => {
            let kinds = [8, 8, 13, 5].map(|kind| format!("{{family: IPv4, type: {kind}}}"));
            let kinds6 = [128, 128, 138, 200].map(|kind| format!("{{family: IPv6, type: {kind}}}"));
            format!(
                ", icmps: [{{fields: [{}, {}]}}]",
                dice.one(&kinds),
                dice.one(&kinds6)
            )
        }
        2 => {
            let (first, last) = (dice.one(&[1, 79, 443]), dice.one(&[4000, 4095, 5000]));
            format!(
                ", toPorts: [{{ports: [{{port: \"{first}\", endPort: {last}, protocol: {protocol}}}]}}]"
            )
        }
        _ => {
            let port = dice.one(&PORTS);
            format!(", toPorts: [{{ports: [{{port: \"{port}\", protocol: {protocol}}}]}}]")
        }
    }
}
