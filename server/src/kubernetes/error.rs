//! What can go wrong with the API server; all of it is tried again.

use std::path::PathBuf;

use kube::{
    config::{InClusterError, KubeconfigError},
    runtime::watcher,
};

/// Why the API server is not asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum KubernetesError {
    /// The file says nothing that is of use.
    #[error("{0}: {1}; name a kubeconfig that sextantd may read in `[kubernetes] kubeconfig`")]
    Kubeconfig(PathBuf, #[source] KubeconfigError),
    /// This is no pod.
    #[error("{0}; in a pod a service account says how, elsewhere `[kubernetes] kubeconfig`")]
    InCluster(#[source] InClusterError),
    /// Certificates or names that are of no use.
    #[error("no client can be made: {0}")]
    Client(#[source] kube::Error),
}

/// What a watch ran into, in one line for people.
pub(super) fn reason(error: &watcher::Error) -> String {
    use watcher::Error;
    let of = |error: &kube::Error| match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "{}; the account needs `get`, `list` and `watch`",
                status.message
            )
        }
        kube::Error::Api(status) => status.message.clone(),
        error => with_causes(error),
    };
    match error {
        Error::InitialListFailed(error) => format!("listing failed: {}", of(error)),
        Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            format!("watching failed: {}", of(error))
        }
        Error::WatchError(status) => format!("watching failed: {}", status.message),
        Error::NoResourceVersion => error.to_string(),
    }
}

/// The text with what is behind it, unless it says that itself.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let said = one.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = one.source();
    }
    text
}
