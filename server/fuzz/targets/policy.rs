//! Documents of policies of any text: taken or refused, each mistake with a remedy;
//! what is taken judges.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::bounded;
use sextant_policy::{
    document::parse,
    endpoint::Endpoint,
    policy::Direction,
    set::{Connection, Enforcement, PolicySet},
};

fuzz_target!(|text: &str| {
    bounded("reading", || match parse(text) {
        Err(problems) => {
            assert!(!problems.0.is_empty());
            assert!(problems.0.iter().all(|problem| !problem.remedy.is_empty()));
        }
        Ok(policies) => judge(PolicySet::new(policies, Enforcement::Default)),
    });
});

/// Both directions, of an endpoint, the host and somebody outside.
fn judge(set: PolicySet) {
    let labels = |texts: &[&str]| Endpoint::new(texts.iter().copied().collect());
    let ends = [
        labels(&["k8s:app=web", "k8s:io.kubernetes.pod.namespace=default"]),
        labels(&["reserved:host"]),
        Endpoint::outside([10, 1, 2, 3].into()),
    ];
    for subject in &ends {
        for peer in &ends {
            for direction in [Direction::Ingress, Direction::Egress] {
                for (protocol, port) in [(6, 80), (17, 53), (1, 8), (47, 0)] {
                    let connection = Connection {
                        subject,
                        peer,
                        direction,
                        protocol,
                        port,
                    };
                    let _ = set.judge(&connection);
                }
            }
        }
    }
}
