use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use sextant_proto::flow as pb;

use super::encode;
use crate::flow::{
    Counters, DirectionCounters, EndReason, Figures, Flow, Interface, Interned, Interners, L4, Nat,
    Point, Points, Process, ResetBy, Summary, TcpQuality, Time,
    proto::{from_proto, to_proto},
};

/// Texts that are carried in binary, almost so, and not at all.
const TEXTS: [&str; 12] = [
    "",
    "\0",
    "10.0.0.255",
    "2001:db8::1",
    "010.0.0.1",
    "02:00:00:00:00:0a",
    "02:00:00:00:00:0A",
    "00000000-0000-4000-8000-00000000000a",
    "k8s:app=web",
    "TCP Flags: SYN",
    "a text that is so long that the length of whatever it is in needs two bytes in the encoded form, which is more than 127",
    "x",
];

/// Draws numbers one after another from what proptest made.
struct Dice<'a>(std::slice::Iter<'a, u64>);

impl Dice<'_> {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0.next().map_or(0, |n| n % sides)
    }
}

/// A message with any of its fields set to anything.
fn any_message(descriptor: &MessageDescriptor, dice: &mut Dice<'_>, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if dice.roll(3) != 0 {
            continue;
        }
        let value = if field.cardinality() == Cardinality::Repeated {
            let count = dice.roll(3);
            Value::List(
                (0..count)
                    .filter_map(|_| any_value(&field, dice, depth))
                    .collect(),
            )
        } else {
            match any_value(&field, dice, depth) {
                Some(value) => value,
                None => continue,
            }
        };
        message.set_field(&field, value);
    }
    message
}

fn any_value(field: &FieldDescriptor, dice: &mut Dice<'_>, depth: u32) -> Option<Value> {
    let odd = [0, 1, 2, 80, 127, 128, 255, 65_535, u64::MAX];
    let number = odd[dice.roll(odd.len() as u64) as usize];
    Some(match field.kind() {
        Kind::Bool => Value::Bool(number & 1 == 1),
        Kind::String => Value::String(TEXTS[dice.roll(TEXTS.len() as u64) as usize].into()),
        Kind::Bytes => Value::Bytes(vec![7; dice.roll(200) as usize].into()),
        Kind::Int32 => Value::I32(number as i32),
        Kind::Int64 => Value::I64(number as i64),
        Kind::Uint32 => Value::U32(number as u32),
        Kind::Uint64 => Value::U64(number),
        Kind::Enum(_) => Value::EnumNumber(number as i32),
        Kind::Message(_) if depth == 0 => return None,
        Kind::Message(inner) => Value::Message(any_message(&inner, dice, depth - 1)),
        other => panic!("the contract has no {other:?}"),
    })
}

fn any_flow(numbers: &[u64]) -> pb::Flow {
    let pool = DescriptorPool::decode(sextant_proto::DESCRIPTORS).unwrap();
    let descriptor = pool.get_message_by_name("flow.Flow").unwrap();
    let message = any_message(&descriptor, &mut Dice(numbers.iter()), 5);
    pb::Flow::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn check(flow: &Flow) {
    let mut wire = Vec::new();
    encode(flow, &mut wire);
    let expected = to_proto(flow);
    assert_eq!(pb::Flow::decode(wire.as_slice()).unwrap(), expected);
    assert_eq!(wire, expected.encode_to_vec());
}

fn counters(numbers: &[u64]) -> Counters {
    let mut dice = Dice(numbers.iter());
    let mut direction = || DirectionCounters {
        packets: dice.roll(u64::MAX),
        bytes: dice.roll(1 << 40),
        tcp_flags: dice.roll(0x200) as u16,
        dropped: dice.roll(3),
    };
    let (forward, reverse) = (direction(), direction());
    let interface = |index, namespace: &str| {
        Interned::from(Interface {
            index,
            name: format!("veth{index}"),
            namespace: namespace.into(),
        })
    };
    let points = Points(vec![
        Point {
            interface: interface(3, ""),
            egress: true,
            sub_type: 3,
        },
        Point {
            interface: interface(2, "blue"),
            egress: false,
            sub_type: 5,
        },
    ]);
    let ends = [
        None,
        Some(EndReason::Fin),
        Some(EndReason::Rst),
        Some(EndReason::Idle),
    ];
    Counters {
        forward,
        reverse,
        duration_ns: dice.roll(u64::MAX),
        silent_ns: 0,
        end: ends[dice.roll(4) as usize],
        initiator_guessed: dice.roll(2) == 1,
        vlan: [dice.roll(3) as u16, dice.roll(3) as u16],
        kernel_drop_reason: (dice.roll(2) == 1).then(|| String::from("NO_SOCKET").into()),
        drops: dice.roll(3),
        observation_points: (dice.roll(2) == 1).then(|| points.into()),
        socket_cookie: dice.roll(u64::MAX),
        source_process: process(&mut dice),
        destination_process: process(&mut dice),
        tcp: quality(&mut dice),
        nat: nat(&mut dice),
    }
}

fn nat(dice: &mut Dice<'_>) -> Option<Box<Nat>> {
    let texts = ["10.0.0.1:80", "[2001:db8:1:2:3:4:5:6]:65535"];
    let mut end = || texts[dice.roll(2) as usize].parse().unwrap();
    let (original, reply) = ([end(), end()], [end(), end()]);
    (dice.roll(2) == 1).then(|| Box::new(Nat { original, reply }))
}

fn quality(dice: &mut Dice<'_>) -> Option<Box<TcpQuality>> {
    let mut number = |most: u64| (dice.roll(2) == 1).then(|| dice.roll(most) as u32);
    let mut figures = || {
        Some(Figures {
            retrans: number(9)?,
            lost: number(9)?,
            srtt_us: number(1 << 31),
            rtt_min_us: number(1 << 31),
        })
    };
    let figures = [figures(), figures()];
    let (handshake_us, established_us) = (number(1 << 31), number(1 << 31));
    let resets = [
        None,
        Some(ResetBy::Client),
        Some(ResetBy::Server),
        Some(ResetBy::Both),
    ];
    let reset_by = resets[dice.roll(4) as usize];
    let zero_window = [dice.roll(2) == 1, dice.roll(2) == 1];
    (dice.roll(4) > 0).then(|| {
        Box::new(TcpQuality {
            figures,
            handshake_us,
            established_us,
            zero_window,
            reset_by,
        })
    })
}

fn process(dice: &mut Dice<'_>) -> Option<Interned<Process>> {
    let texts = ["", "x", "/usr/lib/systemd/systemd-resolved"];
    let mut text = || texts[dice.roll(3) as usize].to_owned();
    let [
        name,
        exe,
        command_line,
        cgroup,
        unit,
        container,
        container_name,
        engine,
        user,
    ] = std::array::from_fn(|_| text());
    let mut number = || dice.roll(1 << 32) as u32;
    let process = Process {
        pid: number(),
        ppid: Some(number()),
        uid: Some(number()).filter(|uid| uid % 2 == 0),
        start_time: Some(Time::from_nanos(number().into())),
        name,
        exe,
        command_line,
        cgroup,
        cgroup_id: number().into(),
        unit,
        container,
        container_name,
        engine,
        user,
    };
    (!process.pid.is_multiple_of(3)).then(|| process.into())
}

proptest! {
    /// Whatever the flow, the bytes are those of the generated message type.
    #[test]
    fn any_flow_is_encoded_as_the_message_type_does(
        numbers in prop::collection::vec(any::<u64>(), 0..600),
        own in any::<bool>(),
    ) {
        let mut flow = from_proto(any_flow(&numbers), &mut Interners::default());
        if own {
            flow.counters = Some(Box::new(counters(&numbers)));
            flow.summary = Summary::Derived;
            if let Some(number) = numbers.first().filter(|number| *number % 3 == 0) {
                flow.l4 = Some(L4::Other { protocol: *number as u8 });
            }
        }
        check(&flow);
    }
}
