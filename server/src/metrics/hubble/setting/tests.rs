use super::*;

#[test]
fn options_are_hubbles_words_in_any_case() {
    let setting = Setting::parse(
        "dns:QUERY;ignoreAAAA=;sourcecontext=POD|ip;destinationEgressContext=dns||app;\
         labelsContext=source_ip,,traffic_direction;destinationContext=",
    )
    .unwrap();
    assert_eq!(setting.kind, Kind::Dns);
    assert!(setting.switches.query && setting.switches.ignore_aaaa);
    assert_eq!(
        setting.context.source.any,
        [Identifier::Pod, Identifier::Ip]
    );
    assert_eq!(
        setting.context.destination.egress,
        [Identifier::Dns, Identifier::App]
    );
    assert!(setting.context.destination.any.is_empty());
    assert_eq!(
        setting.context.names(),
        ["source_ip", "traffic_direction", "source", "destination"]
    );
}

#[test]
fn mistakes_name_the_key_and_what_is_allowed() {
    for (text, says) in [
        ("", "`` is no metric of Hubble; known: dns, drop, flow"),
        ("flows", "`flows` is no metric"),
        (
            "icmp:query",
            "icmp: `query` is no option of it; known: sourceContext",
        ),
        (
            "dns:port",
            "destinationEgressContext, labelsContext, query, ignoreAAAA",
        ),
        (
            "drop:sourceContext=pod|name",
            "drop: sourceContext: `name` is no identifier; known: identity, namespace, pod",
        ),
        (
            "drop:labelsContext=pod",
            "drop: labelsContext: `pod` is no label; known: source_ip, source_pod",
        ),
        ("drop:sourceContext=pod=ip", "`pod=ip` is no identifier"),
    ] {
        let error = Setting::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn the_first_exemplars_option_counts() {
    for (text, is) in [
        ("http:exemplars=true", Some(true)),
        ("httpV2:exemplars=false;exemplars=true", Some(false)),
        ("httpV2:exemplars=True", Some(false)),
        ("httpV2:exemplars", Some(false)),
        ("httpV2", None),
    ] {
        assert_eq!(
            Setting::parse(text).unwrap().switches.exemplars,
            is,
            "{text}"
        );
    }
}

#[test]
fn metrics_that_count_under_one_name_do_not_go_together() {
    let settings = |names: &[&str]| -> Vec<Setting> {
        let parsed = names.iter().map(|name| Setting::parse(name).unwrap());
        parsed.collect()
    };
    assert_eq!(check(&settings(&["http", "dns", "drop"])), Ok(()));
    assert_eq!(
        check(&settings(&["http", "dns", "httpV2"])),
        Err(SettingError::BothHttp)
    );
    assert_eq!(
        check(&settings(&["flow", "drop:sourceContext=ip", "drop"])),
        Err(SettingError::Twice(Kind::Drop))
    );
}
