//! A record as it is given, and the entry that the log makes of it.

use tonic::Code;

use super::MAX_TEXT;
use crate::flow::Time;

/// Behind an address of this host in `Record::from`: whose socket it is. It proves
/// nothing, so that user is not `who`.
pub const OF_USER: &str = " of uid:";

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it ended.
    pub time: Time,
    /// Who called: `uid:0`, `spiffe://domain/path`, `cn:relay`, `token:ci`, `anonymous`.
    pub who: String,
    /// From where: an address with its port, `127.0.0.1:40312 of uid:1000`, or
    /// `unix, pid 12`.
    pub from: String,
    /// Full name of the method, `package.Service/Method`.
    pub method: String,
    /// What was asked for, in few words; may be empty.
    pub what: String,
    /// What came of it.
    pub code: Code,
    /// The message of the status; empty when it went well.
    pub message: String,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Rises by one from entry to entry, from a start of the daemon on.
    pub sequence: u64,
    /// The call; of several, the last one. `*` is several names.
    pub record: Record,
    /// How many calls these were.
    pub count: u64,
    /// Time of the first of several.
    pub since: Option<Time>,
}

impl Record {
    /// The same with texts of bounded size.
    pub(super) fn shortened(self) -> Self {
        Self {
            time: self.time,
            who: shortened(self.who),
            from: shortened(self.from),
            method: shortened(self.method),
            what: shortened(self.what),
            code: self.code,
            message: shortened(self.message),
        }
    }

    /// What the log tells of itself.
    pub(super) fn own(message: String) -> Self {
        Self {
            time: Time::now(),
            who: "sextantd".into(),
            from: String::new(),
            method: String::new(),
            what: String::new(),
            code: Code::DataLoss,
            message,
        }
    }
}

fn shortened(mut text: String) -> String {
    const MARK: char = '…';
    if text.len() > MAX_TEXT {
        let ends = 0..=MAX_TEXT - MARK.len_utf8();
        let end = ends.rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push(MARK);
    }
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(shortened("a".repeat(MAX_TEXT)).len(), MAX_TEXT);
        for odd in ["ä", "€", "😀"] {
            let cut = shortened(format!("x{}", odd.repeat(MAX_TEXT)));
            assert!(cut.len() <= MAX_TEXT && cut.len() > MAX_TEXT - 8, "{odd}");
            assert!(cut.ends_with('…'));
        }
    }
}
