//! `[metrics]`: Hubble's metrics, in Hubble's words.

use super::{
    draft::set,
    limits,
    section::Section,
    values::{Parsed, optional_path},
};
use crate::metrics::hubble::{Hubble, Setting, check};

/// Reads what is on.
pub(super) fn metrics(section: &mut Section<'_>, hubble: &mut Hubble) {
    let item = section.item("hubble");
    // Hubble has them in one text, with white space between.
    let lists = item.texts(settings);
    let settings = lists.map(|lists| lists.into_iter().flatten().collect::<Vec<_>>());
    if let (Some(settings), Some(offset)) = (&settings, item.offset()) {
        let together = check(settings).map_err(|error| error.to_string());
        let path = section.path("hubble");
        section.report().keep(offset, &path, together);
    }
    set(&mut hubble.metrics, settings);
    let file = section.item("hubble_file");
    set(&mut hubble.file, file.text(optional_path));
    if let (Some(_), false, Some(offset)) = (&hubble.file, hubble.metrics.is_empty(), file.offset())
    {
        let both = "is given beside `hubble`; leave one of them";
        section
            .report()
            .add(offset, format!("{}: {both}", section.path("hubble_file")));
    }
    let series = section.item("hubble_series").number(limits::SERIES);
    set(&mut hubble.series, series);
}

fn settings(text: &str) -> Parsed<Vec<Setting>> {
    let words = text.split_whitespace();
    let settings = words.map(|word| Setting::parse(word).map_err(|error| error.to_string()));
    settings.collect()
}
