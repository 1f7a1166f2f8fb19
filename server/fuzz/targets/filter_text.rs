//! Filters made of any texts: each line is a letter for the field, then a text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::check_filters;
use sextant_proto::flow as pb;

/// Adds a text to the field of its letter.
fn add(letter: char, text: &str, to: &mut pb::FlowFilter) {
    let list = match letter {
        'a' => &mut to.experimental.get_or_insert_default().cel_expression,
        'b' => &mut to.source_label,
        'c' => &mut to.source_ip,
        'd' => &mut to.source_pod,
        'e' => &mut to.source_service,
        'f' => &mut to.source_fqdn,
        'g' => &mut to.dns_query,
        'h' => &mut to.node_name,
        'i' => &mut to.node_labels,
        'j' => &mut to.source_cluster_name,
        'k' => &mut to.source_port,
        'l' => &mut to.protocol,
        'm' => &mut to.http_status_code,
        'n' => &mut to.http_method,
        'o' => &mut to.http_path,
        'p' => &mut to.http_url,
        'q' => &mut to.trace_id,
        'r' => &mut to.uuid,
        _ => return add_pair(letter, text, to),
    };
    list.push(text.into());
}

fn add_pair(letter: char, text: &str, to: &mut pb::FlowFilter) {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, rest) = (name.to_owned(), rest.to_owned());
    match letter {
        's' => to.http_header.push(pb::HttpHeader {
            key: name,
            value: rest,
        }),
        't' => to.source_workload.push(pb::Workload { name, kind: rest }),
        'u' => to.interface.push(pb::NetworkInterface {
            index: rest.len() as u32,
            name,
        }),
        _ => {}
    }
}

fuzz_target!(|text: &str| {
    let mut filter = pb::FlowFilter::default();
    for line in text.lines() {
        let mut chars = line.chars();
        if let Some(letter) = chars.next() {
            add(letter, chars.as_str(), &mut filter);
        }
    }
    check_filters(&[filter], &[]);
});
