//! The process behind one side of a flow of our own datapath; it travels in
//! `Flow.extensions`, since Hubble has no field for it.
//!
//! Keys of the Struct in `source_process` and `destination_process`: `pid`, `ppid`,
//! `uid` (numbers), `start_time` (RFC 3339, to a hundredth of a second), `name`
//! (that of its first thread), `exe` (path, as its own root has it), `cgroup`
//! (path), `unit` (systemd's), `container` (its id), `container_name` (by its engine),
//! `engine` (what runs it), `user` (that of `uid` on the host), `command_line`. A key
//! without a value is left out.

use prost_types::{Struct, Value, value::Kind};

use super::{Time, heap::Heap, intern::WireForm};

/// A process, shared by all flows of its sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its number in the initial pid namespace.
    pub pid: u32,
    /// Its parent's.
    pub ppid: Option<u32>,
    /// Its user.
    pub uid: Option<u32>,
    /// That user's name on the host; empty if it has none.
    pub user: String,
    /// When it started.
    pub start_time: Option<Time>,
    /// Name of its first thread.
    pub name: String,
    /// Path of its executable.
    pub exe: String,
    /// Its arguments in one line, secrets hidden; empty where that is not wanted.
    pub command_line: String,
    /// Path of its cgroup.
    pub cgroup: String,
    /// Number of its cgroup in the unified hierarchy; 0 if not known.
    pub cgroup_id: u64,
    /// The systemd unit that it belongs to.
    pub unit: String,
    /// The container that it runs in: its id, or its name where it has no other.
    pub container: String,
    /// Its name, as what runs it says.
    pub container_name: String,
    /// What runs the container.
    pub engine: String,
}

impl Process {
    /// Name of its executable, else of its first thread.
    #[must_use]
    pub fn file_name(&self) -> &str {
        let file = self.exe.rsplit('/').next().unwrap_or_default();
        if file.is_empty() { &self.name } else { file }
    }

    /// Keys and values, the keys sorted.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, Kind)> {
        let text = |text: &str| (!text.is_empty()).then(|| Kind::StringValue(text.into()));
        let number = |number: u32| Kind::NumberValue(number.into());
        [
            ("cgroup", text(&self.cgroup)),
            ("command_line", text(&self.command_line)),
            ("container", text(&self.container)),
            ("container_name", text(&self.container_name)),
            ("engine", text(&self.engine)),
            ("exe", text(&self.exe)),
            ("name", text(&self.name)),
            ("pid", Some(number(self.pid))),
            ("ppid", self.ppid.map(number)),
            (
                "start_time",
                self.start_time.map(rfc3339).map(Kind::StringValue),
            ),
            ("uid", self.uid.map(number)),
            ("unit", text(&self.unit)),
            ("user", text(&self.user)),
        ]
        .into_iter()
        .filter_map(|(key, kind)| Some((key, kind?)))
    }

    /// All of it as one value.
    pub(super) fn value(&self) -> Kind {
        let mut all = Struct::default();
        for (key, kind) in self.fields() {
            all.fields.insert(key.into(), Value { kind: Some(kind) });
        }
        Kind::StructValue(all)
    }
}

/// To a hundredth of a second, which is as exact as the kernel tells it.
fn rfc3339(time: Time) -> String {
    let whole = prost_types::Timestamp {
        seconds: time.seconds,
        nanos: time.nanos - time.nanos % 10_000_000,
    };
    whole.to_string()
}

/// A `Value` that has the Struct.
impl WireForm for Process {
    fn encode_wire(&self, out: &mut Vec<u8>) {
        let value = Value {
            kind: Some(self.value()),
        };
        out.extend_from_slice(&prost::Message::encode_to_vec(&value));
    }
}

impl Heap for Process {
    fn heap_bytes(&self) -> usize {
        [
            &self.name,
            &self.exe,
            &self.command_line,
            &self.cgroup,
            &self.unit,
            &self.container,
            &self.container_name,
            &self.engine,
            &self.user,
        ]
        .into_iter()
        .map(Heap::heap_bytes)
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_those_without_a_value_left_out() {
        let process = Process {
            pid: 7,
            uid: Some(0),
            start_time: Some(Time {
                seconds: 0,
                nanos: 123_456_789,
            }),
            exe: "/usr/bin/curl".into(),
            ..Process::default()
        };
        let fields: Vec<_> = process.fields().collect();
        assert!(fields.is_sorted_by_key(|(key, _)| *key));
        let keys: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["exe", "pid", "start_time", "uid"]);
        assert_eq!(
            fields[2].1,
            Kind::StringValue("1970-01-01T00:00:00.120Z".into())
        );
    }
}
