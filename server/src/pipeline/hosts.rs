//! Names of addresses by this host's `/etc/hosts` (hosts(5)), where DNS gave none.
//!
//! All names of a line count, as do all lines of an address. Those of addresses that
//! say nothing are left out: loopback, multicast and unspecified ones, which lists of
//! unwanted names use too. The file is read again when it changed; one that cannot be
//! read changes nothing. Bound: `LARGEST` bytes, `MOST` addresses with `MOST_NAMES`.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustc_hash::FxBuildHasher;

use crate::{
    flow::{Interned, Interner, Names, Time},
    small_file,
};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);
const LARGEST: u64 = 16 << 20;
const MOST: usize = 65_536;
const MOST_NAMES: usize = 16;
/// As long as a name in DNS.
const LONGEST_NAME: usize = 253;

/// What tells that a file is another: inode, size, time of change in seconds and
/// nanoseconds.
type Stamp = (u64, u64, i64, i64);

/// The file, as it was last read.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    path: Option<PathBuf>,
    looked: Option<Instant>,
    stamp: Option<Stamp>,
    read_at: Time,
    known: HashMap<IpAddr, Known, FxBuildHasher>,
}

#[derive(Debug)]
enum Known {
    Read(Names),
    Shared(Interned<Names>),
}

impl Hosts {
    /// Of this file; `None` is of none.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// Reads the file again if it was changed, and it is time to look.
    pub(super) fn follow(&mut self) {
        let Some(path) = &self.path else {
            return;
        };
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let stamp = stamp(path);
        if stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        match small_file::read(path, LARGEST) {
            Ok(bytes) => {
                let read = parse(&String::from_utf8_lossy(&bytes)).into_iter();
                self.known = read.map(|(ip, names)| (ip, Known::Read(names))).collect();
                self.read_at = Time::now();
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.known.clear(),
            Err(error) => {
                tracing::warn!(?path, %error, "names of this file stay as they were");
            }
        }
    }

    /// All names with their addresses, in no order.
    pub(super) fn list(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.known.iter().flat_map(|(address, known)| {
            let names: &Names = match known {
                Known::Read(names) => names,
                Known::Shared(names) => names,
            };
            names.iter().map(|name| (*address, name.as_str()))
        })
    }

    /// When the file was read.
    pub(super) fn read_at(&self) -> Time {
        self.read_at
    }

    /// The names of an address.
    pub(super) fn of(
        &mut self,
        address: IpAddr,
        interner: &mut Interner<Names>,
    ) -> Option<Interned<Names>> {
        if self.known.is_empty() {
            return None;
        }
        let Entry::Occupied(mut entry) = self.known.entry(address) else {
            return None;
        };
        if let Known::Read(names) = entry.get_mut() {
            let names = interner.intern(std::mem::take(names));
            entry.insert(Known::Shared(names));
        }
        match entry.get() {
            Known::Shared(names) => Some(names.clone()),
            Known::Read(_) => None,
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

/// Addresses with their names, sorted.
fn parse(text: &str) -> BTreeMap<IpAddr, Names> {
    let mut all: BTreeMap<IpAddr, Names> = BTreeMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        let address = address.to_canonical();
        if says_nothing(address) || all.len() >= MOST && !all.contains_key(&address) {
            continue;
        }
        for name in words.filter_map(name) {
            let names = all.entry(address).or_default();
            if let Err(place) = names.binary_search(&name)
                && names.len() < MOST_NAMES
            {
                names.insert(place, name);
            }
        }
    }
    all
}

fn says_nothing(address: IpAddr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// In lower case, without a dot at the end, as those of DNS.
fn name(text: &str) -> Option<String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_an_address_count_and_nothing_of_bad_lines() {
        let read = parse(
            "127.0.0.1 localhost\n::1 ip6-localhost\nff02::1 ip6-allnodes\n0.0.0.0 ads.example\n\
             255.255.255.255 all\n10.0.0.7\tDb.Shop.Test. db # the one\n  10.0.0.7 a\n\
             ::ffff:10.0.0.8 mapped\nfe80::1%eth0 no\n10.0.0.9\nx y\n10.0.0.9 a/b \u{1b}[2J good\n# 10.0.0.1 x",
        );
        let text = |ip: &str| read.get(&ip.parse().unwrap()).map(|names| names.join(" "));
        assert_eq!(text("10.0.0.7").unwrap(), "a db db.shop.test");
        assert_eq!(text("10.0.0.8").unwrap(), "mapped");
        assert_eq!(text("10.0.0.9").unwrap(), "good");
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn the_file_is_read_again_when_it_changed_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let mut hosts = Hosts::new(Some(path.clone()));
        let mut interner = Interner::default();
        let mut of = |hosts: &mut Hosts| {
            hosts.looked = None;
            hosts.follow();
            let names = hosts.of("10.0.0.7".parse().unwrap(), &mut interner)?;
            Some(names.join(" "))
        };
        assert_eq!(of(&mut hosts), None);
        fs::write(&path, "10.0.0.7 a\n").unwrap();
        assert_eq!(of(&mut hosts).unwrap(), "a");
        assert_eq!(of(&mut hosts).unwrap(), "a");
        // As editors do.
        fs::write(path.with_extension("new"), "10.0.0.7 b\n").unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        assert_eq!(of(&mut hosts).unwrap(), "b");
        // What cannot be read changes nothing.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(of(&mut hosts).unwrap(), "b");
        fs::remove_dir(&path).unwrap();
        assert_eq!(of(&mut hosts), None);
        let many: String = (0..70_000_u32)
            .map(|n| format!("{} x\n", Ipv4Addr::from(0x0a00_0000 + n)))
            .collect();
        assert_eq!(parse(&many).len(), MOST);
        let names: String = (0..100).map(|n| format!(" n{n}")).collect();
        let read = parse(&format!("10.0.0.7{names}"));
        assert_eq!(read.into_values().next().unwrap().len(), MOST_NAMES);
    }
}
