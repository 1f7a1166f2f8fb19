//! What is shipped for Kubernetes (`docker/kubernetes`) is what the provider needs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::config::{self, KubernetesKind};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/kubernetes")
}

/// The files below a folder that end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path, end));
        } else if path.extension().is_some_and(|it| it == end) {
            all.push(path);
        }
    }
    all
}

fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let parsed = serde_saphyr::from_multiple(&text);
    parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn manifests_are_yaml_and_configurations_are_taken() {
    let manifests = files(&folder(), "yaml");
    assert!(manifests.len() > 10);
    for file in &manifests {
        assert!(!documents(file).is_empty(), "{}", file.display());
    }
    let configurations = files(&folder(), "toml");
    assert!(configurations.len() >= 3);
    for file in configurations {
        let text = fs::read_to_string(&file).unwrap();
        let config =
            config::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(config.kubernetes.enabled && config.kubernetes.peers);
    }
}

#[test]
fn the_account_may_what_the_provider_asks_and_no_more() {
    let account = documents(&folder().join("base/account.yaml"));
    let role = account
        .iter()
        .find(|one| one["kind"] == "ClusterRole")
        .unwrap();
    let rules = role["rules"].as_array().unwrap();
    let words = |value: &Value| -> BTreeSet<String> {
        let words = value.as_array().unwrap().iter();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let [rule] = rules.as_slice() else {
        panic!("one rule: {rules:?}");
    };
    assert_eq!(words(&rule["apiGroups"]), BTreeSet::from([String::new()]));
    assert_eq!(
        words(&rule["resources"]),
        KubernetesKind::ALL
            .map(|kind| kind.name().to_owned())
            .into()
    );
    assert_eq!(
        words(&rule["verbs"]),
        ["get", "list", "watch"].map(str::to_owned).into()
    );
}
