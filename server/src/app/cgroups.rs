//! The task that looks which units and containers are there, and tells who came and went.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{agent_events, lock};
use crate::{datapath::CgroupRoot, kubernetes::Kubernetes, pipeline::Pipeline, process::Groups};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Does so, without an end. Pods that Kubernetes tells of are told by it.
pub(super) async fn follow(groups: Groups, kubernetes: Kubernetes, pipeline: Arc<Mutex<Pipeline>>) {
    // Where there is none, the programs that need it told so.
    let root = CgroupRoot::open().ok();
    let mut changed = groups.watch();
    let mut looks = tokio::time::interval(EVERY);
    loop {
        let is_time = tokio::select! {
            _ = looks.tick() => true,
            _ = changed.changed() => !groups.are_found(),
        };
        if let Some(root) = root.as_ref().filter(|_| is_time) {
            // Of a file system: the runtime goes on meanwhile.
            tokio::task::block_in_place(|| groups.look(root));
        }
        for news in groups.take_news() {
            let (namespace, pod_name) = (&news.endpoint.namespace, &news.endpoint.pod_name);
            if !kubernetes.has_pod(namespace, pod_name) {
                lock(&pipeline).tell(agent_events::of(news));
            }
        }
    }
}
