//! Flows of any bytes: through the compact type, the encoder and masks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use sextant_fuzz::bounded;
use sextant_proto::flow as pb;
use sextantd::{
    flow::{
        Interners,
        proto::{from_proto, to_proto},
        wire,
    },
    mask::Mask,
};

const PATHS: [&[&str]; 4] = [
    &["time", "verdict", "l4.TCP.source_port"],
    &["l7.http.headers", "l7.dns", "policy_log", "extensions"],
    &["source.labels", "source.workloads", "IP", "node_labels"],
    &["l7", "l7.kafka.topic", "interface.name", "tunnel.IP.source"],
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = pb::Flow::decode(bytes) else {
        return;
    };
    let flow = bounded("converting", || {
        from_proto(message.clone(), &mut Interners::default())
    });
    let sent = to_proto(&flow);
    // Those of a type that clients do not know become a `Struct`, and stay it.
    assert_eq!(sent.extensions.is_some(), message.extensions.is_some());
    let expected = pb::Flow {
        extensions: sent.extensions.clone(),
        ..message
    };
    assert_eq!(sent, expected);
    let again = from_proto(sent.clone(), &mut Interners::default());
    assert_eq!(to_proto(&again), sent, "once more");
    let mut encoded = Vec::new();
    wire::encode(&flow, &mut encoded);
    assert_eq!(encoded, sent.encode_to_vec());
    for paths in PATHS {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let Ok(Some(mask)) = Mask::compile(&paths) else {
            panic!("{paths:?} are fields of a flow");
        };
        // From what the encoder writes, and from whatever there is.
        let mut masked = Vec::new();
        bounded("masking", || mask.apply(&encoded, &mut masked));
        assert!(pb::Flow::decode(masked.as_slice()).is_ok());
        bounded("masking", || mask.apply(bytes, &mut masked));
    }
});
