//! What a cluster of many pods costs the daemon: until all are known, what they take, and
//! what pods take that come and go. Who answers is a list and a watch over plain HTTP of
//! this benchmark's own, not a real API server: of one, ten thousand pods are not to be had.

use std::{
    convert::Infallible,
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    routing::get,
};
use futures::{Stream, stream::unfold};
use serde_json::{Value, json};
use sextant_integration_tests::daemon::connect;
use sextant_proto::sextant::status::v1::{
    GetStatusRequest, status_service_client::StatusServiceClient,
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    Bench,
    report::{Figure, Samples},
    server::{Load, Server, Transport, until_quiet},
};

const PODS: u32 = 10_000;
/// Of which are on the daemon's own node.
const HERE: u32 = 100;
/// Pods that come or go a second, and for how long they do.
const CHANGES: u32 = 100;
const SECONDS: u64 = 10;
const FLOWS: u64 = 1023;
const MIB: f64 = 1_048_576.0;
/// A list of ten thousand takes a moment.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);

/// What the rounds took.
#[derive(Debug, Default)]
struct Costs {
    known_s: Samples,
    known_cpu_s: Samples,
    memory: Samples,
    changes: Samples,
}

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(FLOWS)?,
        times: 1,
        capacity: FLOWS,
        transport: Transport::Unix,
    };
    let mut costs = Costs::default();
    for _ in 0..bench.runs() {
        round(bench, &load, &mut costs).await?;
    }
    for (what, unit, sextant) in [
        ("from the start until all are known", "s", costs.known_s),
        ("CPU for that", "s", costs.known_cpu_s),
        ("memory for that", "MiB", costs.memory),
        (
            "CPU while 100 a second come and go",
            "% of a core",
            costs.changes,
        ),
    ] {
        bench.report.add(Figure {
            scenario: "kubernetes",
            what: format!("{PODS} pods (of an HTTP server that is no real API server): {what}"),
            unit,
            sextant,
            hubble: None,
            goal: None,
        });
    }
    Ok(())
}

async fn round(bench: &Bench, load: &Load, costs: &mut Costs) -> anyhow::Result<()> {
    let plain = Server::sextant(&bench.options.sextantd, load).await?;
    until_quiet(&plain).await?;
    let (without, own) = (plain.cpu()?, plain.own_rss()?);
    drop(plain);

    let cluster = Cluster::start().await?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig())?;
    let config = folder.path().join("sextant.toml");
    std::fs::write(
        &config,
        format!(
            "[kubernetes]\nenabled = true\nkubeconfig = '{}'\n",
            kubeconfig.display()
        ),
    )?;
    let config = config.to_str().context("a folder whose name is no text")?;
    let begin = Instant::now();
    let server = Server::sextant_with(&bench.options.sextantd, load, &["--config", config]).await?;
    until_known(&server).await?;
    costs.known_s.0.push(begin.elapsed().as_secs_f64());
    until_quiet(&server).await?;
    let cpu = server.cpu()?;
    let more = cpu.saturating_sub(without);
    costs.known_cpu_s.0.push(more.as_secs_f64());
    let memory = server.own_rss()?.saturating_sub(own);
    costs.memory.0.push(memory as f64 / MIB);

    cluster.changes.store(true, Relaxed);
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let took = server.cpu()?.saturating_sub(cpu);
    let percent = took.as_secs_f64() / SECONDS as f64 * 100.0;
    costs.changes.0.push(percent);
    Ok(())
}

async fn until_known(server: &Server) -> anyhow::Result<()> {
    let channel = connect(&server.address).await.context("connecting")?;
    let mut client = StatusServiceClient::new(channel);
    let deadline = Instant::now() + KNOWN_WITHIN;
    loop {
        let status = client.get_status(GetStatusRequest {}).await?.into_inner();
        let kinds = status.status.context("no status")?.kubernetes;
        let pods = kinds.iter().find(|kind| kind.kind == "pods");
        if pods.is_some_and(|pods| pods.following && pods.objects == u64::from(PODS)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "pods are not known: {kinds:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Who answers for the cluster; it ends with this.
struct Cluster {
    address: SocketAddr,
    changes: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Cluster {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let changes = Arc::new(AtomicBool::new(false));
        let routes = Router::new()
            .route("/api/v1/{kind}", get(answer))
            .with_state(Arc::clone(&changes));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            changes,
            task,
        })
    }

    fn kubeconfig(&self) -> String {
        let address = self.address;
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        })
        .to_string()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is asked: a page of a list, or a watch.
#[derive(Debug, Default)]
struct Question {
    is_watch: bool,
    begin: u32,
    most: u32,
}

impl Question {
    fn of(query: &str) -> Self {
        let fields = query.split('&').filter_map(|field| field.split_once('='));
        let field = |key| fields.clone().find(|(name, _)| *name == key);
        let number = |key| field(key).and_then(|(_, value)| value.parse().ok());
        Self {
            is_watch: field("watch").is_some_and(|(_, value)| value != "false"),
            begin: number("continue").unwrap_or(0),
            most: number("limit").unwrap_or(PODS),
        }
    }
}

async fn answer(
    State(changes): State<Arc<AtomicBool>>,
    Path(kind): Path<String>,
    RawQuery(query): RawQuery,
) -> Body {
    let question = Question::of(&query.unwrap_or_default());
    let has_pods = kind == "pods";
    if question.is_watch {
        return Body::from_stream(watch(has_pods, changes));
    }
    let all = if has_pods { PODS } else { 0 };
    let end = all.min(question.begin + question.most);
    let items: Vec<_> = (question.begin..end)
        .map(|number| pod(number, "1"))
        .collect();
    let mut metadata = json!({"resourceVersion": "1"});
    if end < all {
        metadata["continue"] = end.to_string().into();
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items});
    Body::from(list.to_string())
}

/// Pods that come and, the oldest first, go, as long as there are changes.
fn watch(
    has_pods: bool,
    changes: Arc<AtomicBool>,
) -> impl Stream<Item = Result<String, Infallible>> {
    let ticks = tokio::time::interval(Duration::from_secs(1) / CHANGES);
    unfold((ticks, 1), move |(mut ticks, before)| {
        let changes = Arc::clone(&changes);
        async move {
            ticks.tick().await;
            while !has_pods || !changes.load(Relaxed) {
                ticks.tick().await;
            }
            let version = before + 1;
            let (kind, number) = match version % 2 {
                0 => ("ADDED", PODS + version / 2),
                _ => ("DELETED", version / 2),
            };
            let event = json!({"type": kind, "object": pod(number, &version.to_string())});
            Some((Ok(event.to_string() + "\n"), (ticks, version)))
        }
    })
}

/// A pod as large as those of a cluster are: some 4 KiB.
fn pod(number: u32, version: &str) -> Value {
    let app = format!("app-{}", number / 20);
    let node = match number % (PODS / HERE) {
        0 => "node-0".to_owned(),
        other => format!("node-{other}"),
    };
    let [_, a, b, c] = number.to_be_bytes();
    let address = format!("10.{a}.{b}.{c}");
    // Who owns which field, as the API server keeps it: the larger part of an object.
    let mut owned = String::new();
    for field in 0..40 {
        let _ = write!(
            owned,
            "f:field-{field} k:{{\"name\":\"main\"}} f:resources "
        );
    }
    json!({
        "metadata": {
            "name": format!("{app}-6d4cf56db6-{number:05}"), "namespace": format!("team-{}", number % 50),
            "uid": format!("00000000-0000-4000-8000-{number:012}"), "resourceVersion": version,
            "creationTimestamp": "2026-11-28T12:00:00Z",
            "labels": {
                "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop",
                "app.kubernetes.io/version": "1.2.3", "tier": "backend", "pod-template-hash": "6d4cf56db6",
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-6d4cf56db6"),
                "uid": format!("00000000-0000-4000-8000-{:012}", number / 20), "controller": true,
            }],
            "managedFields": [{
                "manager": "kubelet", "operation": "Update", "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": owned},
            }],
        },
        "spec": {
            "nodeName": node, "serviceAccountName": app,
            "containers": [{
                "name": "main", "image": "registry.example/shop/main:1.2.3",
                "env": [{"name": "LOG", "value": "info"}], "ports": [{"containerPort": 8080}],
            }],
        },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}
