//! Objects of one kind, as they were last told.
//!
//! A list that begins again is gathered apart, and takes the place of what is known
//! once it is complete. Bound: `MOST` objects and `ROOM` bytes, twice while a list is
//! gathered; those beyond are counted.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Objects of a kind.
pub(super) const MOST: usize = 65_536;
/// Bytes of what is kept of them.
pub(super) const ROOM: usize = 64 << 20;

/// Namespace, empty where there is none, and name.
pub(super) type Key = (String, String);

/// What is kept of an object.
pub(super) trait Record: PartialEq {
    /// Bytes that it takes.
    fn bytes(&self) -> usize;
}

/// Objects by their names.
#[derive(Debug)]
pub(super) struct Table<T> {
    known: Kept<T>,
    /// Of a list that is not complete yet.
    coming: Option<Kept<T>>,
    left_out: u64,
}

#[derive(Debug)]
struct Kept<T> {
    by_name: FxHashMap<Key, Arc<T>>,
    bytes: usize,
    left_out: u64,
}

/// What became of objects.
#[derive(Debug)]
pub(super) struct Change<T> {
    /// Those that are new, or otherwise than before.
    pub(super) new: Vec<(Key, Arc<T>)>,
    /// Those that were known and are not any more, or are otherwise.
    pub(super) old: Vec<(Key, Arc<T>)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            known: Kept::default(),
            coming: None,
            left_out: 0,
        }
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            by_name: FxHashMap::default(),
            bytes: 0,
            left_out: 0,
        }
    }
}

impl<T> Default for Change<T> {
    fn default() -> Self {
        Self {
            new: Vec::new(),
            old: Vec::new(),
        }
    }
}

impl<T> Change<T> {
    /// Whether nothing did.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.old.is_empty()
    }
}

impl<T: Record> Table<T> {
    /// All that are known.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<T>)> {
        self.known.by_name.iter()
    }

    /// The one of this name.
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<T>> {
        self.known.by_name.get(key)
    }

    /// How many are known.
    pub(super) fn len(&self) -> u64 {
        self.known.by_name.len() as u64
    }

    /// How many found no room since the last list.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.coming = Some(Kept::default());
    }

    /// The list has this object too.
    pub(super) fn gather(&mut self, key: Key, object: T) {
        let coming = self.coming.get_or_insert_default();
        // What stays as it was is shared.
        let known = self.known.by_name.get(&key);
        let object = match known.filter(|known| ***known == object) {
            Some(known) => Arc::clone(known),
            None => Arc::new(object),
        };
        coming.put(key, object);
    }

    /// The list is complete.
    pub(super) fn complete(&mut self) -> Change<T> {
        let Some(coming) = self.coming.take() else {
            return Change::default();
        };
        self.left_out = coming.left_out;
        let mut before = std::mem::replace(&mut self.known, coming).by_name;
        let mut change = Change::default();
        for (key, object) in &self.known.by_name {
            match before.remove(key) {
                Some(known) if Arc::ptr_eq(&known, object) => continue,
                Some(known) => change.old.push((key.clone(), known)),
                None => {}
            }
            change.new.push((key.clone(), Arc::clone(object)));
        }
        change.old.extend(before);
        change
    }

    /// An object that is new or changed.
    pub(super) fn put(&mut self, key: Key, object: T) -> Change<T> {
        let mut change = Change::default();
        let before = self.known.by_name.get(&key);
        if before.is_some_and(|before| **before == object) {
            return change;
        }
        let object = Arc::new(object);
        let before = self.known.put(key.clone(), Arc::clone(&object));
        self.left_out += std::mem::take(&mut self.known.left_out);
        change
            .old
            .extend(before.map(|before| (key.clone(), before)));
        if self.known.by_name.contains_key(&key) {
            change.new.push((key, object));
        }
        change
    }

    /// An object that is gone.
    pub(super) fn remove(&mut self, key: &Key) -> Change<T> {
        let mut change = Change::default();
        let known = self.known.remove(key);
        change.old.extend(known.map(|known| (key.clone(), known)));
        change
    }
}

impl<T: Record> Kept<T> {
    /// Takes it if there is room, and gives back who was there.
    fn put(&mut self, key: Key, object: Arc<T>) -> Option<Arc<T>> {
        let before = self.remove(&key);
        let bytes = size(&key, &*object);
        if self.by_name.len() >= MOST || self.bytes + bytes > ROOM {
            self.left_out += 1;
            return before;
        }
        self.bytes += bytes;
        self.by_name.insert(key, object);
        before
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let (key, known) = self.by_name.remove_entry(key)?;
        self.bytes -= size(&key, &*known);
        Some(known)
    }
}

fn size<T: Record>(key: &Key, object: &T) -> usize {
    key.0.len() + key.1.len() + object.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Sized(usize);

    impl Record for Sized {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn key(name: &str) -> Key {
        ("shop".into(), name.into())
    }

    fn names(objects: &[(Key, Arc<Sized>)]) -> Vec<&str> {
        let mut names: Vec<_> = objects.iter().map(|((_, name), _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_known_once_it_is_complete() {
        let mut table = Table::default();
        table.begin();
        for (name, size) in [("a", 1), ("b", 1), ("c", 1)] {
            table.gather(key(name), Sized(size));
        }
        assert_eq!(table.len(), 0);
        assert_eq!(names(&table.complete().new), ["a", "b", "c"]);
        table.begin();
        table.gather(key("a"), Sized(1));
        table.gather(key("b"), Sized(2));
        assert_eq!(table.len(), 3, "names stay meanwhile");
        let change = table.complete();
        assert_eq!(names(&change.new), ["b"]);
        assert_eq!(names(&change.old), ["b", "c"]);
        assert!(table.complete().is_empty());
    }

    #[test]
    fn what_is_told_again_changes_nothing() {
        let mut table = Table::default();
        assert_eq!(names(&table.put(key("a"), Sized(1)).new), ["a"]);
        assert!(table.put(key("a"), Sized(1)).is_empty());
        let change = table.put(key("a"), Sized(2));
        assert_eq!(
            (names(&change.old), names(&change.new)),
            (vec!["a"], vec!["a"])
        );
        assert_eq!(names(&table.remove(&key("a")).old), ["a"]);
        assert!(table.remove(&key("a")).is_empty());
        assert_eq!(table.known.bytes, 0);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut table = Table::default();
        table.put(key("a"), Sized(ROOM / 2));
        let change = table.put(key("b"), Sized(ROOM / 2));
        assert!(change.is_empty());
        assert_eq!((table.len(), table.left_out()), (1, 1));
        table.begin();
        for number in 0..=MOST {
            table.gather(key(&number.to_string()), Sized(1));
        }
        table.complete();
        assert_eq!((table.len(), table.left_out()), (MOST as u64, 1));
    }
}
