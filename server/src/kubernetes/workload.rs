//! Which workload a pod is of: its controller, and what that is a part of, by its name,
//! as Hubble tells it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::flow::Workload;

const TEMPLATE_HASH: &str = "pod-template-hash";
const DEPLOYMENT_CONFIG: &str = "deploymentconfig";
/// Digits of the minute at the end of a job's name that a cron job made.
const MINUTE: std::ops::RangeInclusive<usize> = 8..=10;

/// The workload of a pod; of one that nobody controls none.
pub(super) fn of(pod: &ObjectMeta) -> Option<Workload> {
    let owners = pod.owner_references.iter().flatten();
    let owner = owners
        .into_iter()
        .find(|owner| owner.controller == Some(true))?;
    let label = |key: &str| {
        let labels = pod.labels.as_ref()?;
        labels
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    };
    let workload = |kind: &str, name: &str| Workload {
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    let name = owner.name.as_str();
    let found = match owner.kind.as_str() {
        "ReplicaSet" => label(TEMPLATE_HASH)
            .and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'))
            .map(|name| workload("Deployment", name)),
        "ReplicationController" => {
            label(DEPLOYMENT_CONFIG).map(|name| workload("DeploymentConfig", name))
        }
        "Job" => cron_job(name).map(|name| workload("CronJob", name)),
        _ => None,
    };
    Some(found.unwrap_or_else(|| workload(&owner.kind, name)))
}

/// The cron job that made a job of this name.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    let is_minute = MINUTE.contains(&minute.len()) && minute.bytes().all(|b| b.is_ascii_digit());
    (is_minute && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn of_owner(kind: &str, name: &str, label: (&str, &str)) -> String {
        let owner = OwnerReference {
            kind: kind.into(),
            name: name.into(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        let pod = ObjectMeta {
            owner_references: Some(vec![owner]),
            labels: Some([(label.0.into(), label.1.into())].into()),
            ..ObjectMeta::default()
        };
        let found = of(&pod).unwrap();
        format!("{}/{}", found.kind, found.name)
    }

    #[test]
    fn a_pod_is_of_what_its_controller_is_a_part_of() {
        let none = ("app", "web");
        let hash = (TEMPLATE_HASH, "5d69");
        for (kind, name, label, expect) in [
            ("ReplicaSet", "web-5d69", hash, "Deployment/web"),
            ("ReplicaSet", "web-5d69", none, "ReplicaSet/web-5d69"),
            ("ReplicaSet", "other", hash, "ReplicaSet/other"),
            ("StatefulSet", "db", none, "StatefulSet/db"),
            ("DaemonSet", "agent", none, "DaemonSet/agent"),
            ("Job", "backup-28800000", none, "CronJob/backup"),
            ("Job", "backup-123", none, "Job/backup-123"),
            ("Job", "-28800000", none, "Job/-28800000"),
            (
                "ReplicationController",
                "w-1",
                (DEPLOYMENT_CONFIG, "w"),
                "DeploymentConfig/w",
            ),
        ] {
            assert_eq!(of_owner(kind, name, label), expect);
        }
        assert!(of(&ObjectMeta::default()).is_none());
    }
}
