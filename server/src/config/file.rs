//! The file: TOML whose sections mirror `Config`.
//!
//! Everything that is in the file is read, whatever else is wrong in it; only
//! after a syntax error the rest is left, since its meaning is unknown.

use std::{ops::RangeInclusive, path::Path};

use toml::de::DeTable;

use super::{
    Audit, AuditTo, Config, Datapath, Mistake, Server, containers, custom,
    draft::{Draft, set},
    export, grants, hubble, inventory, kubernetes, limits, listeners, names, outgoing, policy,
    report::{Once, Report},
    section::Section,
    socket, values,
};

/// Puts what the file says into the draft.
pub(super) fn read(file: &Path, text: &str, draft: &mut Draft) -> Vec<Mistake> {
    let report = Report::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        document(Section::top(&report, &table), draft);
    } else {
        syntax(&report, text, &errors);
    }
    report.finish()
}

/// Reports the first error of each line; others in it follow from that.
fn syntax(report: &Report<'_>, text: &str, errors: &[toml::de::Error]) {
    let mut last = 0;
    for error in errors {
        let offset = error.span().map_or(text.len(), |span| span.start);
        let line = report.line(offset);
        if line != last {
            let column = report.column(offset);
            report.add(offset, format!("column {column}: {}", error.message()));
        }
        last = line;
    }
}

fn document(mut top: Section<'_>, draft: &mut Draft) {
    general(&mut top, &mut draft.config);
    draft.config.server.listeners = listeners::listeners(&mut top);
    if let Some(section) = top.section("server") {
        server(section, &mut draft.config.server);
    }
    if let Some(section) = top.section("audit") {
        audit(section, &mut draft.config.audit);
    }
    if let Some(mut metrics) = top.section("metrics") {
        let listen = metrics.item("listen").text(socket::metrics_listen);
        set(&mut draft.config.metrics_listen, listen);
        draft.config.metrics_tls = listeners::tls(&mut metrics);
        hubble::metrics(&mut metrics, &mut draft.config.hubble);
        draft.config.custom = custom::custom(&mut metrics);
        metrics.finish();
    }
    if let Some(mut section) = top.section("datapath") {
        set(&mut draft.enabled, section.item("enabled").switch());
        datapath(section, &mut draft.datapath);
    }
    if let Some(mut overhead) = top.section("overhead") {
        let percent = overhead.item("cpu_percent").number(limits::CPU_PERCENT);
        set(&mut draft.config.cpu_budget_percent, percent);
        overhead.finish();
    }
    if let Some(mut names) = top.section("names") {
        let capacity = names.item("capacity").number(limits::NAMES);
        set(&mut draft.config.names.capacity, capacity);
        let floor = names.item("ttl_floor").duration(limits::TTL_FLOOR);
        set(&mut draft.config.names.ttl_floor, floor);
        let hosts = names.item("hosts_file").text(values::hosts_file);
        set(&mut draft.config.names.hosts_file, hosts);
        names.finish();
    }
    if let Some(mut section) = top.section("containers") {
        let sockets = section.item("sockets").texts(containers::socket);
        set(&mut draft.config.containers, sockets);
        section.finish();
    }
    if let Some(section) = top.section("kubernetes") {
        kubernetes::kubernetes(section, &mut draft.config.kubernetes);
    }
    if let Some(mut section) = top.section("command_lines") {
        let lines = &mut draft.config.command_lines;
        set(&mut lines.enabled, section.item("enabled").switch());
        set(
            &mut lines.redact,
            section.item("redact").texts(values::regex),
        );
        section.finish();
    }
    if let Some(section) = top.section("policy") {
        policy::policy(section, &mut draft.config.policy);
    }
    if let Some(mut identity) = top.section("identity") {
        let world = identity.item("world").text(world_by_family);
        set(&mut draft.config.identity.world_by_family, world);
        identity.finish();
    }
    draft.config.access.tokens = grants::tokens(&mut top);
    draft.config.access.grants = grants::grants(&mut top, &draft.config.access.tokens);
    draft.config.identity.endpoints = inventory::endpoints(&mut top);
    let outgoing = outgoing::outgoing(&mut top);
    draft.config.peers = outgoing::peers(&mut top, &outgoing);
    draft.config.exports = export::export(&mut top, &outgoing);
    top.finish();
}

fn general(top: &mut Section<'_>, config: &mut Config) {
    set(
        &mut config.node_name,
        top.item("node_name").text(names::node),
    );
    let cluster_name = top.item("cluster_name").text(names::group);
    set(&mut config.cluster_name, cluster_name);
    if let Some(mut labels) = top.item("node_labels").labels(names::node_label) {
        labels.sort_unstable();
        config.node_labels = labels;
    }
    set(
        &mut config.state_dir,
        top.item("state_dir").text(values::path),
    );
    let flow_capacity = top.item("flow_capacity").number(limits::FLOW_CAPACITY);
    set(&mut config.flow_capacity, flow_capacity);
    let flow_bytes = top.item("flow_bytes").number(limits::FLOW_BYTES);
    config.flow_bytes = flow_bytes.or(config.flow_bytes);
    set(&mut config.replay, top.item("replay").texts(values::path));
}

fn server(mut section: Section<'_>, server: &mut Server) {
    let listen = section.item("listen");
    if listen.offset().is_some() && listen.is_empty() && server.listeners.is_empty() {
        section.wrong(
            "has no listener; name one in `listen`, leave it out, or have a [[listener]]".into(),
        );
    }
    set(&mut server.listen, listen.texts(socket::listen));
    set(&mut server.plaintext, section.item("plaintext").switch());
    let group = section.item("write_group").text(names::system_group);
    set(&mut server.write_group, group);
    let streams = section.item("max_streams").number(limits::MAX_STREAMS);
    set(&mut server.max_streams, streams);
    let calls = section.item("max_calls").number(limits::MAX_STREAMS);
    set(&mut server.max_calls, calls);
    let share = section.item("peer_share").number(limits::PEER_SHARE);
    set(&mut server.peer_share, share);
    let bytes = section
        .item("max_pending_bytes")
        .number(limits::MAX_PENDING_BYTES);
    set(&mut server.max_pending_bytes, bytes);
    let timeout = section
        .item("message_timeout")
        .duration(limits::MESSAGE_TIMEOUT);
    set(&mut server.message_timeout, timeout);
    let streams = section
        .item("max_streams_per_connection")
        .number(limits::MAX_STREAMS_PER_CONNECTION);
    set(&mut server.max_streams_per_connection, streams);
    let connections = section
        .item("max_connections")
        .number(limits::MAX_CONNECTIONS);
    set(&mut server.max_connections, connections);
    let connections = section
        .item("max_connections_per_peer")
        .number(limits::MAX_CONNECTIONS);
    set(&mut server.max_connections_per_peer, connections);
    let bytes = section
        .item("max_request_bytes")
        .number(limits::MAX_REQUEST_BYTES);
    set(&mut server.max_request_bytes, bytes);
    let interval = section
        .item("lost_event_interval")
        .duration(limits::LOST_EVENT_INTERVAL);
    set(&mut server.lost_event_interval, interval);
    let timeout = section
        .item("drain_timeout")
        .duration(limits::DRAIN_TIMEOUT);
    set(&mut server.drain_timeout, timeout);
    set(&mut server.hosts, section.item("hosts").texts(names::host));
    let header = section.item("version_header").switch();
    set(&mut server.version_header, header);
    section.finish();
}

fn datapath(mut section: Section<'_>, to: &mut Datapath) {
    let s = &mut section;
    set(&mut to.interfaces, s.item("interfaces").texts(values::glob));
    set(&mut to.exclude, s.item("exclude").texts(values::glob));
    set(&mut to.aggregation, s.item("aggregation").switch());
    let interval = s.item("active_interval").duration(limits::ACTIVE_INTERVAL);
    set(&mut to.active_interval, interval);
    set(
        &mut to.flows_ipv4,
        s.item("flows_ipv4").number(limits::TABLE_FLOWS),
    );
    set(
        &mut to.flows_ipv6,
        s.item("flows_ipv6").number(limits::TABLE_FLOWS),
    );
    set(
        &mut to.flows_dropped,
        s.item("flows_dropped").number(limits::TABLE_FLOWS),
    );
    set(
        &mut to.observed_ring_bytes,
        ring_bytes(s, "observed_ring_bytes"),
    );
    set(
        &mut to.denied_ring_bytes,
        ring_bytes(s, "denied_ring_bytes"),
    );
    set(
        &mut to.payload_ring_bytes,
        ring_bytes(s, "payload_ring_bytes"),
    );
    let rate = s
        .item("payload_bytes_per_second")
        .number(limits::PAYLOAD_RATE);
    set(&mut to.payload_bytes_per_second, rate);
    set(&mut to.tcp_idle, s.item("tcp_idle").duration(limits::IDLE));
    set(
        &mut to.tcp_opening,
        s.item("tcp_opening").duration(limits::IDLE),
    );
    set(
        &mut to.tcp_closed,
        s.item("tcp_closed").duration(limits::IDLE),
    );
    set(
        &mut to.other_idle,
        s.item("other_idle").duration(limits::IDLE),
    );
    set(&mut to.force_clsact, s.item("force_clsact").switch());
    set(&mut to.drops, s.item("drops").switch());
    set(&mut to.processes, s.item("processes").switch());
    set(&mut to.vlan_in_key, s.item("vlan_in_key").switch());
    let most = limits::zone(to.vlan_in_key);
    to.zones = zones(s, &most);
    to.namespaces = namespaces(s, &most);
    section.finish();
}

fn audit(mut section: Section<'_>, audit: &mut Audit) {
    set(&mut audit.to, section.item("file").text(audit_to));
    let max_bytes = section.item("max_bytes").number(limits::AUDIT_BYTES);
    set(&mut audit.max_bytes, max_bytes);
    let keep = section.item("keep").number(limits::AUDIT_KEEP);
    set(&mut audit.keep, keep);
    section.finish();
}

fn audit_to(text: &str) -> values::Parsed<AuditTo> {
    match text {
        "off" => Ok(AuditTo::Off),
        "journal" => Ok(AuditTo::Journal),
        _ => values::audit_file(text).map(AuditTo::File),
    }
}

fn ring_bytes(section: &mut Section<'_>, key: &'static str) -> Option<u32> {
    let item = section.item(key);
    let bytes = item.number(limits::RING_BYTES)?;
    if bytes.is_power_of_two() {
        return Some(bytes);
    }
    let (below, above) = (1 << bytes.ilog2(), bytes.next_power_of_two());
    let message = format!("{bytes} is no power of two; give {below} or {above}");
    section
        .report()
        .keep(item.offset()?, &section.path(key), Err(message))
}

fn zones(datapath: &mut Section<'_>, bounds: &RangeInclusive<u16>) -> Vec<(String, u16)> {
    let mut once = Once::new(datapath.report());
    let mut zones = Vec::new();
    for mut section in datapath.sections("zone") {
        let interface = section.required("interface");
        let glob = interface.text(values::glob);
        let zone = section.required("zone").number(bounds.clone());
        if let (Some(glob), Some(offset)) = (&glob, interface.offset()) {
            once.see(format!("zone of `{glob}`"), offset);
        }
        zones.extend(glob.zip(zone));
        section.finish();
    }
    zones
}

fn namespaces(datapath: &mut Section<'_>, bounds: &RangeInclusive<u16>) -> Vec<(String, u16)> {
    let mut once = Once::new(datapath.report());
    let mut namespaces = Vec::new();
    for mut section in datapath.sections("namespace") {
        let item = section.required("path");
        let path = item.text(values::namespace_path);
        let zone = section.item("zone").number(bounds.clone()).unwrap_or(0);
        if let (Some(path), Some(offset)) = (path, item.offset()) {
            once.see(format!("network namespace `{path}`"), offset);
            namespaces.push((path, zone));
        }
        section.finish();
    }
    namespaces
}

fn world_by_family(text: &str) -> values::Parsed<bool> {
    values::choice(text, &[("single", false), ("by-family", true)])
}
