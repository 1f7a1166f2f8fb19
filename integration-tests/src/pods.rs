//! Pods of a containerd of the test's own, by the Container Runtime Interface, without a
//! kubelet: what that would say is said with grpcurl.

use std::{path::Path, process::Command};

use crate::{
    engine::{Engine, IMAGE},
    hubble::tool,
};

/// Messages and fields that are used here, by their numbers in `runtime.v1`.
const API: &str = "syntax = \"proto3\";
package runtime.v1;
service RuntimeService {
  rpc RunPodSandbox(RunPodSandboxRequest) returns (Id);
  rpc CreateContainer(CreateContainerRequest) returns (Id);
  rpc StartContainer(Id) returns (Empty);
}
message Empty {}
message Id { string id = 1; }
message RunPodSandboxRequest { PodSandboxConfig config = 1; }
message PodSandboxConfig {
  Metadata metadata = 1; string log_directory = 3; map<string, string> labels = 6; LinuxPod linux = 8;
}
message Metadata { string name = 1; string uid = 2; string namespace = 3; }
message LinuxPod { string cgroup_parent = 1; PodSecurity security_context = 2; }
message PodSecurity { NamespaceOption namespace_options = 1; }
message NamespaceOption { int32 network = 1; }
message CreateContainerRequest {
  string pod_sandbox_id = 1; ContainerConfig config = 2; PodSandboxConfig sandbox_config = 3;
}
message ContainerConfig {
  ContainerMetadata metadata = 1; Image image = 2; repeated string command = 3; string log_path = 11;
  LinuxContainer linux = 15;
}
message ContainerMetadata { string name = 1; }
message Image { string image = 1; }
message LinuxContainer { ContainerSecurity security_context = 2; }
message ContainerSecurity { NamespaceOption namespace_options = 3; }
";
/// `NamespaceMode.NODE`.
const NODE: &str = r#"{"namespace_options": {"network": 2}}"#;

/// Runs a pod with the label `app=NAME` and one container, in the network of the engine.
///
/// # Panics
///
/// When it cannot.
pub fn run(engine: &Engine, namespace: &str, name: &str, container: &str, command: &[&str]) {
    let folder = engine.folder.path();
    std::fs::write(folder.join("cri.proto"), API).unwrap();
    let pod = format!(
        r#"{{"metadata": {{"name": "{name}", "uid": "{name}", "namespace": "{namespace}"}},
            "log_directory": "{}", "labels": {{"app": "{name}", "pod-template-hash": "7d9"}},
            "linux": {{"cgroup_parent": "/kubepods/pod{name}-{}", "security_context": {NODE}}}}}"#,
        folder.join("logs").display(),
        engine.mark(),
    );
    let sandbox = call(folder, "RunPodSandbox", &format!(r#"{{"config": {pod}}}"#));
    let command: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
    let config = format!(
        r#"{{"metadata": {{"name": "{container}"}}, "image": {{"image": "{IMAGE}"}}, "command": [{}],
            "log_path": "{name}", "linux": {{"security_context": {NODE}}}}}"#,
        command.join(", ")
    );
    let question = format!(
        r#"{{"pod_sandbox_id": {sandbox:?}, "config": {config}, "sandbox_config": {pod}}}"#
    );
    let id = call(folder, "CreateContainer", &question);
    call(folder, "StartContainer", &format!(r#"{{"id": {id:?}}}"#));
}

/// The id in the answer, if there is one.
fn call(folder: &Path, method: &str, question: &str) -> String {
    let out = Command::new(tool("grpcurl"))
        .args(["-plaintext", "-unix", "-proto", "cri.proto", "-import-path"])
        .arg(folder)
        .args(["-d", question])
        .arg(folder.join("socket"))
        .arg(format!("runtime.v1.RuntimeService/{method}"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{method}: {out:?}");
    let answer: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    answer["id"].as_str().unwrap_or_default().to_owned()
}
