//! Requests for flows of any bytes: filters and the field mask.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use sextant_fuzz::check_filters;
use sextant_proto::observer::GetFlowsRequest;
use sextantd::service::mask::Mask;

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = GetFlowsRequest::decode(bytes) else {
        return;
    };
    check_filters(&request.whitelist, &request.blacklist);
    let paths = request.field_mask.map(|mask| mask.paths);
    if let Ok(Some(mask)) = Mask::compile(&paths.unwrap_or_default()) {
        // Whatever is masked, what comes out is protobuf.
        let mut out = Vec::new();
        mask.apply(bytes, &mut out);
        mask.apply(&[], &mut out);
    }
});
