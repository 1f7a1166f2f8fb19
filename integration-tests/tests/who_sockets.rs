//! Which process is behind a socket that is passed on, inherited, or there later; and the
//! socket's cookie: what the processes say of themselves is the truth.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::{Command, Stdio};

use sextant_integration_tests::{
    Daemon, Netns, Process, eventually,
    process::{pid, ports},
    root,
};
use sextant_proto::flow::Flow;

/// Runs a program of Python that prints a line, and gives the numbers in it.
fn python(namespace: &Netns, program: &str) -> (Process, Vec<u64>) {
    use std::io::BufRead as _;
    let mut child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", namespace.name))
        .args(["python3", "-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufReader::new(stdout)
        .read_line(&mut line)
        .unwrap();
    let numbers = line.split_whitespace().map(|word| word.parse().unwrap());
    (Process(child), numbers.collect())
}

/// Ends a program, and those that it forked, by the end of its input.
fn end(mut program: Process) {
    drop(program.0.stdin.take());
    program.0.wait().unwrap();
}

/// Flows that are sent from a port.
fn from(daemon: &Daemon, port: u64) -> Vec<Flow> {
    let is_from = |flow: &Flow| ports(flow).is_some_and(|(_, from, _)| u64::from(from) == port);
    daemon.flows().into_iter().filter(is_from).collect()
}

#[test]
fn a_socket_of_another_process_is_whose_who_connects_it() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    // Who made them keeps them open.
    let passed = "import socket,os,sys,array\n\
        a,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_STREAM)\n\
        if os.fork()==0:\n \
          os.setsid(); fds=array.array('i'); _,anc,_,_=b.recvmsg(9,99); fds.frombytes(anc[0][2]); f,k,to=FAMILY,KIND,TO\n \
          s=socket.socket(fileno=fds[0]); s.connect(to); s.send(b'x'); print(s.getsockname()[1],os.getpid(),flush=True); sys.stdin.read(); os._exit(0)\n\
        s=socket.socket(FAMILY,KIND); a.sendmsg([b'x'],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[s.fileno()]))]); os.wait()";
    let inherited = "import socket,os,sys\n\
        s=socket.socket(FAMILY,KIND)\n\
        if os.fork()==0:\n \
          s.connect(TO); s.send(b'x'); print(s.getsockname()[1],os.getpid(),flush=True); sys.stdin.read(); os._exit(0)\n\
        os.wait()";
    let serve = "import socket,sys\n\
        t=socket.create_server(('::',7777),family=socket.AF_INET6,dualstack_ipv6=True)\n\
        u=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); u.bind(('::',7777))\n\
        print(1,flush=True); sys.stdin.read()";
    let (server, _) = python(&namespace, serve);
    for program in [passed, inherited] {
        for (family, to) in [
            ("socket.AF_INET", "('127.0.0.1',7777)"),
            ("socket.AF_INET6", "('::1',7777)"),
        ] {
            for kind in ["socket.SOCK_STREAM", "socket.SOCK_DGRAM"] {
                let program = program
                    .replace("FAMILY", family)
                    .replace("KIND", kind)
                    .replace("TO", to);
                let (child, told) = python(&namespace, &program);
                let flows = eventually("a flow of it", || {
                    let flows = from(&daemon, told[0]);
                    (!flows.is_empty()).then_some(flows)
                });
                for flow in &flows {
                    let found = pid(flow, "source_process").map(u64::from);
                    assert_eq!(found, Some(told[1]), "{family} {kind}: {flow:?}");
                }
                end(child);
            }
        }
    }
    end(server);
}

#[test]
fn a_socket_that_comes_later_is_found_at_a_later_event() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let config = "[datapath]\nactive_interval = \"200ms\"\n";
    let daemon = Daemon::start(&namespace, config, &["--interface", "lo"]);
    let send = "import socket,time\n\
        s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',0)); print(s.getsockname()[1],flush=True)\n\
        while True: s.sendto(b'x',('127.0.0.1',7778)); time.sleep(0.05)";
    let (_client, told) = python(&namespace, send);
    let receiver = || {
        let flows = from(&daemon, told[0]);
        flows.last().map(|flow| pid(flow, "destination_process"))
    };
    eventually("a flow to nobody", || receiver().filter(Option::is_none));
    let receive = "import socket,sys,os\n\
        s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',7778)); print(os.getpid(),flush=True); sys.stdin.read()";
    let (server, own) = python(&namespace, receive);
    eventually("who receives", || {
        let found = receiver()?.map(u64::from);
        (found == Some(own[0])).then_some(())
    });
    end(server);
}

#[test]
fn a_flow_has_the_cookie_of_the_socket_that_sends() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let talk = "import socket,sys\n\
        l=socket.create_server(('127.0.0.1',0)); c=socket.create_connection(l.getsockname()); a,_=l.accept()\n\
        c.send(b'x'); a.recv(1); a.send(b'x'); c.recv(1)\n\
        r,u=[socket.socket(socket.AF_INET,socket.SOCK_DGRAM) for _ in 'ru']; r.bind(('127.0.0.1',0)); u.bind(('127.0.0.1',0)); u.sendto(b'x',r.getsockname())\n\
        of=lambda s: (s.getsockname()[1],int.from_bytes(s.getsockopt(1,57,8),'little'))\n\
        print(*of(c),*of(a),*of(u),flush=True); sys.stdin.read()";
    let (child, told) = python(&namespace, talk);
    for (what, of) in ["client", "accepted", "datagram"]
        .into_iter()
        .zip(told.chunks(2))
    {
        let flows = eventually(what, || {
            let flows = from(&daemon, of[0]);
            (!flows.is_empty()).then_some(flows)
        });
        for flow in flows {
            assert_eq!(flow.socket_cookie, of[1], "{what}: {flow:?}");
        }
    }
    end(child);
}
