//! What each part of a flow, and each other event, holds.

use prost::Message;
use prost_types::Any;
use sextant_proto::flow::{self as pb, layer7::Record};

use super::{Heap, allocated};
use crate::{
    event::{Event, Stamped},
    flow::{
        Address, Cold, Counters, Endpoint, Ethernet, Flow, Interface, L4, Nat, Origin, Points,
        TcpQuality, Uuid, Workload,
    },
};

impl Heap for Endpoint {
    fn heap_bytes(&self) -> usize {
        self.cluster_name.heap_bytes()
            + self.namespace.heap_bytes()
            + self.labels.heap_bytes()
            + self.pod_name.heap_bytes()
            + self.workloads.heap_bytes()
    }
}

impl Heap for Workload {
    fn heap_bytes(&self) -> usize {
        self.name.heap_bytes() + self.kind.heap_bytes()
    }
}

impl Heap for Interface {
    fn heap_bytes(&self) -> usize {
        self.name.heap_bytes() + self.namespace.heap_bytes()
    }
}

impl Heap for Origin {
    fn heap_bytes(&self) -> usize {
        self.node_name.heap_bytes() + self.node_labels.heap_bytes() + self.emitter.heap_bytes()
    }
}

/// The interfaces are counted by their own interner.
impl Heap for Points {
    fn heap_bytes(&self) -> usize {
        allocated(size_of_val(self.0.as_slice()))
    }
}

impl Heap for Address {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.heap_bytes(),
            Self::None | Self::V4(_) | Self::V6(_) => 0,
        }
    }
}

impl Heap for Uuid {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.heap_bytes(),
            Self::None | Self::Binary(_) => 0,
        }
    }
}

impl Heap for Ethernet {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(both) => both.heap_bytes(),
            Self::Mac { .. } => 0,
        }
    }
}

impl Heap for Counters {
    fn heap_bytes(&self) -> usize {
        self.tcp.heap_bytes() + self.nat.heap_bytes()
    }
}

impl Heap for Nat {
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Heap for TcpQuality {
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Heap for Flow {
    fn heap_bytes(&self) -> usize {
        let l4 = match &self.l4 {
            Some(L4::Igmp { group_address, .. }) => group_address.heap_bytes(),
            _ => 0,
        };
        let addresses = self
            .ip
            .as_ref()
            .map_or(0, |ip| ip.source.heap_bytes() + ip.destination.heap_bytes());
        l4 + addresses
            + self.cold.heap_bytes()
            + self.counters.heap_bytes()
            + self.uuid.heap_bytes()
            + self.ethernet.heap_bytes()
    }
}

impl Heap for Cold {
    fn heap_bytes(&self) -> usize {
        let policies = [
            &self.egress_allowed_by,
            &self.ingress_allowed_by,
            &self.egress_denied_by,
            &self.ingress_denied_by,
        ];
        self.source_xlated.heap_bytes()
            + self.l7.heap_bytes()
            + message(self.tunnel.as_deref())
            + message(self.source_service.as_deref())
            + message(self.destination_service.as_deref())
            + message(self.file.as_deref())
            + message(self.trace_context.as_ref())
            + self.extensions.heap_bytes()
            + policies.into_iter().map(Heap::heap_bytes).sum::<usize>()
            + self.policy_log.heap_bytes()
    }
}

/// Of a message without lists: its texts have about the bytes of its encoding.
fn message<M: Message>(message: Option<&M>) -> usize {
    message.map_or(0, |message| {
        allocated(size_of::<M>()) + allocated(message.encoded_len())
    })
}

impl Heap for Any {
    fn heap_bytes(&self) -> usize {
        self.type_url.heap_bytes() + allocated(self.value.capacity())
    }
}

impl Heap for pb::Policy {
    fn heap_bytes(&self) -> usize {
        self.name.heap_bytes()
            + self.namespace.heap_bytes()
            + self.labels.heap_bytes()
            + self.kind.heap_bytes()
    }
}

impl Heap for pb::Layer7 {
    fn heap_bytes(&self) -> usize {
        match &self.record {
            Some(Record::Http(http)) => {
                http.method.heap_bytes()
                    + http.url.heap_bytes()
                    + http.protocol.heap_bytes()
                    + http.headers.heap_bytes()
            }
            Some(Record::Dns(dns)) => {
                let lists = [&dns.ips, &dns.cnames, &dns.qtypes, &dns.rrtypes];
                dns.query.heap_bytes()
                    + dns.observation_source.heap_bytes()
                    + lists.into_iter().map(Heap::heap_bytes).sum::<usize>()
            }
            other => other.as_ref().map_or(0, |record| record.encoded_len()),
        }
    }
}

impl Heap for pb::HttpHeader {
    fn heap_bytes(&self) -> usize {
        self.key.heap_bytes() + self.value.heap_bytes()
    }
}

impl<M: Message> Heap for Stamped<M> {
    fn heap_bytes(&self) -> usize {
        self.node_name.heap_bytes() + allocated(2 * self.event.encoded_len())
    }
}

impl Heap for Event {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Flow(flow) => flow.heap_bytes(),
            Self::Lost(lost) => lost.heap_bytes(),
            Self::Agent(agent) => agent.heap_bytes(),
            Self::Debug(debug) => debug.heap_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Interners, proto::from_proto};

    fn heap_of(flow: pb::Flow) -> usize {
        from_proto(flow, &mut Interners::default()).heap_bytes()
    }

    #[test]
    fn texts_lists_and_boxes_count_with_what_is_behind_them() {
        let header = pb::HttpHeader {
            key: "k".repeat(100),
            value: "v".repeat(900),
        };
        let http = |count| {
            let headers = vec![header.clone(); count];
            let record = Record::Http(pb::Http {
                headers,
                ..pb::Http::default()
            });
            pb::Flow {
                l7: Some(pb::Layer7 {
                    record: Some(record),
                    ..pb::Layer7::default()
                }),
                ..pb::Flow::default()
            }
        };
        let (one, many) = (heap_of(http(1)), heap_of(http(61)));
        assert!((1000..2000).contains(&one), "{one}");
        assert!((60_000..70_000).contains(&(many - one)), "{many}");
    }

    #[test]
    fn empty_values_of_a_list_are_not_free() {
        // Two bytes each on the wire.
        let policy = pb::Policy {
            labels: vec![String::new(); 250],
            ..pb::Policy::default()
        };
        let flow = pb::Flow {
            egress_denied_by: vec![policy; 100],
            ..pb::Flow::default()
        };
        assert!(heap_of(flow) > 100 * 250 * size_of::<String>());
    }

    #[test]
    fn what_is_interned_is_not_the_flows() {
        let flow = pb::Flow {
            source_names: vec!["n".repeat(1000)],
            node_name: "m".repeat(1000),
            ..pb::Flow::default()
        };
        assert_eq!(heap_of(flow), 0);
    }
}
