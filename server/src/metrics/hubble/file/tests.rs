use super::*;
use crate::reloaded::Reloaded;

fn make(text: &str) -> Result<Vec<Setting>, String> {
    let file = MetricsFile::new("m.yaml".into());
    let made = file.make(&text.as_bytes().to_vec());
    made.map_err(|error| error.to_string())
}

#[test]
fn hubbles_own_example_is_read() {
    let settings = make(
        r#"
metrics:
- name: dns
- contextOptions:
  - name: sourceContext
    values:
    - namespace
    - ip
  - name: labelsContext
    values: [source_pod, traffic_direction]
  name: flow
  includeFilters:
  - source_pod: ["shop/"]
    verdict: [DROPPED, 1]
  - destinationPort: ["53"]
  excludeFilters: []
"#,
    )
    .unwrap();
    let mut flow = Setting::parse(
        "flow:sourceContext=namespace|ip;labelsContext=source_pod,traffic_direction",
    )
    .unwrap();
    flow.include = vec![
        FlowFilter {
            source_pod: vec!["shop/".into()],
            verdict: vec![2, 1],
            ..FlowFilter::default()
        },
        FlowFilter {
            destination_port: vec!["53".into()],
            ..FlowFilter::default()
        },
    ];
    assert_eq!(settings, [Setting::parse("dns").unwrap(), flow]);
    assert_eq!(make("metrics:\n").unwrap(), []);
    assert_eq!(make("metrics: []").unwrap(), []);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, says) in [
        ("metrics: 5", "m.yaml: "),
        ("metrics: [", "m.yaml: "),
        ("metricz: []", "metricz"),
        ("metrics: [{name: flow, filters: []}]", "filters"),
        ("metrics: [{contextOptions: []}]", "name"),
        (
            "metrics: [{name: dns}, {name: dorp}]",
            "metrics[1]: `dorp` is no metric",
        ),
        (
            "metrics: [{name: flow, contextOptions: [{name: sourceContext, values: [podd]}]}]",
            "metrics[0]: flow: sourceContext: `podd`",
        ),
        ("metrics: [{name: dns}, {name: dns}]", "dns is given twice"),
        ("metrics: [{name: http}, {name: httpV2}]", "http and httpV2"),
        (
            "metrics: [{name: dns, includeFilters: [{}, {no_field: 1}]}]",
            "metrics[0]: includeFilters[1]: ",
        ),
        (
            "metrics: [{name: dns, excludeFilters: [{source_ip: [x]}]}]",
            "metrics[0]: ",
        ),
    ] {
        let error = make(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn many_aliases_are_no_burden() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (one, next) in ('a'..='y').zip('b'..='z') {
        text += &format!(
            "{next}: &{next} [{}]\n",
            vec![format!("*{one}"); 9].join(", ")
        );
    }
    text += "metrics: *z\n";
    assert!(make(&text).is_err());
}

#[test]
fn options_of_a_metric_that_was_on_may_not_change_but_filters_may() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.yaml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("metrics: [{name: drop}]");
    let file = Reloaded::load(MetricsFile::new(path.clone())).unwrap();
    write("metrics: [{name: drop, excludeFilters: [{verdict: [DROPPED]}]}]");
    assert!(file.reload().unwrap());
    let now = file.current();
    assert_eq!(now[0].exclude.len(), 1);
    for changed in [
        "metrics: [{name: tcp}, {name: drop, contextOptions: [{name: sourceContext, values: [ip]}]}]",
        "metrics: [{name: x}]",
        "",
        "-",
    ] {
        write(changed);
        assert!(file.reload().is_err(), "{changed}");
        assert_eq!(*file.current(), *now);
    }
    // Gone for a while, and back.
    write("metrics: [{name: tcp}]");
    assert!(file.reload().unwrap());
    write("metrics: [{name: drop, contextOptions: [{name: sourceContext, values: [ip]}]}]");
    let error = file.reload().unwrap_err().to_string();
    assert!(
        error.contains("metrics[0]: drop has other contextOptions"),
        "{error}"
    );
}
