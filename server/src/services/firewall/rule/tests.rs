use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An expression with numbers and nested values.
fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    let inner = [
        attribute(NAME, name.as_bytes()),
        attribute(DATA, &data.concat()),
    ];
    attribute(LIST_ELEMENT, &inner.concat())
}

fn be(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

fn payload(base: u32, offset: u32, length: u32) -> Vec<u8> {
    expression(
        "payload",
        &[be(1, 1), be(2, base), be(3, offset), be(4, length)],
    )
}

fn compare(operator: u32, bytes: &[u8]) -> Vec<u8> {
    let data = attribute(3, &attribute(1, bytes));
    expression("cmp", &[be(1, 1), be(2, operator), data])
}

fn immediate(register: u32, bytes: &[u8]) -> Vec<u8> {
    expression(
        "immediate",
        &[be(1, register), attribute(2, &attribute(1, bytes))],
    )
}

/// `tcp dport 8080`.
fn to_port() -> Vec<u8> {
    let protocol = expression("meta", &[be(1, 1), be(2, 16)]);
    [
        protocol,
        compare(0, &[6]),
        payload(TRANSPORT, 2, 2),
        compare(0, &8080_u16.to_be_bytes()),
    ]
    .concat()
}

/// `dnat to 10.0.0.5:80`.
fn translation() -> Vec<u8> {
    let nat = expression("nat", &[be(1, 1), be(2, 2), be(3, 1), be(5, 2)]);
    [immediate(1, &[10, 0, 0, 5]), immediate(2, &[0, 80]), nat].concat()
}

fn read(family: u8, parts: &[Vec<u8>]) -> Option<Forward> {
    Forward::of_rule(family, &parts.concat())
}

#[test]
fn a_rule_of_nft_tells_who_answers() {
    let found = read(IPV4, &[to_port(), translation()]).unwrap();
    assert_eq!((found.protocol, found.port), (6, 8080));
    assert_eq!((found.address, found.family), (None, Some(4)));
    assert_eq!(found.to, "10.0.0.5".parse::<IpAddr>().unwrap());
    let at = |text: &str| text.parse().unwrap();
    assert!(found.is_of(6, at("10.9.9.9:8080"), true));
    assert!(
        !found.is_of(6, at("10.9.9.9:8080"), false),
        "of another host"
    );
    assert!(!found.is_of(17, at("10.9.9.9:8080"), true));
    assert!(!found.is_of(6, at("[fd00::1]:8080"), true));

    let address = [payload(NETWORK, 16, 4), compare(0, &[10, 99, 0, 1])].concat();
    let found = read(IPV4, &[address, to_port(), translation()]).unwrap();
    assert!(found.is_of(6, at("10.99.0.1:8080"), false));
    assert!(!found.is_of(6, at("10.9.9.9:8080"), true));
    // In a table of both families.
    let family = [
        expression("meta", &[be(1, 1), be(2, 15)]),
        compare(0, &[IPV4]),
    ]
    .concat();
    assert!(read(1, &[family.clone(), to_port(), translation()]).is_some());
    let counter = expression("counter", &[]);
    let way = [
        expression("meta", &[be(1, 1), be(2, 6)]),
        compare(1, b"docker0\0"),
    ]
    .concat();
    assert!(read(IPV4, &[way, to_port(), counter, translation()]).is_some());
}

#[test]
fn a_rule_of_iptables_does_too() {
    let mut ports = Vec::new();
    for number in [0, u16::MAX, 8080, 8080, 0, 0] {
        ports.extend(u16::to_ne_bytes(number));
    }
    let protocol = [payload(NETWORK, 9, 1), compare(0, &[6])].concat();
    let condition = |ports: &[u8]| {
        expression(
            "match",
            &[attribute(1, b"tcp\0"), be(2, 0), attribute(3, ports)],
        )
    };
    let mut range = 3_u32.to_ne_bytes().to_vec();
    for _ in 0..2 {
        range.extend([172, 17, 0, 2]);
        range.extend([0; 12]);
    }
    range.extend([0, 80, 0, 80, 0, 0, 0, 0]);
    let target = |name: &[u8], range: &[u8]| {
        expression(
            "target",
            &[attribute(1, name), be(2, 2), attribute(3, range)],
        )
    };
    let found = read(
        IPV4,
        &[
            protocol.clone(),
            condition(&ports),
            target(b"DNAT\0", &range),
        ],
    )
    .unwrap();
    assert_eq!((found.protocol, found.port), (6, 8080));
    assert_eq!(found.to, "172.17.0.2".parse::<IpAddr>().unwrap());
    let other = target(b"REDIRECT\0", &range);
    assert_eq!(read(IPV4, &[condition(&ports), other]), None);
    range[20] = 173;
    assert_eq!(
        read(IPV4, &[condition(&ports), target(b"DNAT\0", &range)]),
        None,
        "several answer"
    );
    ports[4] += 1;
    assert_eq!(
        read(IPV4, &[condition(&ports), target(b"DNAT\0", &range)]),
        None,
        "several ports"
    );
}

#[test]
fn what_is_not_understood_says_nothing() {
    let from = [payload(NETWORK, 12, 4), compare(0, &[10, 0, 0, 9])].concat();
    let many = expression("lookup", &[attribute(1, b"set\0"), be(2, 1)]);
    let negated = [payload(NETWORK, 16, 4), compare(1, &[10, 99, 0, 1])].concat();
    for odd in [from, many, negated] {
        assert_eq!(read(IPV4, &[odd, to_port(), translation()]), None);
    }
    let source = expression("nat", &[be(1, 0), be(2, 2), be(3, 1)]);
    let masked = [to_port(), immediate(1, &[10, 0, 0, 5]), source].concat();
    assert_eq!(read(IPV4, &[masked]), None, "of the source");
    assert_eq!(read(IPV4, &[to_port()]), None);
    assert_eq!(read(IPV4, &[translation()]), None, "of all ports");
    let whole = [to_port(), translation()].concat();
    for length in 0..whole.len() {
        assert_eq!(read(IPV4, &[whole[..length].to_vec()]), None, "{length}");
    }
}
