//! From flags to filters. "Either side" is two filters, one for each side, of which
//! one must match; a flag about one side, or about none, goes into both.

use sextant_proto::flow::{FlowFilter, NetworkInterface, flow_filter::Experimental};

use super::{
    FilterError, Filters,
    conflict::{self, Namespaces},
    process::{self, Terms},
    value,
};
use crate::json;

/// The lists that the flags make.
pub(super) fn filters(given: &[(&'static str, String)]) -> Result<Filters, FilterError> {
    let mut lists = [Tracker::default(), Tracker::default()];
    let mut raw = [Vec::new(), Vec::new()];
    let mut negated = false;
    for (flag, value) in given {
        match *flag {
            "not" if negated => return Err(FilterError::NotTwice),
            "not" => negated = true,
            "print-raw-filters" => {}
            "allowlist" => raw[0].extend(parse_raw(flag, value)?),
            "denylist" => raw[1].extend(parse_raw(flag, value)?),
            _ => lists[usize::from(std::mem::take(&mut negated))].set(flag, value)?,
        }
    }
    if negated {
        return Err(FilterError::NotLast);
    }
    let [white, black] = lists;
    let [allow, deny] = raw;
    Ok(Filters {
        whitelist: white.finish().into_iter().chain(allow).collect(),
        blacklist: black.finish().into_iter().chain(deny).collect(),
    })
}

fn parse_raw(flag: &'static str, value: &str) -> Result<Vec<FlowFilter>, FilterError> {
    json::parse_strict(value, "flow.FlowFilter").map_err(|cause| FilterError::Raw {
        flag,
        value: value.into(),
        cause,
    })
}

/// One of the two lists while it grows.
#[derive(Debug, Default)]
struct Tracker {
    given: Vec<&'static str>,
    /// What the sender is asked for if either side will do.
    left: FlowFilter,
    /// What the receiver is asked for if either side will do.
    right: FlowFilter,
    namespaces: Namespaces,
    /// What the processes of sender and receiver are asked for; in the two filters, as
    /// above.
    left_terms: Terms,
    right_terms: Terms,
}

/// A field of a filter.
type Field<T> = fn(&mut FlowFilter) -> &mut Vec<T>;

/// Which side a flag is about.
#[derive(Clone, Copy)]
enum Side {
    Either,
    Source,
    Destination,
}

impl Side {
    fn of(flag: &str) -> (Self, &str) {
        if let Some(rest) = flag.strip_prefix("from-") {
            (Self::Source, rest)
        } else if let Some(rest) = flag.strip_prefix("to-") {
            (Self::Destination, rest)
        } else {
            (Self::Either, flag)
        }
    }
}

impl Tracker {
    fn set(&mut self, flag: &'static str, value: &str) -> Result<(), FilterError> {
        if !self.given.contains(&flag) {
            self.given.push(flag);
        }
        conflict::flags(&self.given)?;
        let (side, rest) = Side::of(flag);
        if !self.set_side(side, rest, flag, value)? {
            self.set_text(flag, value);
            self.set_value(flag, value)?;
        }
        conflict::names(&self.namespaces, &self.left)?;
        conflict::names(&self.namespaces, &self.right)
    }

    /// Flags about the sides; whether it was one.
    fn set_side(
        &mut self,
        side: Side,
        rest: &str,
        flag: &'static str,
        value: &str,
    ) -> Result<bool, FilterError> {
        if let Some(fields) = text_fields(rest) {
            for value in meant(flag, rest, value)? {
                self.push(side, value, fields);
            }
            return Ok(true);
        }
        match rest {
            "workload" => self.push(
                side,
                value::workload(value),
                [|f| &mut f.source_workload, |f| &mut f.destination_workload],
            ),
            "identity" => self.push(
                side,
                value::identity(flag, value)?,
                [|f| &mut f.source_identity, |f| &mut f.destination_identity],
            ),
            "unit" => self.push(
                side,
                process::unit(value),
                [|f| &mut f.source_workload, |f| &mut f.destination_workload],
            ),
            "container" => self.ask(side, Terms::container, value),
            "process" => self.ask(side, Terms::process, value),
            "user" => self.ask(side, Terms::user, value),
            "namespace" => self.add_namespace(side, value),
            "all-namespaces" => self.add_namespace(side, ""),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push<T: Clone>(&mut self, side: Side, value: T, [source, destination]: [Field<T>; 2]) {
        let (left, right) = match side {
            Side::Either => (source, destination),
            Side::Source => (source, source),
            Side::Destination => (destination, destination),
        };
        left(&mut self.left).push(value.clone());
        right(&mut self.right).push(value);
    }

    fn ask(&mut self, side: Side, term: fn(&mut Terms, &str, &str), value: &str) {
        let (left, right) = match side {
            Side::Either => ("source", "destination"),
            Side::Source => ("source", "source"),
            Side::Destination => ("destination", "destination"),
        };
        term(&mut self.left_terms, left, value);
        term(&mut self.right_terms, right, value);
    }

    fn add_namespace(&mut self, side: Side, value: &str) {
        let namespaces = match side {
            Side::Either => &mut self.namespaces.either,
            Side::Source => &mut self.namespaces.source,
            Side::Destination => &mut self.namespaces.destination,
        };
        namespaces.push(value.into());
    }

    fn both<T: Clone>(&mut self, value: T, field: Field<T>) {
        field(&mut self.left).push(value.clone());
        field(&mut self.right).push(value);
    }

    /// Flags whose value is passed on as it is.
    fn set_text(&mut self, flag: &str, value: &str) {
        let field: Field<String> = match flag {
            "uuid" => |f| &mut f.uuid,
            "trace-id" => |f| &mut f.trace_id,
            "http-status" => |f| &mut f.http_status_code,
            "http-method" => |f| &mut f.http_method,
            "http-path" => |f| &mut f.http_path,
            "http-url" => |f| &mut f.http_url,
            "dns-query" => |f| &mut f.dns_query,
            "protocol" => |f| &mut f.protocol,
            "node-name" => |f| &mut f.node_name,
            "node-label" => |f| &mut f.node_labels,
            "cel-expression" => |f| {
                let experimental = f.experimental.get_or_insert_with(Experimental::default);
                &mut experimental.cel_expression
            },
            _ => return,
        };
        self.both(value.into(), field);
    }

    /// Flags whose value is more than text.
    fn set_value(&mut self, flag: &str, value: &str) -> Result<(), FilterError> {
        match flag {
            "snat-ip" => {
                for address in value::addresses(value) {
                    self.both(address, |f| &mut f.source_ip_xlated);
                }
            }
            "ipv4" => self.both(value::ip_version("v4"), |f| &mut f.ip_version),
            "ipv6" => self.both(value::ip_version("v6"), |f| &mut f.ip_version),
            "ip-version" => self.both(value::ip_version(value), |f| &mut f.ip_version),
            "ip-trace-id" => self.both(value::ip_trace_id(value)?, |f| &mut f.ip_trace_id),
            "verdict" => self.both(value::verdict(value)?, |f| &mut f.verdict),
            "drop-reason-desc" => {
                self.both(value::drop_reason(value)?, |f| &mut f.drop_reason_desc)
            }
            "http-header" => self.both(value::header(value)?, |f| &mut f.http_header),
            "type" => self.both(value::event_type(value)?, |f| &mut f.event_type),
            "tcp-flags" => self.both(value::tcp_flags(value)?, |f| &mut f.tcp_flags),
            "traffic-direction" => {
                self.both(value::direction(value)?, |f| &mut f.traffic_direction)
            }
            "interface" => {
                let name = value.into();
                self.both(NetworkInterface { index: 0, name }, |f| &mut f.interface);
            }
            "encrypted" => self.both(true, |f| &mut f.encrypted),
            "unencrypted" => self.both(false, |f| &mut f.encrypted),
            "reply" => self.both(true, |f| &mut f.reply),
            "not-reply" => self.both(false, |f| &mut f.reply),
            _ => {}
        }
        Ok(())
    }

    /// One filter if both sides ask for the same, else two.
    fn finish(mut self) -> Vec<FlowFilter> {
        if self.given.is_empty() {
            return Vec::new();
        }
        let Namespaces {
            either,
            source,
            destination,
        } = &self.namespaces;
        for filter in [&mut self.left, &mut self.right] {
            in_namespaces(
                destination,
                &mut filter.destination_pod,
                &mut filter.destination_service,
            );
            in_namespaces(source, &mut filter.source_pod, &mut filter.source_service);
        }
        in_namespaces(
            either,
            &mut self.left.source_pod,
            &mut self.left.source_service,
        );
        in_namespaces(
            either,
            &mut self.right.destination_pod,
            &mut self.right.destination_service,
        );
        self.left_terms.add_to(&mut self.left);
        self.right_terms.add_to(&mut self.right);
        match self.left == self.right {
            true => vec![self.left],
            false => vec![self.left, self.right],
        }
    }
}

/// What is asked for, where a value stands for others.
fn meant(flag: &'static str, rest: &str, value: &str) -> Result<Vec<String>, FilterError> {
    match rest {
        "ip" => Ok(value::addresses(value)),
        "port" => value::ports(flag, value),
        _ => Ok(vec![value.to_owned()]),
    }
}

/// The fields of sender and receiver that take the value of a flag as it is.
fn text_fields(flag: &str) -> Option<[Field<String>; 2]> {
    let fields: [Field<String>; 2] = match flag {
        "ip" => [|f| &mut f.source_ip, |f| &mut f.destination_ip],
        "pod" => [|f| &mut f.source_pod, |f| &mut f.destination_pod],
        "fqdn" => [|f| &mut f.source_fqdn, |f| &mut f.destination_fqdn],
        "label" => [|f| &mut f.source_label, |f| &mut f.destination_label],
        "service" => [|f| &mut f.source_service, |f| &mut f.destination_service],
        "port" => [|f| &mut f.source_port, |f| &mut f.destination_port],
        "cluster" => [
            |f| &mut f.source_cluster_name,
            |f| &mut f.destination_cluster_name,
        ],
        _ => return None,
    };
    Some(fields)
}

/// Puts the namespaces before names that have none; without names, all of a
/// namespace are meant.
fn in_namespaces(namespaces: &[String], pods: &mut Vec<String>, services: &mut Vec<String>) {
    if namespaces.is_empty() {
        return;
    }
    if pods.is_empty() && services.is_empty() {
        pods.push(String::new());
    }
    for names in [pods, services] {
        *names = std::mem::take(names)
            .into_iter()
            .flat_map(|name| match name.contains('/') {
                true => vec![name],
                false => namespaces
                    .iter()
                    .map(|namespace| format!("{namespace}/{name}"))
                    .collect(),
            })
            .collect();
    }
}
