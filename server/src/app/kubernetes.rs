//! The task that follows a Kubernetes cluster, and what it changes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{sync::watch, task::JoinSet};

use super::{agent_events, lock, worker::unexpected};
use crate::{
    config,
    identity::{Identities, News},
    kubernetes::{self, Kubernetes},
    metrics::HubbleMetrics,
    pipeline::Pipeline,
    service::PeerNode,
};

/// At work where it is wanted.
pub(super) struct Following {
    known: Kubernetes,
    identities: Arc<Identities>,
    pipeline: Arc<Mutex<Pipeline>>,
    nodes: Nodes,
    /// Whose series of pods go with them.
    metrics: Option<HubbleMetrics>,
    task: JoinSet<()>,
}

/// What relays hear of the cluster's nodes.
#[derive(Clone)]
pub(super) struct Nodes {
    /// Where they hear it.
    pub(super) to: watch::Sender<Vec<PeerNode>>,
    /// The port of each.
    pub(super) port: Option<u16>,
    /// The cluster's name.
    pub(super) cluster: String,
    /// Whether they are reached over TLS.
    pub(super) is_tls: bool,
}

impl Nodes {
    fn tell(&self, known: &Kubernetes) {
        let Some(port) = self.port else { return };
        let nodes = known.nodes().into_iter().map(|(name, address)| PeerNode {
            address: SocketAddr::new(address, port).to_string(),
            tls_server_name: self
                .is_tls
                .then(|| config::server_name(&self.cluster, &name)),
            name: config::full_node_name(&self.cluster, &name),
        });
        let nodes: Vec<_> = nodes.collect();
        self.to.send_if_modified(|told| {
            let is_new = *told != nodes;
            *told = nodes;
            is_new
        });
    }
}

impl Following {
    /// Begins to ask.
    pub(super) fn start(
        settings: &config::Kubernetes,
        known: Kubernetes,
        identities: Arc<Identities>,
        pipeline: Arc<Mutex<Pipeline>>,
        nodes: Nodes,
        metrics: Option<HubbleMetrics>,
    ) -> Self {
        let mut following = Self {
            known,
            identities,
            pipeline,
            nodes,
            metrics,
            task: JoinSet::new(),
        };
        following.spawn(settings);
        following
    }

    /// Asks as these settings say from now on; names stay until the answer.
    pub(super) fn reload(&mut self, settings: &config::Kubernetes) {
        self.task.abort_all();
        if !settings.enabled {
            self.known.want(&[]);
            self.identities.refresh();
        }
        if !settings.enabled || !settings.peers {
            self.nodes.to.send_replace(Vec::new());
        }
        self.spawn(settings);
    }

    fn spawn(&mut self, settings: &config::Kubernetes) {
        if !settings.enabled {
            return;
        }
        let (settings, known) = (settings.clone(), self.known.clone());
        let (identities, pipeline) = (Arc::clone(&self.identities), Arc::clone(&self.pipeline));
        let nodes = settings.peers.then(|| self.nodes.clone());
        let (all, metrics) = (known.clone(), self.metrics.clone());
        let changed = move |news: Vec<News>| {
            identities.refresh();
            if let Some(nodes) = &nodes {
                nodes.tell(&all);
            }
            for one in news {
                // Hubble tells of endpoints of its own node alone.
                if one.is_here {
                    lock(&pipeline).tell(agent_events::of(one));
                } else if let Some(metrics) = &metrics {
                    metrics.hear(one);
                }
            }
        };
        self.task.spawn(async move {
            kubernetes::follow(settings, known, changed).await;
        });
    }

    /// Waits until it ends, which it does not by itself.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        while let Some(ended) = self.task.join_next().await {
            match ended {
                Err(error) if error.is_cancelled() => {}
                ended => {
                    return unexpected("the task that follows Kubernetes", ended.err());
                }
            }
        }
        std::future::pending().await
    }
}
