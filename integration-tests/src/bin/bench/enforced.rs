//! What policies cost where they are enforced: the first packet of a flow, of few sources
//! (what the tables have of them is in the caches) and of as many as there are flows, and
//! those of a known one, each beside the same set in nftables.
//!
//! The programs' time is the kernel's own reading (`bpf_stats`). What nftables takes has no
//! such: a packet's whole way, from the call that sends it to its end, is measured without
//! it and with it, and so is Sextant's, in turns.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use sextant_integration_tests::{
    Daemon, Netns,
    enforced::{line_of, start},
    netns::Process,
    root, veth,
};
use tempfile::TempDir;

use crate::{
    Bench,
    attached::{Statistics, run_time},
    flood::flood,
    report::{Figure, Goal, Samples},
    rules::{PREFIXES, RULES, allowing, apply, chains, sets},
};

/// The host whose policies they are; no table of a program fills up with so many flows.
const HOST: &str = "10.9.1.2";
const FLOWS: u64 = 150_000;
/// Of first packets whose sources were looked up a moment ago.
const SOURCES: u64 = 64;
/// Packets of one flow, and through chains, which take long.
const OF_ONE: u64 = 500_000;
const THROUGH_CHAINS: u64 = 3000;
/// Answers once, so that the one flow is established to nftables.
const ANSWER: &str = "import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 80)); print('ready', flush=True)
data, who = s.recvfrom(100); s.sendto(data, who); print('answered', flush=True)
while True: time.sleep(60)
";
/// Policies of one call, which may have so many values.
const OF_ONE_CALL: usize = 4;
/// No flow ends meanwhile, and no drop is told beside them.
const STILL: &str = "[datapath]\ndrops = false\nother_idle = \"1h\"\nactive_interval = \"1h\"\nflows_ipv4 = 1400000\n";

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if !root() {
        bench.report.skip("enforced: needs root");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut added = Added::default();
    for _ in 0..bench.runs() {
        added.round(&bench.options.sextantd, &folder)?;
    }
    added.report(bench);
    Ok(())
}

/// A host, and the neighbour that sends.
struct Hosts {
    host: Netns,
    neighbour: Netns,
}

impl Hosts {
    fn new() -> Self {
        let (neighbour, host) = (Netns::new(), Netns::new());
        veth((&neighbour, "va"), (&host, "vb"), 1);
        host.run("ip route replace default via 10.9.1.1");
        neighbour.run(&format!("ping -c 1 {HOST}"));
        Self { host, neighbour }
    }

    fn observe(&self, sextantd: &Path) -> Daemon {
        Daemon::start_binary(sextantd, &self.host, STILL, &["--interface", "vb"])
    }

    /// Nanoseconds of a packet from the call that sends it on, and of the program that
    /// judges it.
    fn send(&self, packets: u64, of: &str, how_many: u64) -> anyhow::Result<Packet> {
        let before = run_time("sextant_in")?;
        let output = flood(&self.neighbour)?
            // That which the rules let in.
            .args([
                "udp",
                HOST,
                &packets.to_string(),
                "--port",
                "80",
                "--rate",
                "100000000",
            ])
            .args([of, &how_many.to_string()])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let took = text
            .split(" in ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let took: f64 = took.context("no time of the flood")?.parse()?;
        let after = run_time("sextant_in")?;
        Ok(Packet {
            way: took * 1e9 / packets as f64,
            program: (after.0 - before.0) / (after.1 - before.1),
        })
    }

    /// As `KINDS` has them.
    fn each(&self) -> anyhow::Result<[Packet; 3]> {
        Ok([
            self.send(FLOWS, "--flows", FLOWS)?,
            self.send(FLOWS, "--sources", SOURCES)?,
            self.known()?,
        ])
    }

    /// Of one flow that was answered.
    fn known(&self) -> anyhow::Result<Packet> {
        let mut answers = Process(start(&self.host, ANSWER, ""));
        ensure!(line_of(&mut answers.0) == "ready", "no server");
        self.send(1, "--flows", 1)?;
        ensure!(line_of(&mut answers.0) == "answered", "nothing came");
        self.send(OF_ONE, "--flows", 1)
    }
}

/// What is sent, and what policies may add to the program's time.
const KINDS: [(&str, Option<f64>); 3] = [
    ("first packet of a flow, each of another source", None),
    ("first packet of a flow, of 64 sources", Some(150.0)),
    ("packet of a known flow", Some(5.0)),
];

#[derive(Clone, Copy)]
struct Packet {
    way: f64,
    program: f64,
}

/// Nanoseconds that were added to a packet, by its kind.
#[derive(Default)]
struct Added {
    program: [Samples; 3],
    watched: [Samples; 3],
    judged: [Samples; 3],
    sets: [Samples; 3],
    chains: Samples,
}

impl Added {
    /// Each variant once, in namespaces of its own.
    fn round(&mut self, sextantd: &Path, folder: &TempDir) -> anyhow::Result<()> {
        let _stats = Statistics::on()?;
        let bare = Hosts::new().each()?;
        let hosts = Hosts::new();
        let daemon = hosts.observe(sextantd);
        let watched = hosts.each()?;
        drop((daemon, hosts));
        let hosts = Hosts::new();
        let daemon = hosts.observe(sextantd);
        apply(&daemon, &allowing(), OF_ONE_CALL)?;
        let judged = hosts.each()?;
        drop((daemon, hosts));
        let hosts = Hosts::new();
        load(&hosts.host, folder, &sets())?;
        let sets = hosts.each()?;
        let hosts = Hosts::new();
        load(&hosts.host, folder, &chains())?;
        let chains = hosts.send(THROUGH_CHAINS, "--flows", FLOWS)?;
        self.chains.0.push(chains.way - bare[0].way);
        for n in 0..KINDS.len() {
            self.program[n]
                .0
                .push(judged[n].program - watched[n].program);
            self.watched[n].0.push(watched[n].way - bare[n].way);
            self.judged[n].0.push(judged[n].way - watched[n].way);
            self.sets[n].0.push(sets[n].way - bare[n].way);
        }
        Ok(())
    }

    fn report(self, bench: &mut Bench) {
        let set = format!("{RULES} rules of {PREFIXES} prefixes");
        for (n, (which, most)) in KINDS.into_iter().enumerate() {
            let mut add = |what: &str, sextant: &Samples, goal: Option<f64>| {
                bench.report.add(Figure {
                    scenario: "enforced",
                    what: format!("{which}, {what}"),
                    unit: "ns",
                    sextant: sextant.clone(),
                    hubble: None,
                    goal: goal.map(Goal::AtMost),
                });
            };
            let to_program = format!("added to the program's time by {set}");
            add(&to_program, &self.program[n], most);
            let watched = "added to its way by Sextant without policies";
            add(watched, &self.watched[n], None);
            let of_sets = self.sets[n].median();
            add(
                &format!("added to that by {set}"),
                &self.judged[n],
                Some(of_sets),
            );
            let in_nftables = "added to its way by them in nftables";
            add(&format!("{in_nftables}, by sets"), &self.sets[n], None);
            if n == 0 {
                add(
                    &format!("{in_nftables}, a chain of rules"),
                    &self.chains,
                    None,
                );
            }
        }
    }
}

fn load(host: &Netns, folder: &TempDir, rules: &str) -> anyhow::Result<()> {
    let file = folder.path().join("rules.nft");
    std::fs::write(&file, rules)?;
    host.run(&format!("nft -f {}", file.display()));
    let loaded = host.run("nft list tables");
    ensure!(loaded.contains("bench"), "nftables has no rules: {loaded}");
    // What it puts off until the first packet.
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}
