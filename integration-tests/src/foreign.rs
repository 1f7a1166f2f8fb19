//! TCX programs of somebody else, put before all others of an interface, or behind them.

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

/// Places of a link among others (linux/bpf.h).
const BEFORE: u32 = 8;
const BEHIND: u32 = 16;

/// Loads the instructions and links them to the hook.
const SCRIPT: &str = r#"
import ctypes, os, socket, struct, sys, time
interface, way, code, place, done = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attr):
    buffer = ctypes.create_string_buffer(attr, len(attr))
    fd = libc.syscall(321, command, buffer, len(attr))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return fd
code = bytes.fromhex(code)
count = len(code) // 8
code = ctypes.create_string_buffer(code, len(code))
licence = ctypes.create_string_buffer(b"GPL")
at = ctypes.addressof
program = bpf(5, struct.pack("<IIQQIIQII16sI", 3, count, at(code), at(licence), 0, 0, 0, 0, 0, b"foreign", 0))
hook = 46 if way == "ingress" else 47
link = bpf(28, struct.pack("<IIIIIIQ", program, socket.if_nametoindex(interface), hook, int(place), 0, 0, 0))
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
        Self::run(namespace, interface, way, BEFORE, &[set(0, action as i32)])
    }

    /// Behind all others on ingress of an interface: takes the VLAN tag off each packet, as
    /// a bridge that filters VLANs does.
    #[must_use]
    pub fn without_tags(namespace: &Netns, interface: &str) -> Self {
        let code = [call(VLAN_POP), set(0, Action::Next as i32)];
        Self::run(namespace, interface, "ingress", BEHIND, &code)
    }

    fn run(namespace: &Netns, interface: &str, way: &str, place: u32, code: &[[u8; 8]]) -> Self {
        let folder = std::env::temp_dir();
        let name = format!("{}-{interface}-{way}-{place}", namespace.name);
        let code: String = code
            .iter()
            .chain([&EXIT])
            .flatten()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (script, done) = (folder.join(format!("{name}.py")), folder.join(name));
        fs::write(&script, SCRIPT).unwrap();
        let _ = fs::remove_file(&done);
        let process = namespace.spawn(&format!(
            "python3 {} {interface} {way} {code} {place} {}",
            script.display(),
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

/// Of the kernel's instruction set (RFC 9669).
const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// A register is set to a number.
fn set(register: u8, value: i32) -> [u8; 8] {
    let [a, b, c, d] = value.to_le_bytes();
    [0xb7, register, 0, 0, a, b, c, d]
}

/// `bpf_skb_vlan_pop`.
const VLAN_POP: u8 = 19;

/// A helper is called.
fn call(helper: u8) -> [u8; 8] {
    [0x85, 0, 0, 0, helper, 0, 0, 0]
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.done);
    }
}

/// Verdicts of XDP (linux/bpf.h).
pub const XDP_DROP: u8 = 1;
/// Back to where it came from.
pub const XDP_TX: u8 = 3;

/// Holds an XDP program that does the same with all packets, in the mode for any device,
/// as long as it runs.
///
/// # Panics
///
/// When it is not attached.
#[must_use]
pub fn generic_xdp(namespace: &Netns, interface: &str, verdict: u8) -> Process {
    let program = "python3 -c '
import ctypes,os,platform,socket,struct,time
libc=ctypes.CDLL(None,use_errno=True)
number={\"x86_64\":321}.get(platform.machine(),280)
def bpf(command,attributes):
    held=ctypes.create_string_buffer(attributes,128)
    result=libc.syscall(number,command,held,128)
    assert result>=0,os.strerror(ctypes.get_errno())
    return result
code=ctypes.create_string_buffer(struct.pack(\"<BBhiBBhi\",0xb7,0,0,VERDICT,0x95,0,0,0))
licence=ctypes.create_string_buffer(b\"GPL\")
program=bpf(5,struct.pack(\"<IIQQ\",6,2,ctypes.addressof(code),ctypes.addressof(licence)))
link=bpf(28,struct.pack(\"<IIII\",program,socket.if_nametoindex(\"INTERFACE\"),37,2))
time.sleep(600)'";
    let holder = namespace.spawn(
        &program
            .replace("INTERFACE", interface)
            .replace("VERDICT", &verdict.to_string()),
    );
    eventually("the program is attached", || {
        let links = namespace.run(&format!("ip link show {interface}"));
        links.contains("xdpgeneric").then_some(())
    });
    holder
}
