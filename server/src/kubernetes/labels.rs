//! Which labels say who a pod is, by Cilium's rule ("Limiting Identity-Relevant Labels"
//! in its documentation): not those that differ between the pods of one workload.

use super::objects::Labels;

/// Source of labels.
const SOURCE: &str = "k8s";
/// Keys that begin so count, whatever else.
const KEPT: [&str; 1] = ["app.kubernetes.io"];
/// Keys that begin so do not.
const LEFT_OUT: [&str; 14] = [
    "io.kubernetes",
    "kubernetes.io",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "k8s.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "controller-uid",
    "annotation",
    "etcd_node",
    "topology.kubernetes.io",
];
/// Nor do those with this anywhere.
const BETA: &str = "beta.kubernetes.io";

/// The namespace, as a label.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Before keys of labels of the namespace.
const OF_NAMESPACE: &str = "io.cilium.k8s.namespace.labels.";
const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
const CLUSTER: &str = "io.cilium.k8s.policy.cluster";
/// What the API server gives each namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Labels of a pod that are its own, with their source.
pub(super) fn of_pod(labels: &Labels) -> Vec<String> {
    let own = labels.iter().filter(|(key, _)| counts(key));
    own.map(|(key, value)| label(key, value)).collect()
}

/// Labels that the pods of a namespace have by it.
pub(super) fn of_namespace(name: &str, labels: &Labels) -> Vec<String> {
    let given = labels.iter().filter(|(key, _)| *key != NAMESPACE_NAME);
    let given = given.map(|(key, value)| label(&format!("{OF_NAMESPACE}{key}"), value));
    given.chain(by_name(name)).collect()
}

/// The same where nothing more is known of it.
pub(super) fn by_name(name: &str) -> [String; 1] {
    [label(&format!("{OF_NAMESPACE}{NAMESPACE_NAME}"), name)]
}

/// Labels of where a pod is.
pub(super) fn of_place(namespace: &str, service_account: &str, cluster: &str) -> [String; 3] {
    [
        label(NAMESPACE, namespace),
        label(SERVICE_ACCOUNT, service_account),
        label(CLUSTER, cluster),
    ]
}

fn label(key: &str, value: &str) -> String {
    format!("{SOURCE}:{key}={value}")
}

fn counts(key: &str) -> bool {
    // What a pod says of its namespace or account is not for it to say.
    if key == NAMESPACE || key.starts_with("io.cilium.k8s.") {
        return false;
    }
    KEPT.iter().any(|kept| key.starts_with(kept))
        || !(key.contains(BETA) || LEFT_OUT.iter().any(|out| key.starts_with(out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_one_pod_alone_and_posed_ones_do_not_count() {
        let given = [
            ("app", "web"),
            ("app.kubernetes.io/name", "web"),
            ("team.example/x", "red"),
            ("pod-template-hash", "1"),
            ("statefulset.kubernetes.io/pod-name", "web-0"),
            ("topology.kubernetes.io/zone", "a"),
            ("failure-domain.beta.kubernetes.io/zone", "a"),
            ("io.kubernetes.pod.namespace", "kube-system"),
            ("io.cilium.k8s.policy.serviceaccount", "admin"),
            ("io.cilium.k8s.namespace.labels.team", "blue"),
        ];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            of_pod(&given.into_iter().collect()),
            [
                "k8s:app=web",
                "k8s:app.kubernetes.io/name=web",
                "k8s:team.example/x=red"
            ]
        );
    }

    #[test]
    fn a_namespace_has_its_name_as_a_label_once() {
        let labels = [("team", "red"), (NAMESPACE_NAME, "shop")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            of_namespace("shop", &labels.into_iter().collect()),
            [
                "k8s:io.cilium.k8s.namespace.labels.team=red",
                "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop"
            ]
        );
    }
}
