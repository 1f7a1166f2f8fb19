use super::*;

fn policy_of(spec: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n{spec}"
    )
}

/// What is wrong with a text, a line each.
fn problems(text: &str) -> String {
    match parse(text) {
        Ok(policies) => panic!("taken: {policies:?}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn what_is_not_supported_is_refused_by_its_path() {
    for (rule, path) in [
        (
            "egress: [{toFQDNs: [{matchName: a.example}]}]",
            "spec.egress[0].toFQDNs",
        ),
        ("egress: [{toServices: []}]", "spec.egress[0].toServices"),
        (
            "egressDeny: [{}, {toGroups: [{}]}]",
            "spec.egressDeny[1].toGroups",
        ),
        ("ingress: [{fromNodes: [{}]}]", "spec.ingress[0].fromNodes"),
        (
            "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]}]",
            "spec.ingress[0].toPorts[0].rules",
        ),
        (
            "ingress: [{toPorts: [{serverNames: [a]}]}]",
            "spec.ingress[0].toPorts[0].serverNames",
        ),
        (
            "ingress: [{fromCIDRSet: [{cidrGroupRef: a}]}]",
            "spec.ingress[0].fromCIDRSet[0].cidrGroupRef",
        ),
    ] {
        let told = problems(&policy_of(&format!("  endpointSelector: {{}}\n  {rule}\n")));
        let wanted = format!(
            "document 1 (CiliumNetworkPolicy shop/p): {path}: is not supported yet; leave it out: \
             a policy that promised more than it does would be worse"
        );
        assert_eq!(told, wanted);
    }
}

#[test]
fn a_mistake_is_told_by_document_path_and_remedy() {
    for (spec, wanted) in [
        (
            "  endpointSelector: {}\n",
            "spec: has no rule; write ingress",
        ),
        (
            "  ingress: [{}]\n",
            "spec: there is neither endpointSelector nor nodeSelector",
        ),
        (
            "  endpointSelector: {}\n  ingres: [{}]\n",
            "spec.ingres: unknown field `ingres`",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{toPorts: [{ports: [{port: 80}]}]}]\n",
            "spec.ingress[0].toPorts[0].ports[0].port: invalid type: integer `80`, expected a string; put it in quotes",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{toPorts: [{ports: [{port: '65536'}]}]}]\n",
            "spec.ingress[0].toPorts[0].ports[0].port: `65536` is no port",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{fromEntities: [hosts]}]\n",
            "spec.ingress[0].fromEntities[0]: unknown variant `hosts`",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{fromCIDR: [10.0.0.0/33]}]\n",
            "spec.ingress[0].fromCIDR[0]: `10.0.0.0/33` is no address or network",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{fromCIDR: [10.0.0.0/08]}]\n",
            "spec.ingress[0].fromCIDR[0]: `10.0.0.0/08` is no address or network",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{fromCIDRSet: [{cidr: 010.0.0.1/32}]}]\n",
            "spec.ingress[0].fromCIDRSet[0].cidr: `010.0.0.1/32` is no address or network",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{toPorts: [{ports: [{port: '80', protocol: tcp}]}]}]\n",
            "spec.ingress[0].toPorts[0].ports[0].protocol: `tcp` is no protocol",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{toPorts: [{ports: [{endPort: 8081}]}]}]\n",
            "spec.ingress[0].toPorts[0].ports[0].endPort: cannot stand beside port 0",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}]\n",
            "spec.ingress[0].fromCIDRSet[0].except[0]: 11.0.0.0/16 is not within 10.0.0.0/8",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{fromCIDR: [10.0.0.0/8], fromEntities: [host]}]\n",
            "spec.ingress[0].fromEntities: cannot stand beside fromCIDR",
        ),
        (
            "  endpointSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}\n  ingress: [{}]\n",
            "spec.endpointSelector.matchExpressions[0].operator: `in` is no operator",
        ),
        (
            "  nodeSelector: {}\n  ingress: [{}]\n",
            "spec.nodeSelector: a policy of a namespace has none",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{icmps: [{fields: [{type: Ech}]}]}]\n",
            "spec.ingress[0].icmps[0].fields[0].type: `Ech` is no type of ICMP",
        ),
        (
            "  endpointSelector: {}\n  ingress: [{icmps: [{fields: [{type: '08'}]}]}]\n",
            "spec.ingress[0].icmps[0].fields[0].type: `08` is no type of ICMP",
        ),
        (
            "  endpointSelector: {matchLabels: {':app': web}}\n  ingress: [{}]\n",
            "spec.endpointSelector.matchLabels.:app: `:app` is no key of a label",
        ),
        (
            "  endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': other}}\n  ingress: [{}]\n",
            "spec.endpointSelector: asks for another namespace than the policy's, `shop`",
        ),
    ] {
        let told = problems(&policy_of(spec));
        let wanted = format!("document 1 (CiliumNetworkPolicy shop/p): {wanted}");
        assert!(told.starts_with(&wanted), "{told}\nis not\n{wanted}");
        assert!(told.contains("; "), "{told}");
    }
}

#[test]
fn what_kubernetes_refuses_is_refused() {
    for (spec, wanted) in [
        (
            "policyTypes: [Ingress, Egress, Ingress]",
            "spec.policyTypes: more than two",
        ),
        (
            "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.0.0.0/8]}}]}]",
            "spec.ingress[0].from[0].ipBlock.except[1]: is all of 10.0.0.0/8",
        ),
    ] {
        let told = problems(&format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {{podSelector: {{}}, {spec}}}}}"
        ));
        let wanted = format!("document 1 (NetworkPolicy p): {wanted}");
        assert!(told.starts_with(&wanted), "{told}");
    }
}

#[test]
fn all_documents_are_looked_at_and_none_is_taken_if_one_is_bad() {
    let good = policy_of("  endpointSelector: {}\n  ingress: [{}]\n");
    let text = format!("{good}---\nkind: Pod\napiVersion: v1\n---\n\n---\n{good}");
    let told = problems(&text);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines[0].starts_with("document 2 (Pod): `v1` `Pod` is no policy; "),
        "{told}"
    );
    assert!(
        lines[1].contains("CiliumNetworkPolicy shop/p is there twice"),
        "{told}"
    );
    assert_eq!(parse(&good).map(|policies| policies.len()), Ok(1));
}

#[test]
fn a_list_and_json_are_read_too() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
         "metadata": {"name": "a"}, "spec": {"podSelector": {}}}]}"#;
    let policies = parse(text).expect("a list");
    assert_eq!(policies[0].id.to_string(), "NetworkPolicy default/a");
    let bad = text.replace("\"podSelector\": {}", "\"podSelectors\": {}");
    assert!(problems(&bad).contains("items[0].spec.podSelectors: unknown field"));
}

#[test]
fn a_text_that_would_grow_without_end_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, before) in ('b'..'k').zip('a'..) {
        text += &format!(
            "{this}: &{this} [{}*{before}]\n",
            format!("*{before}, ").repeat(8)
        );
    }
    for (text, wanted) in [
        (text, "alias"),
        ("- ".repeat(100_000), "Depth"),
        ("[".repeat(100_000), "recursion limit"),
        ("---\nx: y\n".repeat(10_001), "Documents"),
        (
            " ".repeat((8 << 20) + 1),
            "there are more than 8388608 bytes",
        ),
    ] {
        let told = problems(&text);
        assert!(told.contains(wanted), "{told}");
    }
}
