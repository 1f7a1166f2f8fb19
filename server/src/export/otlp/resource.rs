//! Who sends: the daemon, its host, and what the environment says of it.

use std::{fs, sync::LazyLock};

use opentelemetry::{KeyValue, Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource as Detected;

use crate::{
    percent,
    process::cgroup::{Belonging, is_id},
};

/// Another one each time that the daemon starts; the same for all its exporters.
static INSTANCE: LazyLock<Option<String>> = LazyLock::new(|| line("/proc/sys/kernel/random/uuid"));

/// The resource, with these attributes beside those that are found. What the environment
/// says (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`) wins over both.
pub(super) fn detect(given: &[(String, String)]) -> Resource {
    let found = [
        ("service.name", Some("sextantd".to_owned())),
        (
            "service.version",
            Some(env!("CARGO_PKG_VERSION").to_owned()),
        ),
        ("service.instance.id", INSTANCE.clone()),
        ("host.name", line("/proc/sys/kernel/hostname")),
        ("host.id", line("/etc/machine-id")),
        ("host.arch", Some(arch().to_owned())),
        ("os.type", Some("linux".to_owned())),
        ("os.version", line("/proc/sys/kernel/osrelease")),
        ("process.executable.name", Some("sextantd".to_owned())),
        ("container.id", container()),
    ];
    let found = found.into_iter().chain(kubernetes(&variable));
    let found = found.filter_map(|(key, value)| Some(KeyValue::new(key, Value::from(value?))));
    let given = given
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let said = variable("OTEL_RESOURCE_ATTRIBUTES").map(|text| attributes(&text));
    let said = said.into_iter().flatten();
    let mut builder = Detected::builder_empty()
        .with_attributes(found)
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .with_attributes(given)
        .with_attributes(said.map(|(key, value)| KeyValue::new(key, value)));
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        builder = builder.with_service_name(name);
    }
    let resource = ResourceAttributesWithSchema::from(&builder.build());
    Resource {
        attributes: resource.attributes.0,
        ..Resource::default()
    }
}

/// What a pod is told by the downward API; the names of node and cluster are those of the
/// daemon where it runs in Kubernetes.
fn kubernetes(variable: &dyn Fn(&str) -> Option<String>) -> [(&'static str, Option<String>); 5] {
    let is_pod = variable("KUBERNETES_SERVICE_HOST").is_some();
    let own = |name: &str| is_pod.then(|| variable(name)).flatten();
    [
        (
            "k8s.node.name",
            variable("NODE_NAME").or_else(|| own("SEXTANT_NODE_NAME")),
        ),
        ("k8s.cluster.name", own("SEXTANT_CLUSTER_NAME")),
        ("k8s.pod.name", variable("POD_NAME")),
        ("k8s.pod.uid", variable("POD_UID")),
        ("k8s.namespace.name", variable("POD_NAMESPACE")),
    ]
}

/// `key=value,key=value`, percent-encoded; nothing of it where a part is malformed, as the
/// specification says.
fn attributes(text: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let key = percent::decoded(key.trim())?;
        let value = percent::decoded(value.trim())?;
        (!key.is_empty()).then_some((key, value))
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    let all: Option<Vec<_>> = parts.map(pair).collect();
    if all.is_none() {
        tracing::warn!(
            "OTEL_RESOURCE_ATTRIBUTES: a part is no `key=value`, or not percent-encoded; all of it is passed over"
        );
    }
    all.unwrap_or_default()
}

/// The container that the daemon runs in: by its cgroup, else, where that is the root of a
/// namespace, by what the engine mounts into it.
fn container() -> Option<String> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_cgroup = cgroups.lines().find_map(|line| {
        let container = Belonging::of(line.splitn(3, ':').nth(2)?).container?;
        is_id(&container.id).then_some(container.id)
    });
    let mounts = || mounted_for(&fs::read_to_string("/proc/self/mountinfo").ok()?);
    of_cgroup.or_else(mounts)
}

/// `.../containers/ID/hostname` of Docker, `.../overlay-containers/ID/userdata/hostname` of
/// podman, as the source of `/etc/hostname`.
fn mounted_for(mounts: &str) -> Option<String> {
    let mut sources = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (source, target) = (fields.next()?, fields.next()?);
        (target == "/etc/hostname").then_some(source)
    });
    let parts: Vec<_> = sources.next()?.split('/').collect();
    let is_named = |pair: &&[&str]| pair[0].ends_with("containers") && is_id(pair[1]);
    let pair = parts.windows(2).find(is_named)?;
    Some(pair[1].to_owned())
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// As the semantic conventions name it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_environment_are_decoded_or_all_passed_over() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = pairs
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()));
            owned.collect()
        };
        for (text, expect) in [
            ("", &[][..]),
            ("a=1, b = two ", &[("a", "1"), ("b", "two")]),
            (
                "env=prod%2Ceu,x=%C3%A9=",
                &[("env", "prod,eu"), ("x", "\u{e9}=")],
            ),
            ("a=1,b", &[]),
            ("a=1,b=%zz", &[]),
            ("a=1,=2", &[]),
        ] {
            assert_eq!(attributes(text), pairs(expect), "{text}");
        }
    }

    #[test]
    fn names_of_the_daemon_are_those_of_kubernetes_in_a_pod_alone() {
        let of = |set: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let found = kubernetes(&variable).into_iter();
            let found = found.filter_map(|(key, value)| Some(format!("{key}={}", value?)));
            found.collect::<Vec<_>>().join(" ")
        };
        let names = [("SEXTANT_NODE_NAME", "n"), ("SEXTANT_CLUSTER_NAME", "c")];
        assert_eq!(of(&names), "");
        let pod = [
            &names[..],
            &[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("POD_UID", "u")],
        ];
        let told = "k8s.node.name=n k8s.cluster.name=c k8s.pod.uid=u";
        assert_eq!(of(&pod.concat()), told);
    }

    #[test]
    fn the_own_container_is_known_by_what_is_mounted_for_it() {
        let id = "0123456789abcdef".repeat(4);
        for source in [
            format!("/var/lib/docker/containers/{id}/hostname"),
            format!("/containers/storage/overlay-containers/{id}/userdata/hostname"),
        ] {
            let mounts = format!(
                "1 2 0:1 / / rw - overlay overlay rw\n3 1 8:1 {source} /etc/hostname rw - ext4 /dev/a rw\n"
            );
            assert_eq!(mounted_for(&mounts), Some(id.clone()), "{source}");
        }
        let other = "3 1 8:1 /containers/short/hostname /etc/hostname rw - ext4 /dev/a rw\n";
        assert_eq!(mounted_for(other), None);
        assert_eq!(mounted_for("nonsense"), None);
    }
}
