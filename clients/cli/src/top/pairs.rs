//! Both directions of a connection as one line: a summary knows senders and receivers
//! only, so a reply is a group of its own, with the ports turned round. Bound: the groups
//! of an answer; what is in `others` stays there.

use std::{cmp::Reverse, collections::HashMap};

use sextant_proto::sextant::flow::v1::{FlowSummary, SummaryGroup, SummaryOrder, Traffic};

use super::View;

/// Turns groups of `view.asked()` into those that are shown, the largest first, and leaves
/// `limit` of them.
pub(super) fn joined(
    mut summary: FlowSummary,
    view: View,
    order: SummaryOrder,
    limit: usize,
) -> FlowSummary {
    let Some(ends) = Ends::of(view) else {
        return summary;
    };
    let asked = summary.groups.len() as u64;
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    let mut groups: Vec<SummaryGroup> = Vec::new();
    for group in summary.groups {
        let (values, key) = ends.shown(group.values);
        let traffic = group.traffic.unwrap_or_default();
        let place = *places.entry(key).or_insert(groups.len());
        match groups
            .get_mut(place)
            .and_then(|group| group.traffic.as_mut())
        {
            Some(sum) => add(sum, &traffic),
            None => groups.push(SummaryGroup {
                values,
                traffic: Some(traffic),
                ..SummaryGroup::default()
            }),
        }
    }
    let by = |group: &SummaryGroup| {
        let traffic = group.traffic.unwrap_or_default();
        match order {
            SummaryOrder::Unspecified | SummaryOrder::Bytes => traffic.bytes,
            SummaryOrder::Packets => traffic.packets,
            SummaryOrder::Flows => traffic.flows,
            SummaryOrder::Drops => traffic.drops,
        }
    };
    groups.sort_by_key(|group| Reverse(by(group)));
    let beyond = summary.group_count.saturating_sub(asked);
    summary.group_count = groups.len() as u64 + beyond;
    let mut others = summary.others.unwrap_or_default();
    for group in groups.drain(limit.min(groups.len())..) {
        add(&mut others, &group.traffic.unwrap_or_default());
    }
    summary.others = Some(others);
    summary.groups = groups;
    summary
}

/// Where the two ends are among the values that were asked for.
struct Ends {
    /// Names of sender and receiver, if they are asked for; behind them the ports.
    has_names: bool,
    shows_port: bool,
}

impl Ends {
    fn of(view: View) -> Option<Self> {
        let (has_names, shows_port) = match view {
            View::Flows => (true, true),
            View::Endpoints => (true, false),
            View::Ports => (false, true),
            View::Drops => return None,
        };
        Some(Self {
            has_names,
            shows_port,
        })
    }

    /// The values that are shown, and what is the same in both directions. The side with
    /// the lower port is the server; without a lower one the first to come is the client.
    fn shown(&self, values: Vec<String>) -> (Vec<String>, Vec<String>) {
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        let names = match self.has_names {
            true => [next(), next()],
            false => [String::new(), String::new()],
        };
        let ports = [next(), next()];
        let number = |port: &String| port.parse::<u16>().ok();
        let [source, destination] = [number(&ports[0]), number(&ports[1])];
        let is_reply = source < destination && source.is_some();
        let is_even = source == destination;
        let ([client, server], port) = match (names, ports) {
            ([a, b], [port, _]) if is_reply => ([b, a], port),
            (names, [_, port]) => (names, port),
        };
        let mut ends = [client.clone(), server.clone()];
        if is_even {
            ends.sort_unstable();
        }
        let mut shown = Vec::new();
        let mut key = Vec::from(ends);
        if self.has_names {
            shown.extend([client, server]);
        }
        if self.shows_port {
            key.push(port.clone());
            shown.push(port);
        }
        for rest in values {
            key.push(rest.clone());
            shown.push(rest);
        }
        (shown, key)
    }
}

fn add(sum: &mut Traffic, more: &Traffic) {
    sum.flows += more.flows;
    sum.packets += more.packets;
    sum.bytes += more.bytes;
    sum.drops += more.drops;
    sum.flows_per_second += more.flows_per_second;
    sum.packets_per_second += more.packets_per_second;
    sum.bytes_per_second += more.bytes_per_second;
    sum.drops_per_second += more.drops_per_second;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(groups: &[(&[&str], u64)]) -> FlowSummary {
        let group = |(values, bytes): &(&[&str], u64)| SummaryGroup {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            traffic: Some(Traffic {
                bytes: *bytes,
                flows: 1,
                ..Traffic::default()
            }),
            ..SummaryGroup::default()
        };
        FlowSummary {
            group_count: groups.len() as u64,
            groups: groups.iter().map(group).collect(),
            ..FlowSummary::default()
        }
    }

    fn shown(view: View, given: &[(&[&str], u64)], limit: usize) -> Vec<(String, u64)> {
        let summary = joined(groups(given), view, SummaryOrder::Bytes, limit);
        let line = |group: SummaryGroup| {
            let bytes = group.traffic.unwrap_or_default().bytes;
            (group.values.join(" "), bytes)
        };
        summary.groups.into_iter().map(line).collect()
    }

    #[test]
    fn both_directions_and_all_ports_of_the_client_are_one_line() {
        let given: &[(&[&str], u64)] = &[
            (&["s", "c", "80", "40001"], 500),
            (&["c", "s", "40000", "80"], 70),
            (&["c", "s", "40001", "80"], 30),
            (&["c", "s", "50000", "443"], 1),
        ];
        let flows = [("c s 80".into(), 600), ("c s 443".into(), 1)];
        assert_eq!(shown(View::Flows, given, 9), flows);
        assert_eq!(shown(View::Endpoints, given, 9), [("c s".into(), 601)]);
        assert_eq!(shown(View::Flows, given, 1), [("c s 80".into(), 600)]);
        let summary = joined(groups(given), View::Flows, SummaryOrder::Bytes, 1);
        assert_eq!(summary.group_count, 2);
        assert_eq!(summary.others.unwrap().bytes, 1);
    }

    #[test]
    fn without_a_lower_port_the_first_is_the_client() {
        let given: &[(&[&str], u64)] = &[
            (&["b", "a", "", ""], 5),
            (&["a", "b", "", ""], 4),
            (&["y", "x", "123", "123"], 3),
            (&["x", "y", "123", "123"], 2),
        ];
        let flows = [("b a ".into(), 9), ("y x 123".into(), 5)];
        assert_eq!(shown(View::Flows, given, 9), flows);
    }

    #[test]
    fn ports_are_the_servers_by_protocol() {
        let given: &[(&[&str], u64)] = &[
            (&["53", "40000", "UDP"], 5),
            (&["40000", "53", "UDP"], 4),
            (&["40000", "53", "TCP"], 1),
        ];
        let ports = [("53 UDP".into(), 9), ("53 TCP".into(), 1)];
        assert_eq!(shown(View::Ports, given, 9), ports);
    }

    #[test]
    fn drops_stay_as_they_are() {
        let given: &[(&[&str], u64)] = &[(&["POLICY_DENIED", "b", "a", "80"], 5)];
        assert_eq!(
            shown(View::Drops, given, 9),
            [("POLICY_DENIED b a 80".into(), 5)]
        );
    }
}
