//! The dearest questions about policies that are known: others are answered meanwhile,
//! and their memory is bounded and given back. Whoever may read flows may ask them.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::{Duration, Instant};

use sextant_integration_tests::{
    Daemon, Netns,
    cost::{replaying, resident_kib, slowest},
    daemon::connect_for_ever,
    dear::policies,
    eventually, root,
};
use sextant_proto::sextant::policy::v1::{
    SimulateRequest, policy_service_client::PolicyServiceClient,
};
use tonic::{Code, Status};

const FLOWS: usize = 20_000;
/// Questions at once.
const AT_ONCE: usize = 3;
/// Those that take long are left after so long, as a client with a deadline does.
const PATIENCE: Duration = Duration::from_secs(20);
/// KiB.
const MOST: u64 = 100 << 10;

/// A connection between two of a thousand endpoints.
fn line(n: usize) -> String {
    let end = |n: usize| {
        format!(
            "{{\"namespace\":\"shop\",\"pod_name\":\"p{n}\",\"labels\":[\"k8s:app=a{n}\",\"k8s:io.kubernetes.pod.namespace=shop\"]}}"
        )
    };
    let [source, destination] = [end(n % 1000), end((n + 7) % 1000)];
    let (nanos, port) = (n % 1000, 1 + n % 60_000);
    format!(
        "{{\"flow\":{{\"uuid\":\"{n}\",\"verdict\":\"FORWARDED\",\"Type\":\"L3_L4\",\"is_reply\":false,\
         \"time\":\"2026-01-02T03:04:05.{nanos:03}Z\",\"IP\":{{\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.2\",\"ipVersion\":\"IPv4\"}},\
         \"l4\":{{\"TCP\":{{\"source_port\":40000,\"destination_port\":{port}}}}},\
         \"source\":{source},\"destination\":{destination}}}}}\n"
    )
}

struct Asked {
    daemon: Daemon,
    server: String,
    before: u64,
    _namespace: Netns,
    _folder: tempfile::TempDir,
}

impl Asked {
    fn new() -> Self {
        let (daemon, namespace, folder) = replaying(FLOWS, line);
        Self {
            server: daemon.server(),
            before: resident_kib(daemon.pid()),
            daemon,
            _namespace: namespace,
            _folder: folder,
        }
    }

    /// The most memory beside that at the start, in KiB, while this goes on, and what
    /// others waited.
    fn beside(&self, work: impl Future<Output = ()>) -> (Duration, u64) {
        let (mut most, pid) = (0, self.daemon.pid());
        let waited = self.daemon.block_on(slowest(&self.server, work, || {
            most = most.max(resident_kib(pid).saturating_sub(self.before));
        }));
        (waited, most)
    }
}

async fn simulate(server: &str, request: SimulateRequest) -> Result<usize, Status> {
    let channel = connect_for_ever(server).await.unwrap();
    let mut client = PolicyServiceClient::new(channel);
    let mut answers = client.simulate(request).await?.into_inner();
    let mut count = 0;
    while answers.message().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// As often at once; what the first one is answered, if anything.
async fn several(server: &str, request: &SimulateRequest) -> Option<Result<usize, Status>> {
    let all = (0..AT_ONCE).map(|_| simulate(server, request.clone()));
    let all = tokio::time::timeout(PATIENCE, futures::future::join_all(all)).await;
    all.ok().map(|mut all| all.swap_remove(0))
}

#[test]
fn the_dearest_questions_about_policies_hold_nobody_up_and_take_no_memory() {
    if !root() {
        return;
    }
    let asked = Asked::new();
    for (name, request) in policies::all() {
        let (began, mut answer) = (Instant::now(), None);
        let (waited, most) = asked.beside(async {
            answer = several(&asked.server, &request).await;
        });
        let told = match &answer {
            None => "goes on".to_owned(),
            Some(Ok(count)) => format!("{count} messages"),
            Some(Err(status)) => {
                let text: String = status.message().chars().take(120).collect();
                format!("{:?}: {text}", status.code())
            }
        };
        let took = began.elapsed();
        println!("{name}: others waited {waited:.1?}, {most} KiB more, {took:.1?}, {told}");
        if let Some(Err(status)) = answer {
            let expected = [Code::InvalidArgument, Code::ResourceExhausted];
            assert!(expected.contains(&status.code()), "{name}: {status}");
        }
        assert!(waited <= Duration::from_secs(1), "{name}: {waited:?}");
        assert!(most < MOST, "{name}: grew by {most} KiB");
    }
    eventually("what a peak took is given back", || {
        let kept = resident_kib(asked.daemon.pid()).saturating_sub(asked.before);
        (kept < 30 << 10).then_some(())
    });
}

#[test]
fn questions_about_ever_new_ends_are_not_remembered_without_a_bound() {
    if !root() {
        return;
    }
    let asked = Asked::new();
    let (waited, most) = asked.beside(async {
        let channel = connect_for_ever(&asked.server).await.unwrap();
        let mut client = PolicyServiceClient::new(channel);
        for number in 0..1000 {
            let question = policies::of_strangers(number);
            client.evaluate(question).await.unwrap();
        }
    });
    println!(
        "a thousand questions of half a megabyte: others waited {waited:.1?}, {most} KiB more"
    );
    assert!(waited <= Duration::from_secs(1), "{waited:?}");
    assert!(most < MOST, "grew by {most} KiB");
}
