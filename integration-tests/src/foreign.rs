//! TCX programs of somebody else, put before all others of an interface.

use std::{fs, path::PathBuf};

use crate::{Netns, eventually, netns::Process};

/// What it does with each packet (linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `TCX_NEXT`: the next program is run.
    Next = -1,
    /// `TCX_PASS`: no other program is run.
    Pass = 0,
    /// `TCX_DROP`.
    Drop = 2,
}

/// Loads `r0 = ACTION; exit` and links it to the hook, before all others.
const SCRIPT: &str = r#"
import ctypes, os, socket, struct, sys, time
interface, way, action, done = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attr):
    buffer = ctypes.create_string_buffer(attr, len(attr))
    fd = libc.syscall(321, command, buffer, len(attr))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return fd
code = struct.pack("<BBhiBBhi", 0xb7, 0, 0, int(action), 0x95, 0, 0, 0)
code = ctypes.create_string_buffer(code, len(code))
licence = ctypes.create_string_buffer(b"GPL")
at = ctypes.addressof
program = bpf(5, struct.pack("<IIQQIIQII16sI", 3, 2, at(code), at(licence), 0, 0, 0, 0, 0, b"foreign", 0))
hook = 46 if way == "ingress" else 47
link = bpf(28, struct.pack("<IIIIIIQ", program, socket.if_nametoindex(interface), hook, 8, 0, 0, 0))
open(done, "w").close()
time.sleep(3600)
"#;

/// Such a program; it goes when dropped.
#[derive(Debug)]
pub struct Foreign {
    _process: Process,
    done: PathBuf,
}

impl Foreign {
    /// Before all others on `ingress` or `egress` of an interface; on return it
    /// runs.
    #[must_use]
    pub fn attach(namespace: &Netns, interface: &str, way: &str, action: Action) -> Self {
        let folder = std::env::temp_dir();
        let name = format!("{}-{interface}-{way}-{}", namespace.name, action as i32);
        let (script, done) = (folder.join(format!("{name}.py")), folder.join(name));
        fs::write(&script, SCRIPT).unwrap();
        let _ = fs::remove_file(&done);
        let process = namespace.spawn(&format!(
            "python3 {} {interface} {way} {} {}",
            script.display(),
            action as i32,
            done.display()
        ));
        eventually("a foreign program", || done.exists().then_some(()));
        let _ = fs::remove_file(script);
        Self {
            _process: process,
            done,
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.done);
    }
}
