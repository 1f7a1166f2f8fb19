//! The file: every key, and what is said about mistakes.

use std::time::Duration;

use proptest::prelude::*;

use super::{check, read};
use crate::config::{AuditTo, Config, Listen, Policy};

fn right(text: &str) -> Config {
    read(text).expect("no mistakes")
}

#[test]
fn every_plain_setting_arrives() {
    let is = right(
        "node_name = 'n'\ncluster_name = 'c'\nnode_labels = ['b=2', 'a=1']\nstate_dir = '/s'\n\
         flow_capacity = 0x10\nflow_bytes = 0x10_0000\nreplay = ['r.json']\n\
         [server]\nlisten = ['tcp://a:1']\nplaintext = true\nwrite_group = 'g'\nmax_streams = 1\nmax_streams_per_connection = 2\n\
         max_connections = 3\nmax_connections_per_peer = 4\n\
         max_calls = 3\npeer_share = 50\nmax_pending_bytes = 0x20_0000\nmessage_timeout = '3s'\n\
         max_request_bytes = 4_096\nlost_event_interval = '2s'\ndrain_timeout = '0s'\n\
         version_header = true\nhosts = ['ui.example']\n[metrics]\nlisten = 'off'\n[identity]\nworld = 'by-family'",
    );
    assert_eq!((&*is.node_name, &*is.cluster_name), ("n", "c"));
    assert_eq!(
        (is.node_labels, is.flow_capacity),
        (vec!["a=1".into(), "b=2".into()], 16)
    );
    assert_eq!(is.flow_bytes, Some(1 << 20));
    assert_eq!(
        (is.state_dir, is.replay),
        ("/s".into(), vec!["r.json".into()])
    );
    assert_eq!(is.server.listen, [Listen::Tcp("a:1".into())]);
    assert_eq!(is.server.write_group.as_deref(), Some("g"));
    assert_eq!(
        (is.server.max_streams, is.server.max_streams_per_connection),
        (1, 2)
    );
    assert_eq!(
        (
            is.server.max_connections,
            is.server.max_connections_per_peer
        ),
        (3, 4)
    );
    assert_eq!(
        (is.server.max_request_bytes, is.server.version_header),
        (4096, true)
    );
    assert_eq!(is.server.hosts, ["ui.example"]);
    assert_eq!((is.server.max_calls, is.server.peer_share), (3, 50));
    assert_eq!(is.server.max_pending_bytes, 2 << 20);
    assert_eq!(is.server.message_timeout, Duration::from_secs(3));
    assert_eq!(is.server.lost_event_interval, Duration::from_secs(2));
    assert_eq!(
        (is.server.drain_timeout, is.metrics_listen),
        (Duration::ZERO, None)
    );
    assert!(is.identity.world_by_family);
}

#[test]
fn every_setting_of_the_datapath_arrives() {
    let is = right(
        "[datapath]\ninterfaces = ['e*']\nexclude = ['v*']\naggregation = false\n\
         active_interval = '100ms'\nflows_ipv4 = 1\nflows_ipv6 = 2\nflows_dropped = 3\n\
         tcp_opening = '4s'\nobserved_ring_bytes = 4096\n\
         denied_ring_bytes = 8192\npayload_ring_bytes = 16384\npayload_bytes_per_second = 7\ntcp_idle = '1s'\ntcp_closed = '2s'\nother_idle = '3s'\n\
         force_clsact = true\ndrops = false\nvlan_in_key = false\n[[datapath.zone]]\ninterface = 'a*'\nzone = 0\n\
         [[datapath.zone]]\ninterface = 'b'\nzone = 65407\n\
         [[datapath.namespace]]\npath = '/run/netns/*'\n\
         [[datapath.namespace]]\npath = '/proc/7/ns/net'\nzone = 3",
    )
    .datapath
    .expect("on");
    assert_eq!(
        (is.interfaces, is.exclude),
        (vec!["e*".into()], vec!["v*".into()])
    );
    assert_eq!(
        (is.aggregation, is.force_clsact, is.drops),
        (false, true, false)
    );
    assert_eq!((is.flows_ipv4, is.flows_ipv6), (1, 2));
    assert_eq!((is.observed_ring_bytes, is.denied_ring_bytes), (4096, 8192));
    assert_eq!(
        (is.payload_ring_bytes, is.payload_bytes_per_second),
        (16384, 7)
    );
    assert_eq!(is.active_interval, Duration::from_millis(100));
    let idle = [is.tcp_idle, is.tcp_closed, is.other_idle, is.tcp_opening];
    assert_eq!(idle, [1, 2, 3, 4].map(Duration::from_secs));
    assert_eq!(is.flows_dropped, 3);
    assert_eq!(is.zones, [("a*".into(), 0), ("b".into(), 65407)]);
    let namespaces = [("/run/netns/*".into(), 0), ("/proc/7/ns/net".into(), 3)];
    assert_eq!(is.namespaces, namespaces);
}

#[test]
fn settings_of_names_arrive() {
    let is = right("[names]\ncapacity = 16\nttl_floor = '0s'").names;
    assert_eq!((is.capacity, is.ttl_floor), (16, Duration::ZERO));
    let hosts = |text: &str| {
        right(&format!("[names]\nhosts_file = '{text}'"))
            .names
            .hosts_file
    };
    assert_eq!(hosts("off"), None);
    assert_eq!(hosts("/x/hosts"), Some("/x/hosts".into()));
    check(
        "[names]\nhosts_file = 'hosts'",
        &[(
            "file:2: names.hosts_file: `hosts` is no absolute path",
            "`off`",
        )],
    );
}

#[test]
fn labels_are_a_list_or_a_table() {
    let labels = |text: &str| right(&format!("node_labels = {text}")).node_labels;
    let table = labels("{ 'kubernetes.io/arch' = 'amd64', zone = '' }");
    assert_eq!(table, labels("['zone=', 'kubernetes.io/arch=amd64']"));
    check(
        "node_labels = { a.b = 'c' }",
        &[("file:1: node_labels: is a table", "dots in quotes")],
    );
    check(
        "node_labels = ['a=1', 'a=2']",
        &[("file:1: node_labels: label `a`", "keep one")],
    );
    check(
        "node_labels = 'a=1'",
        &[("file:1: node_labels: is a string", "[\"key=value\"]")],
    );
    check(
        "node_labels = { a = 1 }",
        &[("file:1: node_labels: is a whole number", "a string")],
    );
}

#[test]
fn an_unknown_key_is_told_with_what_was_meant() {
    check(
        "flow-capacity = 1",
        &[(
            "file:1: unknown key `flow-capacity`",
            "did you mean `flow_capacity`?",
        )],
    );
    check(
        "[server]\nlisen = []",
        &[("file:2: unknown key `lisen` in [server]", "`listen`?")],
    );
    check(
        "max_streams = 1",
        &[("file:1:", "it belongs into [server]")],
    );
    check(
        "[server]\nflow_capacity = 1",
        &[("file:2:", "it belongs above the first section")],
    );
    check(
        "\n[metrics]\nxyz = 1",
        &[(
            "file:3: unknown key `xyz` in [metrics]",
            "known here: listen",
        )],
    );
    check(
        "[[peers]]\nname = 'x'",
        &[("file:1: unknown key `peers`", "did you mean `peer`?")],
    );
}

#[test]
fn a_wrong_type_is_told_with_the_right_one() {
    check(
        "node_name = 5",
        &[(
            "file:1: node_name: is a whole number",
            "a string, in quotes",
        )],
    );
    check(
        "flow_capacity = '5'",
        &[("file:1: flow_capacity: is a string", "without quotes")],
    );
    check(
        "flow_capacity = 5.0",
        &[("file:1:", "with a fraction; write a whole number")],
    );
    check(
        "replay = 'x'",
        &[("file:1: replay: is a string", "a list of strings")],
    );
    check(
        "replay = [\n'x',\n1979-05-27]",
        &[("file:3: replay: is a date or time", "a string")],
    );
    check(
        "[server]\ndrain_timeout = 5",
        &[("file:2: server.drain_timeout:", "a duration in quotes")],
    );
    check(
        "[datapath]\ndrops = 'no'",
        &[("file:2: datapath.drops: is a string", "`true` or `false`")],
    );
    check(
        "server = 1",
        &[("file:1: server: must be one section", "`[server]`")],
    );
    check(
        "[[server]]",
        &[("file:1: server: must be one section", "`[server]`")],
    );
    check(
        "[peer]",
        &[("file:1: peer: must be a list of sections", "`[[peer]]`")],
    );
    check(
        "peer = ['x']",
        &[("file:1: peer: must be a list of sections", "`[[peer]]`")],
    );
}

#[test]
fn numbers_and_durations_are_held_to_their_limits() {
    check(
        "flow_capacity = 0",
        &[("file:1: flow_capacity: `0`", "from 1 to")],
    );
    check(
        "flow_capacity = -1",
        &[("file:1: flow_capacity: `-1`", "from 1 to")],
    );
    check(
        "flow_capacity = 99999999999999999999999999999999999999999",
        &[("file:1:", "from 1 to")],
    );
    let one = |section: &str, setting: &str, part: &str| {
        let place = format!(
            "file:2: {section}.{}: ",
            setting.split(' ').next().unwrap_or_default()
        );
        check(&format!("[{section}]\n{setting}"), &[(&place, part)]);
    };
    one("server", "max_streams = 0", "from 1 to");
    one("server", "write_group = 'a b'", "is not a group");
    one("server", "write_group = '-g'", "is not a group");
    one("server", "max_streams_per_connection = 0", "from 1 to");
    one("server", "max_request_bytes = 1023", "from 1024 to");
    one("server", "lost_event_interval = '0s'", "give 1ms to");
    one("server", "drain_timeout = '61m'", "give 0ns to 3600s");
    one("datapath", "flows_ipv4 = 0", "from 1 to");
    one("datapath", "flows_ipv6 = 4294967296", "from 1 to");
    one("datapath", "active_interval = '99ms'", "give 100ms to");
    one("datapath", "tcp_idle = '0s'", "give 100ms to");
    one("datapath", "observed_ring_bytes = 2048", "from 4096 to");
    one(
        "datapath",
        "observed_ring_bytes = 5000",
        "no power of two; give 4096 or 8192",
    );
    one(
        "datapath",
        "denied_ring_bytes = 4097",
        "no power of two; give 4096 or 8192",
    );
    one("datapath", "interfaces = ['eth[']", "is not a glob");
    one("identity", "world = 'all'", "write `single` or `by-family`");
    check(
        "[server]\nlisten = []",
        &[("file:1: server has no listener", "leave it out")],
    );
    let others = "[server]\nlisten = []\n[[listener]]\naddress = 'unix:///run/x/socket'\n";
    assert_eq!(right(others).server.all_listeners().len(), 1);
}

#[test]
fn zones_are_whole_and_told_apart() {
    let zone = "[[datapath.zone]]\n";
    check(
        zone,
        &[
            ("file:1: datapath.zone has no `interface`", "add"),
            ("file:1:", "has no `zone`"),
        ],
    );
    check(
        &format!("{zone}interface = 'a'\nzone = 65536\n{zone}interface = 'a'\nzone = 1"),
        &[
            ("file:3: datapath.zone.zone: `65536`", "0 to 65407"),
            ("file:5: zone of `a` is in line 2", "keep one"),
        ],
    );
    check(
        &format!("[datapath]\nvlan_in_key = true\n{zone}interface = 'a'\nzone = 32768"),
        &[("file:5: datapath.zone.zone: `32768`", "0 to 32767")],
    );
}

#[test]
fn vlans_tell_flows_apart_live_and_in_captures() {
    let on = right("[datapath]\nvlan_in_key = true");
    assert!(on.vlan_in_key && on.datapath.expect("on").vlan_in_key);
    let off = right("[datapath]\nenabled = false\nvlan_in_key = true");
    assert!(off.vlan_in_key && off.datapath.is_none());
}

#[test]
fn a_peer_has_a_name_of_its_own_and_an_address() {
    check(
        "[[peer]]",
        &[
            ("file:1: peer has no `name`", "add"),
            ("file:1: peer has no `address`", "add"),
        ],
    );
    check(
        "[[peer]]\nname = 'a'\naddress = 'b'\ntls_server_name = '*'\n[[peer]]\nname = 'a'\naddress = 'b:1'",
        &[
            ("file:3: peer.address: `b`", "has no port"),
            (
                "file:4: peer.tls_server_name: `*`",
                "is not a name of a server",
            ),
            ("file:5: peer `a` is in line 1 already", "keep one"),
        ],
    );
}

#[test]
fn a_syntax_error_has_line_and_column() {
    check("a = 1\nb = = 2", &[("file:2: column 5: ", "`=`")]);
    check(
        "a = 1\n\n  [server",
        &[("file:3: column 10: unclosed table", "expected `]`")],
    );
    check("a = 1\na = 2", &[("file:2: column 1: ", "duplicate key")]);
    check("a = 'ü' x", &[("file:1: column 9: ", "")]);
    check("x = ", &[("file:1: column ", "")]);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        drop(read(&text));
    }

    #[test]
    fn no_mix_of_settings_makes_the_reader_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "[", "]", "[[", "]]", "{", "}", " = ", "\n", ".", ",", "'", "\"", "\"\"\"", "#",
                "server", "datapath", "zone", "endpoint", "peer", "name", "addresses", "labels",
                "workload", "listen", "observed_ring_bytes", "1", "-1", "0x", "1e9", "true", "'a=b'",
                "['10.0.0.1']", "ü", "\u{feff}", "\r\n", "1979-05-27",
            ]),
            0..40,
        )
    ) {
        drop(read(&parts.concat()));
    }
}

#[test]
fn the_audit_log_goes_to_a_file_the_journal_or_nowhere() {
    let to = |file: &str| {
        right(&format!(
            "[audit]\nfile = '{file}'\nmax_bytes = 16_384\nkeep = 0"
        ))
        .audit
    };
    for (file, expect) in [
        ("off", AuditTo::Off),
        ("journal", AuditTo::Journal),
        ("a.jsonl", AuditTo::File("a.jsonl".into())),
        ("/var/log/a", AuditTo::File("/var/log/a".into())),
    ] {
        let is = to(file);
        assert_eq!((is.to, is.max_bytes, is.keep), (expect, 16_384, 0));
    }
    for wrong in ["", "/", ".", "..", "a/b", "../a", "/var/log/", "/a/.."] {
        check(
            &format!("[audit]\nfile = '{wrong}'"),
            &[("file:2", "write for example `audit.jsonl`")],
        );
    }
    check(
        "[audit]\nmax_bytes = 1\nkeep = -1\nsize = 3",
        &[
            ("file:2", "audit.max_bytes"),
            ("file:3", "audit.keep"),
            ("file:4", "unknown key `size`"),
        ],
    );
}

#[test]
fn policies_have_a_mode_and_ports_that_are_kept_open() {
    let text = "[policy]\nenforcement = \"always\"\nmanagement = [22, 0x10AE]\nmax_rules = 1000\n";
    let config = read(text).unwrap();
    assert_eq!(
        config.policy,
        Policy {
            enforcement: sextant_policy::set::Enforcement::Always,
            management: vec![22, 4270],
            max_rules: 1000,
            ..Policy::default()
        }
    );
    check(
        "[policy]\nenforcement = \"maybe\"\nmanagement = [0, 22, \"ssh\"]\n",
        &[
            ("file:2", "write `default`, `always` or `never`"),
            ("file:3", "policy.management"),
            ("file:3", "policy.management"),
        ],
    );
    let text = "[policy]\non_exit = \"keep\"\npins = \"/run/bpf/sextant\"\n";
    let policy = read(text).unwrap().policy;
    assert_eq!(policy.on_exit, crate::config::OnExit::Keep);
    assert_eq!(policy.pins, std::path::Path::new("/run/bpf/sextant"));
    check(
        "[policy]\non_exit = \"stay\"\npins = \"sextant\"\n",
        &[
            ("file:2", "write `remove` or `keep`"),
            ("file:3", "write the whole path"),
        ],
    );
    let text = "[policy]\ndeny_error = \"refused\"\nunknown = \"deny\"\non_deny = \"destroy\"\n";
    let policy = read(text).unwrap().policy;
    assert_eq!(policy.deny_error, crate::config::DenyError::Refused);
    assert_eq!(policy.unknown, crate::config::Unknown::Deny);
    assert_eq!(policy.on_deny, crate::config::OnDeny::Destroy);
    check(
        "[policy]\ndeny_error = \"reset\"\nunknown = \"drop\"\non_deny = \"reset\"\n",
        &[
            ("file:2", "write `silent`, `eperm` or `refused`"),
            ("file:3", "write `allow` or `deny`"),
            ("file:4", "write `drop` or `destroy`"),
        ],
    );
    check(
        "[policy]\nmanagement = 22\n",
        &[("file:2", "a list of whole numbers")],
    );
}
