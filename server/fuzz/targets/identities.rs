//! The file of identities, of any bytes: refused, or kept as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::bounded;
use sextantd::identity::Numbers;

fuzz_target!(|bytes: &[u8]| {
    bounded("reading", || {
        if let Ok(numbers) = Numbers::parse(bytes) {
            let written = numbers.to_bytes();
            let again = Numbers::parse(&written).expect("what was written can be read");
            assert_eq!(again.to_bytes(), written);
        }
    });
});
