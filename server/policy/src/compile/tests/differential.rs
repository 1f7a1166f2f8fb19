//! The tables say what the judge says, for random policies in random worlds.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{dice::Dice, generator, oracle};
use crate::{
    compile::{Limits, Reasons, Sets, Tables, World, compile},
    policy::{Direction, Policy},
    set::{Connection, Enforcement, PolicySet},
};

/// Sets of policies of a run.
const SETS: u64 = 400;
/// Connections that are judged by each.
const CONNECTIONS: usize = 500;
/// A seed of an earlier run, to look at it again.
const SEED: &str = "SEXTANT_SEED";

#[test]
fn tables_say_what_the_judge_says() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().unwrap());
    let seeds = match given {
        Some(seed) => seed..seed + 1,
        None => now.as_nanos() as u64..now.as_nanos() as u64 + SETS,
    };
    println!("seeds {seeds:?}, {CONNECTIONS} verdicts of each");
    for seed in seeds {
        if let Err(difference) = Case::of(seed).run() {
            panic!("{SEED}={seed}: {difference}");
        }
    }
}

struct Case {
    dice: Dice,
    enforced: PolicySet,
    with_audit: PolicySet,
}

impl Case {
    fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = dice.below(6);
        let all: Vec<Policy> = (0..count)
            .map(|name| generator::policy(&mut dice, name))
            .collect();
        let is_in_audit: Vec<_> = all.iter().map(|_| dice.once_in(4)).collect();
        let mut enforced: Vec<_> = all
            .iter()
            .zip(&is_in_audit)
            .filter(|(_, is)| !**is)
            .map(|(policy, _)| policy.clone())
            .collect();
        if dice.once_in(8) {
            enforced.extend((count > 0).then(|| generator::policy(&mut dice, 0)));
        }
        let mut enforcement = || generator::enforcement(&mut dice);
        let (one, mut other): (Enforcement, Enforcement) = (enforcement(), enforcement());
        if !dice.once_in(8) {
            other = one;
        }
        Self {
            enforced: PolicySet::new(enforced, one),
            with_audit: PolicySet::new(all, other),
            dice,
        }
    }

    fn run(mut self) -> Result<(), String> {
        let dice = &mut self.dice;
        let endpoints = generator::endpoints();
        let addresses = generator::addresses(dice, &endpoints);
        let world = World {
            addresses: &addresses,
            subjects: &endpoints,
            peers: &endpoints,
        };
        let revisions = Default::default();
        let sets = Sets {
            enforced: &self.enforced,
            with_audit: &self.with_audit,
            revisions: &revisions,
        };
        let mut reasons = Reasons::default();
        let limits = Limits::default();
        let tables =
            compile(&sets, &world, &mut reasons, &limits).map_err(|error| error.to_string())?;
        let edges = generator::edges();
        for _ in 0..CONNECTIONS {
            let subject = dice.below(endpoints.len());
            let (peer, class) = if dice.once_in(3) {
                let number = dice.below(endpoints.len());
                (endpoints[number].clone(), tables.peer_classes[number])
            } else {
                let address = dice.of(&edges);
                (oracle::at(&addresses, address), tables.class_of(address))
            };
            let connection = Connection {
                subject: &endpoints[subject],
                peer: &peer,
                direction: dice.of(&[Direction::Ingress, Direction::Egress]),
                protocol: dice.of(&generator::PROTOCOLS),
                port: generator::port(dice),
            };
            let decision = decision(&tables, subject, class, &connection);
            oracle::check(&sets, &connection, decision, &reasons)
                .map_err(|difference| format!("{difference}: {connection:?} by {sets:?}"))?;
        }
        Ok(())
    }
}

fn decision(tables: &Tables, subject: usize, class: u32, connection: &Connection<'_>) -> u32 {
    let number = subject as u32 + 1;
    let Connection {
        direction,
        protocol,
        port,
        ..
    } = *connection;
    tables.judge(number, direction, class, protocol, port)
}
