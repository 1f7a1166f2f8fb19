//! Ports that the firewall leads elsewhere, as its rules say: those of nft, and of
//! iptables where that is nft underneath, whoever made them (an administrator, Docker, CNI).
//! Of the daemon's network namespace. Pure parts are in `rule`.
//!
//! The kernel counts changes: it is asked for that number each second, and for the rules when it
//! changed. Bound: `MOST` rules that lead elsewhere; without CAP_NET_ADMIN it is off, and said.
//! Not here: rules of legacy iptables, which are read through another door.

mod rule;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

pub(super) use self::rule::Forward;
use crate::datapath::netlink::{NETLINK_NETFILTER, Request, Requests, attributes, u32_be};

/// Rules that are kept; what is beyond is counted.
const MOST: usize = 4096;
/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Subsystem and messages (linux/netfilter/nf_tables.h).
const TABLES: u16 = 10 << 8;
const NEW_RULE: u16 = TABLES | 6;
const GET_RULE: u16 = TABLES | 7;
const GET_GENERATION: u16 = TABLES | 16;
const GENERATION_ID: u16 = 1;
const RULE_EXPRESSIONS: u16 = 4;
/// `struct nfgenmsg`, of any family.
const ANY_FAMILY: [u8; 4] = [0; 4];

/// What rules say; shared.
#[derive(Clone, Debug, Default)]
pub struct Firewall(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    forwards: ArcSwap<Vec<Forward>>,
    version: AtomicU64,
}

impl Firewall {
    /// Rises when rules changed.
    pub(super) fn version(&self) -> u64 {
        self.0.version.load(Relaxed)
    }

    /// Rules that lead elsewhere, in no order.
    pub(super) fn forwards(&self) -> Arc<Vec<Forward>> {
        self.0.forwards.load_full()
    }

    /// Follows the rules of the network namespace that this runs in, until it is dropped.
    pub async fn follow(self) {
        let mut seen = None;
        let mut requests = match Requests::open_to(NETLINK_NETFILTER) {
            Ok(requests) => requests,
            Err(error) => return off(&error).await,
        };
        let mut pace = tokio::time::interval(INTERVAL);
        loop {
            pace.tick().await;
            match self.look(&mut requests, seen) {
                Ok(generation) => seen = generation,
                Err(error) => return off(&error).await,
            }
        }
    }

    /// Reads the rules if they are of another generation than this.
    fn look(&self, requests: &mut Requests, seen: Option<u32>) -> io::Result<Option<u32>> {
        let generation = generation(requests)?;
        if generation.is_some() && generation == seen {
            return Ok(seen);
        }
        let (forwards, more) = read(requests)?;
        if more > 0 {
            tracing::warn!(more, "rules of the firewall beyond {MOST} name no services");
        }
        if *self.forwards() != forwards {
            self.0.forwards.store(Arc::new(forwards));
            self.0.version.fetch_add(1, Relaxed);
        }
        Ok(generation)
    }

    #[cfg(test)]
    pub(super) fn of_test(forwards: Vec<Forward>) -> Self {
        let firewall = Self::default();
        firewall.0.forwards.store(Arc::new(forwards));
        firewall.0.version.store(1, Relaxed);
        firewall
    }
}

/// Whether rules can be read, for people.
#[must_use]
pub fn probe() -> String {
    let tried = Requests::open_to(NETLINK_NETFILTER).and_then(|mut requests| read(&mut requests));
    let (found, text) = match tried {
        Ok(_) => (
            "yes",
            "rules of the firewall (nft) tell where ports lead".into(),
        ),
        Err(error) => (
            "no ",
            format!("rules of the firewall are not read: {error}"),
        ),
    };
    format!(
        "{:<10} {found} {text}\n               needs CAP_NET_ADMIN, and nf_tables in the kernel\n",
        "services"
    )
}

/// Connections that are translated still have who answers.
async fn off(error: &io::Error) {
    tracing::info!(%error, "rules of the firewall are not read: a port that they lead elsewhere has its service once it is known who answers");
    std::future::pending().await
}

fn generation(requests: &mut Requests) -> io::Result<Option<u32>> {
    let mut generation = None;
    let request = Request::new(GET_GENERATION, 0, &ANY_FAMILY);
    requests.ask(request, |body| {
        let mut found = attributes(body.get(ANY_FAMILY.len()..).unwrap_or_default());
        let id = found.find(|(kind, _)| *kind == GENERATION_ID);
        generation = id.and_then(|(_, value)| u32_be(value));
    })?;
    Ok(generation)
}

/// Rules that lead elsewhere, and how many more there are.
fn read(requests: &mut Requests) -> io::Result<(Vec<Forward>, usize)> {
    let request = Request::new(GET_RULE, 0, &ANY_FAMILY);
    requests.list(&request, |found: &mut (Vec<Forward>, usize), kind, body| {
        let Some((family, rest)) = body.split_at_checked(ANY_FAMILY.len()) else {
            return;
        };
        let expressions = attributes(rest).find(|(kind, _)| *kind == RULE_EXPRESSIONS);
        let forward = expressions.and_then(|(_, list)| Forward::of_rule(family[0], list));
        match forward {
            Some(_) if kind != NEW_RULE => {}
            Some(forward) if found.0.len() < MOST => found.0.push(forward),
            Some(_) => found.1 += 1,
            None => {}
        }
    })
}
