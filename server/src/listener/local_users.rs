//! Which user of this host is at the other end of a TCP connection, by the
//! kernel's table of sockets (sock_diag(7), as `ss --extended` shows it).
//!
//! For shares and logs alone: a socket can be handed to another process, so it
//! proves nothing and gives no right. Only sockets of the network namespace that
//! the listener was made in are found. Bound: one short request for a connection,
//! which the kernel answers before it returns from it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};

/// Room for an answer; those of the kernel are a few hundred bytes.
const DATAGRAM: usize = 4096;
/// `INET_DIAG_NOCOOKIE`: any socket of these addresses.
const ANY: [u8; 8] = [0xff; 8];

/// Looks up the users of one listener's connections.
#[derive(Debug)]
pub(super) struct LocalUsers {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl LocalUsers {
    /// For the connections of the TCP listener at this address. Nothing where the
    /// kernel does not tell: then all of the loopback are one peer.
    pub(super) fn of(listener: SocketAddr) -> Option<Self> {
        let mut users = Self::open()
            .inspect_err(|error| tracing::info!(%listener, %error, "{UNTOLD}"))
            .ok()?;
        // What is surely there. A kernel that has no sock_diag of TCP would look for
        // its module at each connection.
        let nowhere = match listener {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let found = users.ask(listener, nowhere);
        if found.is_none() {
            tracing::info!(%listener, "{UNTOLD}");
        }
        found.map(|_| users)
    }

    fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// The user whose socket at `peer` is connected to `own`, if it is one of this
    /// host and a process still has it.
    pub(super) fn user(&mut self, peer: SocketAddr, own: SocketAddr) -> Option<u32> {
        let found = self.ask(peer, own)?;
        // A socket that was closed is nobody's, and is said to be root's.
        (found.inode != 0).then_some(found.uid)
    }

    fn ask(&mut self, source: SocketAddr, destination: SocketAddr) -> Option<InetResponseHeader> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence, source, destination);
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0).ok()?;
        // An earlier answer may be there, if it came late after all.
        loop {
            self.buffer.clear();
            self.socket
                .recv(&mut self.buffer, libc::MSG_DONTWAIT)
                .ok()?;
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&self.buffer).ok()?;
            if answer.header.sequence_number == self.sequence {
                return found(answer);
            }
        }
    }
}

const UNTOLD: &str = "the kernel does not tell users of TCP sockets (module tcp_diag), so all clients on the loopback share one part of the limits";

fn request(
    sequence: u32,
    source: SocketAddr,
    destination: SocketAddr,
) -> NetlinkMessage<SockDiagMessage> {
    // The kernel has an IPv4 connection of an IPv6 socket among those of IPv4.
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let interface_id = match source {
        SocketAddr::V6(source) => source.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let body = SockDiagMessage::InetRequest(InetRequest {
        family: match from {
            IpAddr::V4(_) => AF_INET,
            IpAddr::V6(_) => AF_INET6,
        },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: source.port(),
            destination_port: destination.port(),
            source_address: from,
            destination_address: to,
            interface_id,
            cookie: ANY,
        },
    });
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, body.into());
    message.finalize();
    message
}

fn found(answer: NetlinkMessage<SockDiagMessage>) -> Option<InetResponseHeader> {
    match answer.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => Some(found.header),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn own_uid() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn the_user_of_a_local_connection_is_found_by_its_addresses() {
        for (listen, source) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.9"),
            ("[::1]:0", "::1"),
            ("[::]:0", "127.0.0.9"),
        ] {
            let listener = TcpListener::bind(listen).unwrap();
            let mut users = LocalUsers::of(listener.local_addr().unwrap()).unwrap();
            let client = connect(source.parse().unwrap(), &listener);
            let (accepted, peer) = listener.accept().unwrap();
            let own = accepted.local_addr().unwrap();
            assert_eq!(users.user(peer, own), Some(own_uid()), "{listen}");
            // Nobody's: it was closed, and the kernel calls it root's.
            drop(client);
            assert_eq!(users.user(peer, own), None, "{listen}");
            let other = SocketAddr::new(peer.ip(), 1);
            assert_eq!(users.user(other, own), None, "{listen}");
        }
    }

    fn connect(source: IpAddr, listener: &TcpListener) -> TcpStream {
        let port = listener.local_addr().unwrap().port();
        let target = match source {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        };
        let domain = socket2::Domain::for_address(target);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&target.into()).unwrap();
        socket.into()
    }
}
