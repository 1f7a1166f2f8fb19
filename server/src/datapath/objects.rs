//! Programs and maps in the kernel and what they cost, as the kernel accounts
//! for it in `/proc/self/fdinfo` of their descriptors.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
    sys::{Stats, enable_stats},
};

use super::{
    DatapathError,
    tables::{FLOW_TABLES, TAKEN},
};

/// Descriptors of all programs and maps; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Objects(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    programs: Vec<(String, OwnedFd)>,
    maps: Vec<(String, OwnedFd)>,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramCost {
    /// Its name.
    pub name: String,
    /// The kernel's number for it.
    pub id: u32,
    /// Runs while statistics were on.
    pub runs: u64,
    /// Nanoseconds of those runs.
    pub run_ns: u64,
    /// Bytes that the kernel accounts for it.
    pub bytes: u64,
}

/// A map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapCost {
    /// Its name.
    pub name: String,
    /// Its type as a number of `enum bpf_map_type`.
    pub kind: u32,
    /// Entries that it has room for.
    pub max_entries: u32,
    /// Bytes that the kernel accounts for it.
    pub bytes: u64,
}

/// Run-time statistics of all programs of this host are on while this lives.
#[derive(Debug)]
pub struct Measuring(#[expect(dead_code, reason = "closed when dropped")] OwnedFd);

impl Objects {
    /// Holds on to the programs and maps of a loaded object.
    pub(super) fn hold(ebpf: &Ebpf) -> Result<Self, DatapathError> {
        let duplicate = |fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned()
                .map_err(|source| DatapathError::System {
                    action: "duplicating a descriptor",
                    source,
                })
        };
        let mut held = Held::default();
        for (name, program) in ebpf.programs() {
            // One that is not loaded (drops may be off) costs nothing.
            if let Ok(fd) = program.fd() {
                held.programs
                    .push((name.to_owned(), duplicate(fd.as_fd())?));
            }
        }
        for (name, map) in ebpf.maps() {
            if let Some(map) = data(map) {
                let fd = duplicate(map.fd().as_fd())?;
                held.maps.push((name.to_owned(), fd));
            }
        }
        Ok(Self(Arc::new(held)))
    }

    /// All programs.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramCost> {
        let of = |(name, fd): &(String, OwnedFd)| {
            let info = Info::read(fd);
            ProgramCost {
                name: name.clone(),
                id: info.number("prog_id") as u32,
                runs: info.number("run_cnt"),
                run_ns: info.number("run_time_ns"),
                bytes: info.number("memlock"),
            }
        };
        self.0.programs.iter().map(of).collect()
    }

    /// All maps.
    #[must_use]
    pub fn maps(&self) -> Vec<MapCost> {
        let of = |(name, fd): &(String, OwnedFd)| {
            let info = Info::read(fd);
            MapCost {
                name: name.clone(),
                kind: info.number("map_type") as u32,
                max_entries: info.number("max_entries") as u32,
                bytes: info.number("memlock"),
            }
        };
        self.0.maps.iter().map(of).collect()
    }

    /// Bytes of the maps that the daemon has in its own memory too: the flow tables.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        let maps = self.maps();
        let mapped = maps.iter().filter(|map| {
            FLOW_TABLES
                .iter()
                .chain(&TAKEN)
                .any(|name| *name == map.name)
        });
        mapped.map(|map| map.bytes).sum()
    }

    /// Has the kernel measure the run time of programs, which itself costs some
    /// 20 ns a run. Kernel 5.8.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn measure(&self) -> io::Result<Measuring> {
        enable_stats(Stats::RunTime)
            .map(Measuring)
            .map_err(|error| error.io_error)
    }
}

/// The map itself, of the types that the programs use.
fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}

/// Lines of `key: value`.
struct Info(String);

impl Info {
    fn read(fd: &OwnedFd) -> Self {
        let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
        Self(fs::read_to_string(path).unwrap_or_default())
    }

    /// 0 where the kernel does not say.
    fn number(&self, key: &str) -> u64 {
        self.0
            .lines()
            .find_map(|line| {
                line.strip_prefix(key)?
                    .strip_prefix(':')?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    }
}
