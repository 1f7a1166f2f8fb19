//! Whether the API server could be asked, for people.

use std::fmt::Write as _;

use kube::Config;

use crate::config;

/// What sextantd would ask; nobody is asked.
#[must_use]
pub fn probe(settings: &config::Kubernetes) -> String {
    let (found, text) = match (settings.enabled, &settings.kubeconfig) {
        (false, _) => (
            "no ",
            "is not to be asked ([kubernetes] enabled)".to_owned(),
        ),
        (true, Some(path)) => match kube::config::Kubeconfig::read_from(path) {
            Ok(_) => ("yes", format!("is asked as {} says", path.display())),
            Err(error) => ("no ", format!("{}: {error}", path.display())),
        },
        (true, None) => match Config::incluster() {
            Ok(config) => ("yes", format!("is asked at {}", config.cluster_url)),
            Err(error) => (
                "no ",
                format!("{error}; elsewhere than in a pod `[kubernetes] kubeconfig` says how"),
            ),
        },
    };
    let mut page = String::new();
    let _ = writeln!(page, "{:<10} {found} the API server {text}", "kubernetes");
    page
}
