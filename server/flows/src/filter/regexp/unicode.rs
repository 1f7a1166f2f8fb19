//! Names of Unicode classes that Go knows.

/// General categories by their short names.
const CATEGORIES: &str = "C Cc Cf Cn Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf \
    Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs";

/// Long names of categories, without underscores.
const ALIASES: &[(&str, &str)] = &[
    ("Casedletter", "LC"),
    ("Closepunctuation", "Pe"),
    ("Combiningmark", "M"),
    ("Connectorpunctuation", "Pc"),
    ("Control", "Cc"),
    ("Currencysymbol", "Sc"),
    ("Dashpunctuation", "Pd"),
    ("Decimalnumber", "Nd"),
    ("Enclosingmark", "Me"),
    ("Finalpunctuation", "Pf"),
    ("Format", "Cf"),
    ("Initialpunctuation", "Pi"),
    ("Letter", "L"),
    ("Letternumber", "Nl"),
    ("Lineseparator", "Zl"),
    ("Lowercaseletter", "Ll"),
    ("Mark", "M"),
    ("Mathsymbol", "Sm"),
    ("Modifierletter", "Lm"),
    ("Modifiersymbol", "Sk"),
    ("Nonspacingmark", "Mn"),
    ("Number", "N"),
    ("Openpunctuation", "Ps"),
    ("Other", "C"),
    ("Otherletter", "Lo"),
    ("Othernumber", "No"),
    ("Otherpunctuation", "Po"),
    ("Othersymbol", "So"),
    ("Paragraphseparator", "Zp"),
    ("Privateuse", "Co"),
    ("Punctuation", "P"),
    ("Separator", "Z"),
    ("Spaceseparator", "Zs"),
    ("Spacingmark", "Mc"),
    ("Surrogate", "Cs"),
    ("Symbol", "S"),
    ("Titlecaseletter", "Lt"),
    ("Unassigned", "Cn"),
    ("Uppercaseletter", "Lu"),
    ("Cntrl", "Cc"),
    ("Digit", "Nd"),
    ("Punct", "P"),
];

/// Scripts of one word. Go 1.26 finds no others, since it looks names up
/// without underscores in a table that has them.
const SCRIPTS: &str = "Adlam Ahom Arabic Armenian Avestan Balinese Bamum Batak Bengali Bhaiksuki \
    Bopomofo Brahmi Braille Buginese Buhid Carian Chakma Cham Cherokee Chorasmian Common Coptic \
    Cuneiform Cypriot Cyrillic Deseret Devanagari Dogra Duployan Elbasan Elymaic Ethiopic Georgian \
    Glagolitic Gothic Grantha Greek Gujarati Gurmukhi Han Hangul Hanunoo Hatran Hebrew Hiragana \
    Inherited Javanese Kaithi Kannada Katakana Kawi Kharoshthi Khmer Khojki Khudawadi Lao Latin \
    Lepcha Limbu Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen \
    Medefaidrin Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari Newa Nko Nushu Ogham \
    Oriya Osage Osmanya Palmyrene Phoenician Rejang Runic Samaritan Saurashtra Sharada Shavian \
    Siddham Sinhala Sogdian Soyombo Sundanese Syriac Tagalog Tagbanwa Takri Tamil Tangsa Tangut \
    Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Yezidi Yi";

/// The class of a name in the crate's syntax, inside or outside brackets.
/// Spaces, dashes, underscores and case of the name are ignored.
pub(super) fn class(name: &str) -> Option<String> {
    let name = canonical(name);
    match name.as_str() {
        "Any" => return Some(r"[\x{0}-\x{10FFFF}]".into()),
        "Assigned" => return Some(r"\P{gc=Cn}".into()),
        "Ascii" => return Some(r"[\x{0}-\x{7F}]".into()),
        "Lc" => return Some(r"\p{gc=LC}".into()),
        _ => {}
    }
    let alias = ALIASES.iter().find(|(long, _)| *long == name);
    let short = alias.map_or(name.as_str(), |(_, short)| short);
    if short == "Cs" {
        // Surrogates do not occur in texts.
        return Some(super::node::NOTHING.into());
    }
    if short == "LC" || CATEGORIES.split(' ').any(|category| category == short) {
        return Some(format!(r"\p{{gc={short}}}"));
    }
    let script = SCRIPTS.split(' ').find(|script| *script == name);
    script.map(|script| format!(r"\p{{sc={script}}}"))
}

/// First letter upper case, others lower, without spaces, dashes, underscores.
fn canonical(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')) {
        out.push(if out.is_empty() {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use regex_automata::meta::Regex;

    #[test]
    fn the_crate_knows_every_name() {
        let categories = super::CATEGORIES
            .split(' ')
            .chain(super::SCRIPTS.split(' '));
        let aliases = super::ALIASES.iter().map(|(long, _)| *long);
        for name in categories
            .chain(aliases)
            .chain(["LC", "any", "ASCII", "assigned"])
        {
            let class = super::class(name).expect(name);
            assert!(Regex::new(&class).is_ok(), "{class}");
            assert!(Regex::new(&format!("[a{class}]")).is_ok(), "{class}");
        }
        assert_eq!(super::class("Old_Italic"), None);
    }
}
