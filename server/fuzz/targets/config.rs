//! Configuration files of any text: taken or refused, each mistake with a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::bounded;
use sextantd::config::parse;

fuzz_target!(|text: &str| {
    bounded("reading", || {
        if let Err(error) = parse(text) {
            assert!(!error.mistakes.is_empty());
            let lines = text.matches('\n').count() + 1;
            for mistake in &error.mistakes {
                let line = mistake
                    .place
                    .rsplit(':')
                    .next()
                    .and_then(|line| line.parse().ok());
                assert!(
                    line.is_some_and(|line: usize| (1..=lines).contains(&line)),
                    "{mistake}"
                );
            }
            let told = error.to_string();
            assert!(!told.contains(|c: char| c.is_control() && c != '\n'));
        }
    });
});
