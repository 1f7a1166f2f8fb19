//! Ends connections that policies deny (`[policy] on_deny = "destroy"`): sockets of this
//! host, by `SOCK_DESTROY` of sock_diag(7), so that who has them hears `ECONNABORTED`
//! instead of waiting.
//!
//! Of which ones the reader tells by their events, at the first packet that is denied; a
//! thread of its own asks the kernel, so that nobody waits for it. In the daemon's own
//! network namespace, the only one where policies are in force. Bound: `WAITING` at one
//! time; one that finds no room is counted, and told again with a later packet.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

use sextant_ebpf_common::{Event, Kind, interface_parts, point_parts, protocol::TCP, reason};

use super::{
    DatapathError, Volumes,
    netlink::{NETLINK_SOCK_DIAG, Request, Requests},
    volumes::Ending,
};

/// Connections that wait to be ended.
const WAITING: usize = 4096;

/// linux/sock_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// linux/tcp.h: a socket that listens is never meant.
const LISTEN: u8 = 10;
/// Bytes of `struct inet_diag_sockid` (linux/inet_diag.h), and where its cookie is.
const SOCKID: usize = 48;
const COOKIE: usize = 40;
/// Any cookie.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// Where `struct inet_diag_msg` has the state, and the id.
const STATE_AT: usize = 1;
const ID_AT: usize = 4;

/// A connection as a socket of this host has it; ports and addresses as in the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    family: u8,
    ports: [u16; 2],
    addresses: [[u32; 4]; 2],
    interface: u32,
}

impl Connection {
    /// Of a packet that was denied in the middle of one; a connection that is being opened
    /// has its answer by `deny_error`, and one that is reset has none any more.
    fn denied(event: &Event) -> Option<Self> {
        /// RFC 9293.
        const SYN: u16 = 2;
        const RST: u16 = 4;
        let is_denied = event.kind == Kind::Packet as u8
            && event.protocol == TCP
            && event.reasons & reason::DENIED != 0
            && event.tcp_flags & (SYN | RST) == 0;
        let (number, egress) = point_parts(event.point);
        let (namespace, interface) = interface_parts(number);
        if !is_denied || namespace != 0 || interface == 0 {
            return None;
        }
        let mut ports = [event.source_port, event.destination_port];
        let mut addresses = [event.source, event.destination];
        if !egress {
            ports.reverse();
            addresses.reverse();
        }
        Some(Self {
            family: event.family,
            ports,
            addresses,
            interface,
        })
    }

    /// `struct inet_diag_req_v2` with this cookie.
    fn request(&self, kind: u16, cookie: [u8; 8]) -> Request {
        let family = match self.family {
            4 => libc::AF_INET,
            _ => libc::AF_INET6,
        };
        let mut body = vec![family as u8, TCP, 0, 0];
        body.extend(u32::MAX.to_ne_bytes());
        body.extend(self.id(cookie));
        Request::new(kind, 0, &body)
    }

    fn id(&self, cookie: [u8; 8]) -> Vec<u8> {
        let mut id = Vec::with_capacity(SOCKID);
        for port in self.ports {
            id.extend(port.to_be_bytes());
        }
        for address in self.addresses {
            id.extend(address.iter().flat_map(|word| word.to_ne_bytes()));
        }
        id.extend(self.interface.to_ne_bytes());
        id.extend(cookie);
        id
    }
}

/// Takes connections that are to be ended.
#[derive(Debug)]
pub(super) struct Endings {
    waiting: SyncSender<Connection>,
    volumes: Volumes,
}

impl Endings {
    /// Ends them from now on, in the network namespace of this thread, until dropped.
    ///
    /// # Errors
    ///
    /// This kernel does not end connections, or does not let us.
    pub(super) fn start(volumes: Volumes) -> Result<Self, DatapathError> {
        let failed = |detail| DatapathError::NoOnDeny { detail };
        check().map_err(failed)?;
        let requests = open().map_err(|error| failed(error.to_string()))?;
        let (waiting, connections) = sync_channel(WAITING);
        let counts = volumes.clone();
        thread::Builder::new()
            .name("endings".into())
            .spawn(move || run(requests, &connections, &counts))
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { waiting, volumes })
    }

    /// If the event is of one.
    pub(super) fn see(&self, event: &Event) {
        let Some(connection) = Connection::denied(event) else {
            return;
        };
        // One that is gone counts as the last.
        if let Err(TrySendError::Full(_)) = self.waiting.try_send(connection) {
            self.volumes.ending(Ending::NoRoom);
        }
    }
}

fn run(mut requests: Requests, connections: &Receiver<Connection>, counts: &Volumes) {
    while let Ok(connection) = connections.recv() {
        counts.ending(end(&mut requests, &connection));
    }
}

fn open() -> io::Result<Requests> {
    Requests::open_to(NETLINK_SOCK_DIAG)
}

/// By its cookie: what is looked for by addresses alone may be a socket that listens at the
/// port of one that is gone.
fn end(requests: &mut Requests, connection: &Connection) -> Ending {
    let mut found = None;
    let asked = connection.request(SOCK_DIAG_BY_FAMILY, NO_COOKIE);
    let answer = requests.ask(asked, |body| found = state_and_cookie(body));
    let destroyed = match (answer, found) {
        (Ok(()), Some((state, cookie))) if state != LISTEN => {
            requests.ask(connection.request(SOCK_DESTROY, cookie), |_| {})
        }
        (Ok(()), _) => return Ending::NoSocket,
        (Err(error), _) => Err(error),
    };
    match destroyed {
        Ok(()) => Ending::Ended,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ending::NoSocket,
        Err(error) => {
            tracing::debug!(%error, ?connection, "a denied connection is not ended");
            Ending::Failed
        }
    }
}

fn state_and_cookie(body: &[u8]) -> Option<(u8, [u8; 8])> {
    let cookie = body.get(ID_AT + COOKIE..ID_AT + SOCKID)?;
    Some((*body.get(STATE_AT)?, cookie.try_into().ok()?))
}

/// Whether this kernel ends sockets, and lets us: one of our own is tried, which nobody
/// can have connected to.
pub(super) fn check() -> Result<(), String> {
    try_own().map_err(|error| match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOENT | libc::EINVAL) => {
            "this kernel does not end sockets (CONFIG_INET_DIAG_DESTROY, and the module tcp_diag)"
                .into()
        }
        Some(libc::EPERM) => "ending sockets takes CAP_NET_ADMIN".into(),
        _ => format!("a socket of its own could not be ended: {error}"),
    })
}

fn try_own() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let own = Connection {
        family: 4,
        ports: [port, 0],
        addresses: [
            [u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()), 0, 0, 0],
            [0; 4],
        ],
        interface: 0,
    };
    open()?.ask(own.request(SOCK_DESTROY, NO_COOKIE), |_| {})
}

#[cfg(test)]
mod tests {
    use sextant_ebpf_common::point;

    use super::*;

    fn event() -> Event {
        Event {
            kind: Kind::Packet as u8,
            protocol: TCP,
            family: 4,
            reasons: reason::DENIED,
            tcp_flags: 0x10,
            point: point(7, true),
            source: [1, 0, 0, 0],
            destination: [2, 0, 0, 0],
            source_port: 80,
            destination_port: 4000,
            ..Event::default()
        }
    }

    #[test]
    fn a_connection_is_as_its_socket_here_has_it() {
        let out = Connection::denied(&event()).unwrap();
        assert_eq!(out.ports, [80, 4000]);
        let mut answer = event();
        (answer.source, answer.destination) = (answer.destination, answer.source);
        (answer.source_port, answer.destination_port) = (4000, 80);
        answer.point = point(7, false);
        assert_eq!(Connection::denied(&answer), Some(out));
        let id = out.id([9; 8]);
        assert_eq!(id.len(), SOCKID);
        assert_eq!(id[..4], [0, 80, 0x0f, 0xa0]);
        assert_eq!(id[COOKIE..], [9; 8]);
    }

    #[test]
    fn what_is_not_a_denied_connection_of_this_namespace_stays() {
        for change in [
            |event: &mut Event| event.reasons = reason::FIRST,
            |event: &mut Event| event.tcp_flags = 2,
            |event: &mut Event| event.tcp_flags = 0x14,
            |event: &mut Event| event.protocol = 17,
            |event: &mut Event| event.kind = Kind::Ended as u8,
            |event: &mut Event| event.point = 0,
            |event: &mut Event| {
                event.point = point(sextant_ebpf_common::interface_number(3, 7), true);
            },
        ] {
            let mut event = event();
            change(&mut event);
            assert_eq!(Connection::denied(&event), None, "{event:?}");
        }
    }

    #[test]
    fn an_answer_of_the_kernel_is_read_and_a_short_one_is_none() {
        let mut body = vec![2, 1, 0, 0];
        body.extend([0; COOKIE]);
        body.extend([5; 8]);
        assert_eq!(state_and_cookie(&body), Some((1, [5; 8])));
        assert_eq!(state_and_cookie(&body[..51]), None);
    }
}
