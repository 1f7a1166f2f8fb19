//! The configuration as a user meets it: text in, values or mistakes out.

mod custom;
mod endpoints;
mod example;
mod file;
mod grants;
mod listeners;
mod names;
mod odd;
mod outgoing;
mod sources;
mod values;

use std::path::Path;

use super::{Config, ConfigError, Flags, draft::Draft, file as reader, load};

/// No environment.
fn bare(_: &str) -> Option<String> {
    None
}

/// What a file with this text gives, or its mistakes as printed.
fn read(text: &str) -> Result<Config, String> {
    let mut draft = Draft::default();
    let mistakes = reader::read(Path::new("file"), text, &mut draft);
    if mistakes.is_empty() {
        Ok(draft.finish())
    } else {
        Err(ConfigError { mistakes }.to_string())
    }
}

/// The mistakes of a text, line by line.
fn mistakes(text: &str) -> Vec<String> {
    let error = read(text).expect_err(text);
    error.lines().map(str::to_owned).collect()
}

/// Each mistake of the text begins and contains as expected.
fn check(text: &str, expect: &[(&str, &str)]) {
    let is = mistakes(text);
    let wanted: Vec<_> = expect.iter().map(|(place, _)| *place).collect();
    assert_eq!(
        is.len(),
        expect.len(),
        "{text}\ngives\n{}\nnot\n{wanted:?}",
        is.join("\n")
    );
    for (is, (place, part)) in is.iter().zip(expect) {
        assert!(
            is.starts_with(place) && is.contains(part),
            "{is}: not {place} {part}"
        );
    }
}

fn load_file(path: &Path) -> Result<Config, ConfigError> {
    let flags = Flags {
        config: Some(path.into()),
        ..Flags::default()
    };
    load(&flags, bare)
}
