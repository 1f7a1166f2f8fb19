//! Who is behind the sides of a flow, by the sockets that its packets come from
//! and go to. Looked up when a flow is new and where it is seen at a new point; what
//! was not found, again at the flow's events; never for a known packet.

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup, bpf_sock,
    },
    helpers::generated::{
        bpf_fib_lookup as look_up_route, bpf_get_listener_sock, bpf_get_socket_cookie,
        bpf_sk_fullsock, bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release,
    },
    macros::map,
    maps::PerCpuArray,
};
use sextant_ebpf_common::{
    Entry, OWN_NAMESPACE, Owner, Side, has_opening, initiator, initiator_of, point_parts,
    protocol::{TCP, UDP},
    side,
};

use crate::{maps, owner, packet::Packet, process};

/// The packet's own network namespace.
pub const CURRENT: u64 = u64::MAX;
/// Kinds of sockets (linux/net.h) and address families (linux/socket.h).
pub const STREAM: u32 = 1;
const INET: u32 = 2;
const INET6: u32 = 10;

/// The verifier forbids arithmetic with the address of a socket, but knows
/// nothing of a number that it reads back from a map.
#[map]
static ADDRESS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where the addresses of a socket are put together, for the sake of the stack.
#[map]
static TUPLE: PerCpuArray<Tuple> = PerCpuArray::with_max_entries(1, 0);

/// Where a route is asked for, for the sake of the stack.
#[map]
static ROUTE: PerCpuArray<Route> = PerCpuArray::with_max_entries(1, 0);

/// `struct bpf_fib_lookup`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Route {
    family: u8,
    protocol: u8,
    ports: [u16; 2],
    length: u16,
    ifindex: u32,
    flow: u32,
    source: [u32; 4],
    destination: [u32; 4],
    vlan: [u16; 2],
    mac: [u8; 12],
}

impl Route {
    const NONE: Self = Self {
        family: 0,
        protocol: 0,
        ports: [0; 2],
        length: 0,
        ifindex: 0,
        flow: 0,
        source: [0; 4],
        destination: [0; 4],
        vlan: [0; 2],
        mac: [0; 12],
    };
}

const _: () = assert!(size_of::<Route>() == size_of::<bpf_fib_lookup>());

/// `struct bpf_sock_tuple`: remote address, local address, ports; and room beyond it.
pub type Tuple = [u32; 16];

/// Bytes of it by family: 12 or 36. Worked out, not chosen, so that the verifier has one
/// way to walk; it sees that the size is 4 to 63.
#[inline(always)]
pub fn size_of_tuple(packet: &Packet) -> u32 {
    let size = u32::from(packet.family).wrapping_sub(3).wrapping_mul(12);
    size & 63 | 4
}

/// A `Side` in a register, the process in the upper half: what is returned in
/// memory takes an argument.
type Found = u64;

/// Looks who is behind sides of which it is not known.
#[inline(never)]
pub unsafe fn look(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    if !maps::tells_who() {
        return;
    }
    let direction = packet.direction & 1;
    let sender = &raw mut (*entry).sides[direction];
    let receiver = &raw mut (*entry).sides[1 - direction];
    let (_, egress) = point_parts(packet.point);
    if (*sender).tgid == 0 {
        let found = sender_of(skb, packet, egress);
        settle(sender, or_of_listener(found, skb, packet, true, CURRENT));
    }
    if (*receiver).tgid == 0
        && !packet.later_fragment
        && let Some(namespace) = receiving_namespace(packet, egress)
    {
        let found = receiver_of(skb, packet, namespace);
        let found = or_of_listener(found, skb, packet, false, namespace);
        // Who listens at any address has not all that passes.
        if found >> 32 == 0 || egress || !is_forwarded(skb, packet) {
            settle(receiver, found);
        }
    }
}

/// Whether the kernel sends on what comes in here. Where the interface does not forward, all
/// that comes in is for this host.
#[inline(never)]
unsafe fn is_forwarded(skb: *mut __sk_buff, packet: &Packet) -> bool {
    let Some(route) = ROUTE.get_ptr_mut(0) else {
        return false;
    };
    *route = Route {
        family: if packet.family == 4 {
            INET as u8
        } else {
            INET6 as u8
        },
        ifindex: (*skb).ifindex,
        source: packet.source,
        destination: packet.destination,
        ..Route::NONE
    };
    let size = size_of::<Route>() as i32;
    let found = look_up_route(skb.cast(), route.cast(), size, 0);
    matches!(
        found as u32,
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED
    )
}

/// At a later event: a socket may be there since, or be somebody's. Not at each packet
/// where each is an event.
#[inline(always)]
pub unsafe fn look_again(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) {
    let is_known = (*entry).sides[0].tgid != 0 && (*entry).sides[1].tgid != 0;
    if !is_known && maps::tuning().active_interval_ns != 0 {
        look(entry, skb, packet);
    }
}

/// The network namespace that the packet comes to next, as the kernel numbers it;
/// `None` if that is not known, or it is on its way elsewhere.
#[inline(always)]
pub fn receiving_namespace(packet: &Packet, egress: bool) -> Option<u64> {
    if !egress {
        return Some(CURRENT);
    }
    beyond(packet)
}

/// The network namespace that the packet came from, as far as its sender's socket may be
/// there.
#[inline(always)]
pub fn sending_namespace(packet: &Packet, egress: bool) -> Option<u64> {
    if egress {
        return Some(CURRENT);
    }
    beyond(packet)
}

/// That at the other end of the interface.
#[inline(always)]
fn beyond(packet: &Packet) -> Option<u64> {
    match maps::joints(packet.point)?.peer_namespace {
        0 => None,
        OWN_NAMESPACE => Some(CURRENT),
        number => Some(u64::from(number - 1)),
    }
}

/// An accepted connection has no owner of its own, but its listener does. Looked up
/// by the caller of what found none, for the sake of the stack.
#[inline(always)]
unsafe fn or_of_listener(
    found: Found,
    skb: *mut __sk_buff,
    packet: &Packet,
    at_source: bool,
    namespace: u64,
) -> Found {
    if found == nobody(side::NO_OWNER) && packet.protocol == TCP {
        listener_at(skb, packet, at_source, namespace)
    } else {
        found
    }
}

/// What tells the socket that sends a datagram from others, if one of this host
/// does: half of its cookie, never 0.
#[inline(always)]
pub fn socket(skb: *mut __sk_buff, packet: &Packet) -> u32 {
    // SAFETY: a valid context. The packet carries the socket as for `sender_of`.
    unsafe {
        if packet.protocol != UDP || !maps::tells_who() || (*skb).__bindgen_anon_2.sk.is_null() {
            return 0;
        }
        bpf_get_socket_cookie(skb.cast()) as u32
    }
}

/// The cookie of the socket that the packet is of (`SO_COOKIE`); 0 if it carries none,
/// or one that the kernel answers by, as for a connection that is reset or over.
#[inline(always)]
pub unsafe fn cookie(skb: *mut __sk_buff, packet: &Packet) -> u64 {
    let socket: *mut bpf_sock = (*skb).__bindgen_anon_2.sk;
    if socket.is_null() {
        return 0;
    }
    let full = bpf_sk_fullsock(socket);
    // That of a handshake becomes the connection's, with its cookie.
    if !full.is_null() && packet.protocol == TCP && (*full).type_ != STREAM {
        return 0;
    }
    bpf_get_socket_cookie(skb.cast())
}

/// Whether the initiator's port has another socket than when the flow began: a
/// datagram has no handshake that would tell. It costs some nanoseconds, of datagrams
/// that carry their socket alone.
#[inline(always)]
pub unsafe fn is_another_socket(entry: *mut Entry, skb: *mut __sk_buff, packet: &Packet) -> bool {
    let (opening, tags) = ((*entry).opening, (*entry).tags);
    let by_initiator = usize::from(initiator_of(tags) & initiator::B) == packet.direction;
    if opening == 0 || !by_initiator || has_opening(tags) {
        return false;
    }
    let socket = socket(skb, packet);
    socket != 0 && socket != opening
}

/// Whether another process sends than this one.
#[inline(always)]
pub unsafe fn is_another(known: Side, skb: *mut __sk_buff, packet: &Packet) -> bool {
    if known.tgid == 0 {
        return false;
    }
    let (_, egress) = point_parts(packet.point);
    let now = side_of(sender_of(skb, packet, egress));
    now.tgid != 0 && now != known
}

/// What is better known stays.
#[inline(always)]
unsafe fn settle(place: *mut Side, found: Found) {
    let found = side_of(found);
    if found.tgid != 0 || found.start > (*place).start {
        *place = found;
    }
}

#[inline(always)]
const fn side_of(found: Found) -> Side {
    Side {
        tgid: (found >> 32) as u32,
        start: found as u32,
    }
}

/// By the socket that the packet carries; it does so on its way out, and at the
/// host's end of a veth pair on its way in.
#[inline(never)]
unsafe fn sender_of(skb: *mut __sk_buff, packet: &Packet, egress: bool) -> Found {
    let socket: *mut bpf_sock = (*skb).__bindgen_anon_2.sk;
    if socket.is_null() {
        return nobody(if egress {
            side::NO_SOCKET
        } else {
            side::ELSEWHERE
        });
    }
    let full = bpf_sk_fullsock(socket);
    if full.is_null() {
        // Of a handshake: the listener answers.
        let listener = bpf_get_listener_sock(socket);
        if listener.is_null() {
            return nobody(side::NO_SOCKET);
        }
        return owned(owner::behind(listener.cast()), side::NO_OWNER);
    }
    let family = (*full).family;
    // The kernel resets connections by a raw socket of its own.
    let is_stream = (*full).type_ == STREAM;
    if family != INET && family != INET6 || packet.protocol == TCP && !is_stream {
        return owned(owner::of(full.cast()), side::NO_SOCKET);
    }
    owned(owner::behind(full.cast()), without_owner(full))
}

/// By a look-up, as the kernel does it a moment later.
#[inline(never)]
unsafe fn receiver_of(skb: *mut __sk_buff, packet: &Packet, namespace: u64) -> Found {
    if packet.protocol != TCP && packet.protocol != UDP {
        return nobody(side::ELSEWHERE);
    }
    let Some(tuple) = tuple_of(packet) else {
        return nobody(side::ELSEWHERE);
    };
    look_up(skb, packet, packet.protocol, tuple, namespace)
}

/// What the receiver's socket is looked up by.
#[inline(always)]
pub unsafe fn tuple_of(packet: &Packet) -> Option<*mut Tuple> {
    let tuple = TUPLE.get_ptr_mut(0)?;
    let ports =
        u32::from(packet.source_port.to_be()) | u32::from(packet.destination_port.to_be()) << 16;
    if packet.family == 4 {
        (*tuple)[0] = packet.source[0];
        (*tuple)[1] = packet.destination[0];
        (*tuple)[2] = ports;
    } else {
        for n in 0..4 {
            (*tuple)[n] = packet.source[n];
            (*tuple)[n + 4] = packet.destination[n];
        }
        (*tuple)[8] = ports;
    }
    Some(tuple)
}

/// Who listens where the packet comes from, or goes to.
#[inline(never)]
unsafe fn listener_at(
    skb: *mut __sk_buff,
    packet: &Packet,
    at_source: bool,
    namespace: u64,
) -> Found {
    let Some(tuple) = tuple_of_listener(packet, !at_source) else {
        return nobody(side::ELSEWHERE);
    };
    let found = look_up(skb, packet, TCP, tuple, namespace);
    if found >> 32 == 0 {
        return nobody(side::NO_OWNER);
    }
    found
}

/// With no remote side only a listening socket can be found, at the packet's destination
/// or at its source.
#[inline(always)]
pub unsafe fn tuple_of_listener(packet: &Packet, at_destination: bool) -> Option<*mut Tuple> {
    let tuple = TUPLE.get_ptr_mut(0)?;
    let (address, port) = if at_destination {
        (&packet.destination, packet.destination_port)
    } else {
        (&packet.source, packet.source_port)
    };
    let ports = u32::from(port.to_be()) << 16;
    if packet.family == 4 {
        (*tuple)[0] = 0;
        (*tuple)[1] = address[0];
        (*tuple)[2] = ports;
    } else {
        for n in 0..4 {
            (*tuple)[n] = 0;
            (*tuple)[n + 4] = address[n];
        }
        (*tuple)[8] = ports;
    }
    Some(tuple)
}

/// The owner of the socket with this tuple. Each kind of socket by instructions of its
/// own, as the verifier wants it.
#[inline(always)]
unsafe fn look_up(
    skb: *mut __sk_buff,
    packet: &Packet,
    protocol: u8,
    tuple: *mut Tuple,
    namespace: u64,
) -> Found {
    let size = size_of_tuple(packet);
    let socket = if protocol == UDP {
        bpf_sk_lookup_udp(skb.cast(), tuple.cast(), size, namespace, 0)
    } else {
        bpf_sk_lookup_tcp(skb.cast(), tuple.cast(), size, namespace, 0)
    };
    if socket.is_null() {
        return nobody(side::NO_SOCKET);
    }
    let found = owned(owner::behind(socket.cast()), without_owner(socket.cast()));
    bpf_sk_release(socket.cast());
    found
}

/// Of a socket that nobody was seen to make: the kernel makes some for itself.
#[inline(always)]
unsafe fn without_owner(socket: *mut bpf_sock) -> u32 {
    let layout = process::layout();
    let Some(address) = ADDRESS.get_ptr_mut(0) else {
        return side::NO_OWNER;
    };
    address.write_volatile(socket as u64);
    let socket = address.read_volatile();
    let byte: u8 = process::read(socket, process::field(&layout.sock_kernel));
    if u32::from(byte) & process::field(&layout.sock_kernel_mask) != 0 {
        side::NO_SOCKET
    } else {
        side::NO_OWNER
    }
}

#[inline(always)]
unsafe fn owned(owner: *mut Owner, otherwise: u32) -> Found {
    if owner.is_null() || (*owner).tgid == 0 {
        return nobody(otherwise);
    }
    u64::from((*owner).tgid) << 32 | u64::from((*owner).start)
}

#[inline(always)]
const fn nobody(why: u32) -> Found {
    why as u64
}
