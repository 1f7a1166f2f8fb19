//! Names of the host's users, by `/etc/passwd` (passwd(5)). Users of a directory
//! service have none here: to ask it could take long. Bound: a mebibyte of it.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    time::SystemTime,
};

const FILE: &str = "/etc/passwd";
/// More than that is not read.
const MOST: u64 = 1 << 20;

/// The names, as the file has them.
#[derive(Debug, Default)]
pub(super) struct Users {
    names: HashMap<u32, String>,
    changed: Option<SystemTime>,
}

impl Users {
    /// Reads the file again if it was changed.
    pub(super) fn follow(&mut self) {
        let changed = fs::metadata(FILE).and_then(|file| file.modified()).ok();
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        let mut text = String::new();
        let file = File::open(FILE);
        // What cannot be read has no names; numbers say as much.
        let _ = file.and_then(|file| file.take(MOST).read_to_string(&mut text));
        self.names = parse(&text);
    }

    /// The name of a user; empty for none.
    pub(super) fn name(&self, uid: u32) -> &str {
        self.names.get(&uid).map_or("", |name| name)
    }
}

/// The first name of each number.
fn parse(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(Ok(uid))) = (name, uid.map(str::parse)) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts_and_bad_lines_do_not() {
        let names = parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\nbad\nweb:x:33:33\nx:y:z\n");
        assert_eq!(names.len(), 2);
        assert_eq!((names[&0].as_str(), names[&33].as_str()), ("root", "web"));
    }
}
