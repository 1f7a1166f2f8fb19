//! Processes that talk, for tests that ask who did: each logs its number and port.
//!
//! `serve PROTOCOL ADDRESS` answers; `fork COUNT serve ...` has so many workers of one
//! listening socket; `clients COUNT PROTOCOL ADDRESS` starts that many processes, one after
//! the other, each of which asks once and ends; `hold PROTOCOL ADDRESS` asks at each line of
//! its input, on one connection.

use std::{
    env,
    io::{self, BufRead as _, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd},
    process::{self, Command},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// What is asked, and answered.
const WORD: &[u8] = b"who is there";
/// A lost datagram is asked again.
const PATIENCE: Duration = Duration::from_millis(500);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", "tcp", address] => serve_tcp(&TcpListener::bind(address)?),
        ["serve", "udp", address] => serve_udp(&UdpSocket::bind(address)?),
        ["fork", count, "serve", "tcp", address] => fork(count.parse()?, address),
        ["work", fd] => serve_tcp(&inherited(fd.parse()?)),
        ["clients", count, protocol, address] => clients(count.parse()?, protocol, address),
        ["client", protocol, address] => client(protocol, address.parse()?),
        ["hold", "tcp", address] => hold(address.parse()?),
        _ => bail!("unknown arguments {words:?}"),
    }
}

/// The listening socket that was passed on.
#[allow(unsafe_code, reason = "a number that the parent gave")]
fn inherited(fd: i32) -> TcpListener {
    // SAFETY: the parent leaves it open for us, and nobody else here has it.
    TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn serve_tcp(listener: &TcpListener) -> anyhow::Result<()> {
    log("server", 0)?;
    for connection in listener.incoming() {
        let mut connection = connection?;
        std::thread::spawn(move || -> io::Result<()> {
            let mut word = [0; WORD.len()];
            while connection.read_exact(&mut word).is_ok() {
                connection.write_all(&word)?;
            }
            Ok(())
        });
    }
    Ok(())
}

fn serve_udp(socket: &UdpSocket) -> anyhow::Result<()> {
    log("server", 0)?;
    let mut word = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut word)?;
        socket.send_to(&word[..length], from)?;
    }
}

/// Workers that were given the socket of one that ends.
fn fork(count: u32, address: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)?;
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let fd = listener.as_raw_fd().to_string();
    for _ in 0..count {
        Command::new(env::current_exe()?)
            .args(["work", &fd])
            .spawn()?;
    }
    let _ = listener.into_raw_fd();
    process::exit(0)
}

fn clients(count: u32, protocol: &str, address: &str) -> anyhow::Result<()> {
    for _ in 0..count {
        let status = Command::new(env::current_exe()?)
            .args(["client", protocol, address])
            .status()?;
        if !status.success() {
            bail!("a client failed: {status}");
        }
    }
    Ok(())
}

fn client(protocol: &str, address: SocketAddr) -> anyhow::Result<()> {
    let mut answer = [0; WORD.len()];
    match protocol {
        "tcp" => {
            let mut connection = TcpStream::connect(address).context("connecting")?;
            log(protocol, connection.local_addr()?.port())?;
            connection.write_all(WORD)?;
            connection.read_exact(&mut answer)?;
        }
        "udp" => {
            let any = if address.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(any)?;
            log(protocol, socket.local_addr()?.port())?;
            socket.set_read_timeout(Some(PATIENCE))?;
            loop {
                socket.send_to(WORD, address)?;
                if socket.recv(&mut answer).is_ok() {
                    break;
                }
            }
        }
        _ => bail!("unknown protocol {protocol}"),
    }
    Ok(())
}

fn hold(address: SocketAddr) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect(address)?;
    log("tcp", connection.local_addr()?.port())?;
    for line in io::stdin().lock().lines() {
        line?;
        connection.write_all(WORD)?;
        connection.read_exact(&mut [0; WORD.len()])?;
    }
    Ok(())
}

/// `WHAT PORT PID`, in one write, so that lines of several processes do not mix.
fn log(what: &str, port: u16) -> io::Result<()> {
    let line = format!("{what} {port} {}\n", process::id());
    io::stdout().write_all(line.as_bytes())
}
