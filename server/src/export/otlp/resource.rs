//! Who sends: the daemon, its host, and what the environment says of it.

use std::{fs, sync::LazyLock};

use opentelemetry::{KeyValue, Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::{Resource as Detected, resource::EnvResourceDetector};

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
        ("k8s.node.name", variable("NODE_NAME")),
        ("k8s.pod.name", variable("POD_NAME")),
        ("k8s.namespace.name", variable("POD_NAMESPACE")),
    ];
    let found = found
        .into_iter()
        .filter_map(|(key, value)| Some(KeyValue::new(key, Value::from(value?))));
    let given = given
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let mut builder = Detected::builder_empty()
        .with_attributes(found)
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .with_attributes(given)
        .with_detector(Box::new(EnvResourceDetector::new()));
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        builder = builder.with_service_name(name);
    }
    let resource = ResourceAttributesWithSchema::from(&builder.build());
    Resource {
        attributes: resource.attributes.0,
        ..Resource::default()
    }
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
