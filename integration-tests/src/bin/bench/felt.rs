//! How long it takes from the call that changes a policy until it is felt: datagrams go on
//! and on, and the first that does not come tells it. With a thousand other policies.

use std::{
    collections::HashSet,
    io::Write as _,
    process::Child,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use sextant_integration_tests::{
    Daemon, Netns,
    daemon::connect,
    enforced::{line_of, start},
    root, veth,
};
use sextant_proto::sextant::policy::v1::{
    ApplyRequest, Document, policy_service_client::PolicyServiceClient,
};

use crate::{
    Bench,
    report::{Figure, Goal, Samples},
    rules::{apply, policy, rule},
};

const OTHERS: usize = 1000;
const CHANGES: usize = 100;
/// Between two changes: some datagrams come and some do not.
const REST: Duration = Duration::from_millis(20);

/// Sends the time of day, each 0.2 ms or so, until a line comes; then says all that it sent.
const SENDER: &str = "import select, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sent = []
print('ready', flush=True)
while not select.select([sys.stdin], [], [], 0.0002)[0]:
    sent.append(time.time_ns())
    s.sendto(struct.pack('!Q', sent[-1]), ('10.9.1.2', 9000))
print(*sent, flush=True)
";

/// Takes them until a line comes; then says which.
const RECEIVER: &str = "import select, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9000)); came = []
print('ready', flush=True)
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if s in ready: came.append(struct.unpack('!Q', s.recv(8))[0])
    elif ready: break
print(*came, flush=True)
";

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("felt: needs root");
        return Ok(());
    }
    let (neighbour, host) = (Netns::new(), Netns::new());
    veth((&neighbour, "va"), (&host, "vb"), 1);
    let mut samples: [Samples; 3] = Default::default();
    for _ in 0..bench.runs() {
        let daemon =
            Daemon::start_binary(&bench.options.sextantd, &host, "", &["--interface", "vb"]);
        let began = Instant::now();
        apply(&daemon, &others(), OTHERS)?;
        samples[0].0.push(began.elapsed().as_secs_f64());
        let felt = felt(&daemon, &neighbour, &host)?;
        samples[1].0.push(felt[felt.len() / 2]);
        samples[2].0.push(felt[felt.len() * 99 / 100]);
    }
    let [applied, median, worst] = samples;
    for (what, unit, sextant, goal) in [
        (
            format!("Apply of {OTHERS} policies of the host"),
            "s",
            applied,
            Some(1.0),
        ),
        (
            "from the call of Apply until it is felt, p50".to_owned(),
            "ms",
            median,
            None,
        ),
        ("the same, p99".to_owned(), "ms", worst, Some(10.0)),
    ] {
        bench.report.add(Figure {
            scenario: "felt",
            what,
            unit,
            sextant,
            hubble: None,
            goal: goal.map(Goal::AtMost),
        });
    }
    Ok(())
}

/// Each lets somebody in.
fn others() -> Vec<Document> {
    let other = |n: usize| {
        let prefix = format!("12.{}.{}.0/24", n >> 8, n & 255);
        let port = format!("{{port: \"{}\"}}", 1000 + n);
        policy(&format!("o{n}"), &rule(&prefix, &port))
    };
    (0..OTHERS).map(other).collect()
}

/// Milliseconds that changes took which forbid what was allowed, in order.
fn felt(daemon: &Daemon, neighbour: &Netns, host: &Netns) -> anyhow::Result<Vec<f64>> {
    let receiver = ready(host, RECEIVER)?;
    let sender = ready(neighbour, SENDER)?;
    let called = daemon.block_on(changes(daemon))?;
    let sent = all(sender)?;
    let came: HashSet<u128> = all(receiver)?.into_iter().collect();
    let mut felt: Vec<_> = called
        .iter()
        .filter_map(|called| {
            let missing = |time: &&u128| **time >= *called && !came.contains(*time);
            let first = sent.iter().find(missing)?;
            Some((first - called) as f64 / 1e6)
        })
        .collect();
    ensure!(
        felt.len() == CHANGES,
        "{} of {CHANGES} changes were felt",
        felt.len()
    );
    felt.sort_unstable_by(f64::total_cmp);
    Ok(felt)
}

/// Allows and forbids in turns; the times of the calls that forbid.
async fn changes(daemon: &Daemon) -> anyhow::Result<Vec<u128>> {
    let mut client =
        PolicyServiceClient::new(connect(&daemon.server()).await.context("connecting")?);
    let mut called = Vec::new();
    for port in [9000, 9001].into_iter().cycle().take(2 * CHANGES) {
        let rule = rule("10.9.1.0/24", &format!("{{port: \"{port}\"}}"));
        let request = ApplyRequest {
            documents: vec![policy("changed", &rule)],
            force: true,
            ..ApplyRequest::default()
        };
        if port == 9001 {
            called.push(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos());
        }
        client.apply(request).await?;
        tokio::time::sleep(REST).await;
    }
    Ok(called)
}

fn ready(namespace: &Netns, program: &str) -> anyhow::Result<Child> {
    let mut child = start(namespace, program, "");
    let line = line_of(&mut child);
    ensure!(line == "ready", "it says {line:?}");
    Ok(child)
}

/// Ends it; the times that it says.
fn all(mut child: Child) -> anyhow::Result<Vec<u128>> {
    writeln!(child.stdin.as_mut().context("its input")?)?;
    let line = line_of(&mut child);
    child.wait()?;
    let times = line.split_whitespace().map(str::parse);
    Ok(times.collect::<Result<_, _>>()?)
}
