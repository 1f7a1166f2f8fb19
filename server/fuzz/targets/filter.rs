//! Requests for flows of any bytes: filters and the field mask.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::{bounded, check_filters};
use sextant_proto::observer::GetFlowsRequest;
use sextantd::{mask::Mask, service::bounded::decode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = bounded("decoding", || decode::<GetFlowsRequest>(bytes)) else {
        return;
    };
    check_filters(&request.whitelist, &request.blacklist);
    let paths = request.field_mask.map(|mask| mask.paths);
    let paths = paths.unwrap_or_default();
    bounded("masking", || {
        if let Ok(Some(mask)) = Mask::compile(&paths) {
            // Whatever is masked, what comes out is protobuf.
            let mut out = Vec::new();
            mask.apply(bytes, &mut out);
            mask.apply(&[], &mut out);
        }
    });
});
