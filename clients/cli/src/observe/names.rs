//! The names that stock clients print and parse: identities, observation points,
//! policy matches and drop reasons, by their numbers.

/// Reserved identities; others are numbers.
pub(crate) const RESERVED: [&str; 15] = [
    "unknown",
    "host",
    "world",
    "unmanaged",
    "health",
    "init",
    "remote-node",
    "kube-apiserver",
    "ingress",
    "world-ipv4",
    "world-ipv6",
    "aggregate-cluster",
    "aggregate-cluster-mesh",
    "aggregate-world",
    "aggregate-remote-node",
];

/// Where a packet was traced.
pub(crate) const OBSERVATION_POINTS: [&str; 14] = [
    "to-endpoint",
    "to-proxy",
    "to-host",
    "to-stack",
    "to-overlay",
    "from-endpoint",
    "from-proxy",
    "from-host",
    "from-stack",
    "from-overlay",
    "from-network",
    "to-network",
    "from-crypto",
    "to-crypto",
];

const POLICY_MATCHES: [&str; 7] = [
    "none",
    "L3-Only",
    "L3-L4",
    "L4-Only",
    "all",
    "L3-Proto",
    "Proto-Only",
];

/// The number of a reserved identity.
pub(crate) fn reserved_identity(name: &str) -> Option<u32> {
    // The first is no identity, but the want of one.
    let place = RESERVED.iter().skip(1).position(|known| *known == name)?;
    u32::try_from(place + 1).ok()
}

/// An identity in parentheses.
pub(crate) fn identity(number: u32) -> String {
    match usize::try_from(number)
        .ok()
        .and_then(|number| RESERVED.get(number))
    {
        Some(name) => format!("({name})"),
        None => format!("(ID:{number})"),
    }
}

/// The observation point of a trace event.
pub(crate) fn observation_point(sub_type: i32) -> String {
    let number = low_byte(sub_type);
    match OBSERVATION_POINTS.get(usize::from(number)) {
        Some(name) => (*name).into(),
        None => number.to_string(),
    }
}

/// How a policy matched.
pub(crate) fn policy_match(number: u32) -> &'static str {
    let place = usize::try_from(number).ok();
    place
        .and_then(|place| POLICY_MATCHES.get(place))
        .unwrap_or(&"unknown")
}

/// Hubble cuts sub-types to eight bits.
fn low_byte(number: i32) -> u8 {
    number.to_le_bytes()[0]
}

/// Why a packet was dropped.
pub(crate) fn drop_reason(sub_type: i32) -> String {
    let number = low_byte(sub_type);
    match DROP_REASONS.binary_search_by_key(&number, |(number, _)| *number) {
        Ok(place) => DROP_REASONS[place].1.into(),
        Err(_) => format!("{number}, 0"),
    }
}

const DROP_REASONS: [(u8, &str); 92] = [
    (0, "Success"),
    (2, "Invalid packet"),
    (3, "Interface"),
    (4, "Interface Decrypted"),
    (5, "LB, sock cgroup: No backend slot entry found"),
    (6, "LB, sock cgroup: No backend entry found"),
    (7, "LB, sock cgroup: Reverse entry update failed"),
    (8, "LB, sock cgroup: Reverse entry stale"),
    (9, "Fragmented packet"),
    (10, "Fragmented packet entry update failed"),
    (11, "Missed tail call to custom program"),
    (12, "Interface Decrypting"),
    (13, "Interface Encrypting"),
    (14, "LB: sock cgroup: Reverse entry delete succeeded"),
    (15, "MTU error message"),
    (130, "Invalid source mac"),
    (131, "Invalid destination mac"),
    (132, "Invalid source ip"),
    (133, "Policy denied"),
    (134, "Invalid packet"),
    (135, "CT: Truncated or invalid header"),
    (136, "Fragmentation needed"),
    (137, "CT: Unknown L4 protocol"),
    (138, "CT: Can't create entry from packet"),
    (139, "Unsupported L3 protocol"),
    (140, "Missed tail call"),
    (141, "Error writing to packet"),
    (142, "Unknown L4 protocol"),
    (143, "Unknown ICMPv4 code"),
    (144, "Unknown ICMPv4 type"),
    (145, "Unknown ICMPv6 code"),
    (146, "Unknown ICMPv6 type"),
    (147, "Error retrieving tunnel key"),
    (148, "Error retrieving tunnel options"),
    (149, "Invalid Geneve option"),
    (150, "Unknown L3 target address"),
    (151, "Stale or unroutable IP"),
    (152, "No matching local container found"),
    (153, "Error while correcting L3 checksum"),
    (154, "Error while correcting L4 checksum"),
    (155, "CT: Map insertion failed"),
    (156, "Invalid IPv6 extension header"),
    (157, "IP fragmentation not supported"),
    (158, "Service backend not found"),
    (160, "No tunnel/encapsulation endpoint (datapath BUG!)"),
    (161, "NAT 46/64 not enabled"),
    (162, "Reached EDT rate-limiting drop horizon"),
    (163, "Unknown connection tracking state"),
    (164, "Local host is unreachable"),
    (165, "No configuration available to perform policy decision"),
    (166, "Unsupported L2 protocol"),
    (167, "No mapping for NAT masquerade"),
    (168, "Unsupported protocol for NAT masquerade"),
    (169, "FIB lookup failed"),
    (170, "Encapsulation traffic is prohibited"),
    (171, "Invalid identity"),
    (172, "Unknown sender"),
    (173, "NAT not needed"),
    (174, "Is a ClusterIP"),
    (175, "First logical datagram fragment not found"),
    (176, "Forbidden ICMPv6 message"),
    (177, "Denied by LB src range check"),
    (178, "Socket lookup failed"),
    (179, "Socket assign failed"),
    (180, "Proxy redirection not supported for protocol"),
    (181, "Policy denied by denylist"),
    (182, "VLAN traffic disallowed by VLAN filter"),
    (183, "Incorrect VNI from VTEP"),
    (184, "Failed to update or lookup TC buffer"),
    (185, "No SID was found for the IP address"),
    (186, "SRv6 state was removed during tail call"),
    (187, "L3 translation from IPv4 to IPv6 failed (NAT46)"),
    (188, "L3 translation from IPv6 to IPv4 failed (NAT64)"),
    (189, "Authentication required"),
    (190, "No conntrack map found"),
    (191, "No nat map found"),
    (192, "Invalid ClusterID"),
    (193, "Unsupported packet protocol for DSR encapsulation"),
    (194, "No egress gateway found"),
    (195, "Traffic is unencrypted"),
    (196, "TTL exceeded"),
    (197, "No node ID found"),
    (198, "Rate limited"),
    (199, "IGMP handled"),
    (200, "IGMP subscribed"),
    (201, "Multicast handled"),
    (202, "Host datapath not ready"),
    (203, "Endpoint policy program not available"),
    (204, "No Egress IP configured"),
    (205, "Punt to proxy"),
    (206, "No device"),
    (207, "First logical datagram fragment not found from world"),
];
