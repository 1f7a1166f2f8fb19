//! The example file, which holds every setting with its default. It is also
//! what help and remedies know about settings.

/// A commented file with every setting, for people to start from.
#[must_use]
pub fn example() -> &'static str {
    include_str!("../../sextant.example.toml")
}

/// The settings of the example, without the comments around them.
pub(super) fn settings() -> impl Iterator<Item = &'static str> {
    example()
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| !line.is_empty() && !line.starts_with([' ', '#']))
}

/// Sections and their settings with defaults, for `--help`. What is above the
/// first section has a flag; what may be there many times has no default.
pub(super) fn defaults_of_sections() -> String {
    let mut lines = String::new();
    let mut shown = false;
    for line in settings() {
        if line.starts_with('[') {
            shown = !line.starts_with("[[");
        }
        if shown {
            let indent = if line.starts_with('[') { "  " } else { "    " };
            lines.extend([indent, line, "\n"]);
        }
    }
    lines
}

/// Where a setting belongs.
pub(super) fn home_of(key: &str) -> Option<String> {
    let mut home = "above the first section".to_owned();
    for line in settings() {
        if line.starts_with('[') {
            home = format!("into {line}");
        } else if line
            .split_once('=')
            .is_some_and(|(name, _)| name.trim() == key)
        {
            return Some(home);
        }
    }
    None
}
