//! Words and what they mean.

use std::{fmt::Debug, time::Duration};

use crate::config::{Listen, socket, values};

/// The value, or a part of the reason why there is none.
fn check<T: PartialEq + Debug>(
    parse: impl Fn(&str) -> Result<T, String>,
    input: &str,
    expect: Result<T, &str>,
) {
    match (parse(input), expect) {
        (Ok(is), Ok(wanted)) => assert_eq!(is, wanted, "{input}"),
        (Err(is), Err(part)) => assert!(is.contains(part), "{input}: {is}"),
        (is, wanted) => panic!("{input}: {is:?}, not {wanted:?}"),
    }
}

#[test]
fn a_duration_is_a_sum_of_whole_numbers_with_units() {
    let range = Duration::ZERO..=Duration::from_secs(7200);
    let check = |input, expect: Result<Duration, &str>| {
        check(|t| values::duration(t, &range), input, expect)
    };
    check("1s", Ok(Duration::from_secs(1)));
    check("500ms", Ok(Duration::from_millis(500)));
    check("5m", Ok(Duration::from_secs(300)));
    check("1m30s", Ok(Duration::from_secs(90)));
    check("2h", Ok(Duration::from_secs(7200)));
    check("0s", Ok(Duration::ZERO));
    check("2h1ms", Err("give 0ns to 7200s"));
    for wrong in ["", "5", "s", "1.5s", "-1s", "1 s", "1S", "1d", "s1"] {
        check(wrong, Err("is not a duration; write for example `500ms`"));
    }
    check("99999999999999999999s", Err("is not a duration"));
    check("9999999999999999999h", Err("is not a duration"));
}

#[test]
fn a_number_is_held_to_its_range() {
    let check =
        |input, expect: Result<u32, &str>| check(|t| values::number(t, &(1..=9)), input, expect);
    check("1", Ok(1));
    check("9", Ok(9));
    for wrong in ["0", "10", "-1", "", "x", "1.0", "99999999999999999999"] {
        check(wrong, Err("does not fit; give a whole number from 1 to 9"));
    }
}

#[test]
fn a_listener_has_a_scheme() {
    let tcp = |address: &str| Ok(Listen::Tcp(address.into()));
    let check = |input: &str, expect| check(socket::listen, input, expect);
    check("tcp://127.0.0.1:4245", tcp("127.0.0.1:4245"));
    check("tcp://[::1]:0", tcp("[::1]:0"));
    check("tcp://host.example:65535", tcp("host.example:65535"));
    check("unix:///run/x.sock", Ok(Listen::Unix("/run/x.sock".into())));
    check("127.0.0.1:1", Err("write `tcp://127.0.0.1:1`"));
    check("/run/x.sock", Err("write `unix:///run/x.sock`"));
    check(
        "http://a:1",
        Err("write `tcp://HOST:PORT` or `unix:///PATH`"),
    );
    check("tcp://127.0.0.1", Err("has no port"));
    check(
        "tcp://127.0.0.1:65536",
        Err("no valid port; give 0 to 65535"),
    );
    check("tcp://:1", Err("write `0.0.0.0` or `[::]`"));
    check("tcp://::1:80", Err("write `[::1]:80`"));
    check("tcp://127.0.0.256:1", Err("no valid host"));
    check("tcp://a b:1", Err("no valid host"));
    check("unix://run/x.sock", Err("three slashes"));
    check("unix:///run/", Err("no absolute path"));
    let longest = format!("unix:///{}", "x".repeat(106));
    check(&longest, Ok(Listen::Unix(longest[7..].into())));
    check(&format!("{longest}x"), Err("keep to 107 bytes"));
}

#[test]
fn metrics_can_be_off() {
    let check = |input, expect: Result<Option<&str>, &str>| {
        check(
            socket::metrics_listen,
            input,
            expect.map(|to| to.map(str::to_owned)),
        );
    };
    check("off", Ok(None));
    check("0.0.0.0:9965", Ok(Some("0.0.0.0:9965")));
    check("tcp://[::]:0", Ok(Some("[::]:0")));
    check("9965", Err("write `HOST:PORT`, or `off` for no metrics"));
    check("unix:///x", Err("or `off`"));
}

#[test]
fn a_peer_has_a_host_and_port_or_a_socket() {
    let check = |input: &str, expect: Result<(), &str>| {
        check(|t| socket::peer_address(t).map(drop), input, expect);
    };
    check("10.0.0.2:4244", Ok(()));
    check("node-2.example:4244", Ok(()));
    check("[fd00::2]:4244", Ok(()));
    check("unix:///run/x.sock", Ok(()));
    check("10.0.0.2", Err("has no port"));
    check("10.0.0.2:0", Err("port 0"));
    check("node-2:0", Err("give 1 to 65535"));
    check("unix://x", Err("no absolute path"));
    check("", Err("has no port"));
}

#[test]
fn a_pattern_is_a_glob_or_the_name_of_an_interface() {
    let check =
        |input: &str, expect: Result<(), &str>| check(|t| values::glob(t).map(drop), input, expect);
    for right in [
        "eth0",
        "eth*",
        "{eth,ens}*",
        "eth[0-3]",
        "?",
        "eth0.100",
        "br-0123456789ab",
    ] {
        check(right, Ok(()));
    }
    check("!veth*", Err("`exclude = [\"veth*\"]`"));
    check("eth{0", Err("is not a glob: unclosed"));
    check("eth[", Err("is not a glob: unclosed"));
    check("", Err("is not the name of an interface"));
    check("br-0123456789abc", Err("at most 15 bytes"));
    check("a/b", Err("is not the name of an interface"));
}

#[test]
fn the_path_of_a_namespace_ends_in_any_name_of_a_file_or_a_glob() {
    let check = |input: &str, expect: Result<(), &str>| {
        check(|t| values::namespace_path(t).map(drop), input, expect);
    };
    for right in [
        "/run/netns/blue",
        "/run/netns/cni-8e6a0f1c-2d3b-4a5c-9e7f-0123456789ab",
        "/run/netns/a b:c",
        "/run/netns/cni-*",
        "/run/netns/!x",
        "/proc/123/ns/net",
    ] {
        check(right, Ok(()));
    }
    check("netns/blue", Err("is not the path"));
    check("/", Err("is not the path"));
    check("/run/*/blue", Err("before its last part"));
    check("/run/netns/a[", Err("is not a glob"));
}

#[test]
fn an_interface_is_named_as_the_kernel_names_it() {
    let check = |input: &str, expect: Result<(), &str>| {
        check(|t| values::interface(t).map(drop), input, expect);
    };
    check("veth1@if2", Ok(()));
    for wrong in [
        "",
        ".",
        "..",
        "a b",
        "a:b",
        "a/b",
        "veth*",
        "0123456789abcdef",
    ] {
        check(wrong, Err("is not the name of an interface"));
    }
}

#[test]
fn an_address_is_as_packets_have_it() {
    let check = |input, expect: Result<&str, &str>| {
        check(
            |t| values::address(t).map(|ip| ip.to_string()),
            input,
            expect.map(str::to_owned),
        );
    };
    check("10.0.0.7", Ok("10.0.0.7"));
    check("FD00:0::7", Ok("fd00::7"));
    check("::ffff:10.0.0.7", Ok("10.0.0.7"));
    check("10.0.0.0/8", Err("put it into `cidrs`"));
    check("10.0.0", Err("is not an IP address"));
    check("010.0.0.1", Err("is not an IP address"));
    check("fe80::1%eth0", Err("is not an IP address"));
}

#[test]
fn a_range_has_no_bits_beyond_its_prefix() {
    let check = |input, expect: Result<&str, &str>| {
        check(
            |t| values::cidr(t).map(|net| net.to_string()),
            input,
            expect.map(str::to_owned),
        );
    };
    check("10.0.0.0/8", Ok("10.0.0.0/8"));
    check("0.0.0.0/0", Ok("0.0.0.0/0"));
    check("fd00::/8", Ok("fd00::/8"));
    check("10.0.0.7/32", Ok("10.0.0.7/32"));
    check("10.1.2.3/8", Err("write `10.0.0.0/8`"));
    check("10.0.0.1", Err("write `10.0.0.1/32`"));
    check("fd00::1", Err("write `fd00::1/128`"));
    check("10.0.0.0/33", Err("is not an address range"));
    check("ten/8", Err("is not an address range"));
}

#[test]
fn a_switch_is_spelled_in_the_usual_ways() {
    for (on, words) in [
        (true, ["1", "true", "YES", "on"]),
        (false, ["0", "False", "no", "off"]),
    ] {
        for word in words {
            check(values::switch, word, Ok(on));
        }
    }
    check(values::switch, "maybe", Err("write `true` or `false`"));
}
