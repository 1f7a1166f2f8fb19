use super::*;

const SECOND: u64 = 1_000_000_000;
const SETTINGS: Settings = Settings {
    capacity: 64,
    shortest_ns: 10 * SECOND,
};

fn client(last: u8) -> Client {
    Client::Other(0, IpAddr::from([10, 0, 0, last]))
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

struct Tried {
    names: Names,
    interner: Interner<NameList>,
}

impl Tried {
    fn new() -> Self {
        Self {
            names: Names::new(SETTINGS),
            interner: Interner::default(),
        }
    }

    fn of(&mut self, client: Client, last: u8, began_ns: u64) -> Vec<String> {
        let names = self
            .names
            .of(client, 0, address(last), began_ns, &mut self.interner);
        names.map_or_else(Vec::new, |names| names.to_vec())
    }
}

#[test]
fn each_client_has_the_names_that_it_asked_for() {
    let mut it = Tried::new();
    it.names.learn(client(1), 0, "a.test.", (address(9), 60), 0);
    it.names.learn(client(2), 0, "b.test.", (address(9), 60), 0);
    assert_eq!(it.of(client(1), 9, 5), ["a.test"]);
    assert_eq!(it.of(client(2), 9, 5), ["b.test"]);
    assert!(
        it.of(client(3), 9, 5).is_empty(),
        "who asked for nothing has none"
    );
    assert!(it.of(Client::Host, 9, 5).is_empty());
}

#[test]
fn who_asked_for_nothing_has_the_names_of_the_host() {
    let mut it = Tried::new();
    it.names
        .learn(Client::Host, 0, "a.test", (address(9), 60), 0);
    it.names.learn(client(2), 0, "b.test", (address(9), 60), 0);
    assert_eq!(it.of(client(1), 9, 5), ["a.test"]);
    let mut none_but = |client| {
        let (names, interner) = (&mut it.names, &mut it.interner);
        let found = names.of_none_but(client, 0, address(9), 5, interner);
        found.map(|names| names.to_vec())
    };
    assert_eq!(none_but(client(1)), None, "nobody else's");
    assert_eq!(none_but(client(2)), Some(vec!["b.test".to_owned()]));
    assert_eq!(it.of(client(2), 9, 5), ["b.test"], "its own come first");
    let other = it
        .names
        .of(Client::Host, 7, address(9), 5, &mut it.interner);
    assert_eq!(other, None, "another address space is another address");
}

#[test]
fn a_name_counts_for_its_ttl_and_not_less_than_the_floor() {
    let mut it = Tried::new();
    it.names
        .learn(client(1), 0, "short.test", (address(1), 1), 0);
    it.names
        .learn(client(1), 0, "long.test", (address(2), 60), 0);
    assert_eq!(it.of(client(1), 1, 9 * SECOND), ["short.test"]);
    assert!(it.of(client(1), 1, 11 * SECOND).is_empty());
    assert_eq!(it.of(client(1), 2, 59 * SECOND), ["long.test"]);
    assert!(it.of(client(1), 2, 61 * SECOND).is_empty());
    assert_eq!(
        it.of(client(1), 2, 3),
        ["long.test"],
        "what began before keeps it"
    );
}

#[test]
fn of_two_names_the_one_that_is_over_goes() {
    let mut it = Tried::new();
    it.names.learn(client(1), 0, "a.test", (address(1), 20), 0);
    it.names.learn(client(1), 0, "b.test", (address(1), 60), 0);
    assert_eq!(it.of(client(1), 1, 0), ["a.test", "b.test"]);
    assert_eq!(it.of(client(1), 1, 30 * SECOND), ["b.test"]);
    it.names
        .learn(client(1), 0, "a.test", (address(1), 20), 25 * SECOND);
    assert_eq!(it.of(client(1), 1, 30 * SECOND), ["a.test", "b.test"]);
    assert_eq!(it.names.list(50 * SECOND).count(), 1);
}

#[test]
fn a_client_that_asks_for_all_does_not_take_the_room_of_others() {
    let mut it = Tried::new();
    it.names
        .learn(client(1), 0, "mine.test", (address(1), 600), 0);
    for n in 0..10_000_u32 {
        let address = IpAddr::from(n.to_be_bytes().map(|byte| byte | 1));
        it.names
            .learn(client(2), 0, &format!("x{n}.test"), (address, 600), 1);
    }
    assert_eq!(it.of(client(1), 1, 5), ["mine.test"]);
    let counts = it.names.counts();
    assert!(counts.left_out > 1000, "{counts:?}");
    assert!(counts.addresses <= counts.capacity + 1, "{counts:?}");
}

#[test]
fn the_names_of_one_address_are_bounded_and_counted() {
    let mut it = Tried::new();
    for n in 0..100 {
        it.names
            .learn(client(1), 0, &format!("n{n}.test"), (address(1), 60 + n), 0);
    }
    assert_eq!(it.of(client(1), 1, 0).len(), MAX_NAMES);
    assert_eq!(it.names.counts().left_out, 100 - MAX_NAMES as u64);
    assert!(it.of(client(1), 1, 0).contains(&"n99.test".to_owned()));
}

#[test]
fn no_name_and_no_address_are_not_kept() {
    let mut it = Tried::new();
    it.names.learn(client(1), 0, ".", (address(1), 60), 0);
    it.names
        .learn(client(1), 0, "blocked.test", (IpAddr::from([0; 4]), 60), 0);
    assert_eq!(it.names.counts().addresses, 0);
}

#[test]
fn names_of_one_address_have_so_many_bytes_and_those_of_an_answer_are_shared() {
    let mut it = Tried::new();
    for n in 0..16_u32 {
        let long = format!("{}{n:02}.test", "x".repeat(240));
        for host in [1, 2] {
            let known = (address(host), 60 + n);
            it.names.learn(client(1), 0, &long, known, 0);
        }
    }
    assert_eq!(it.of(client(1), 1, 0).len(), 4);
    assert_eq!(it.names.counts().left_out, 24);
    let all: Vec<_> = it.names.list(0).collect();
    let is_shared = |one: &Listed| {
        let same = all
            .iter()
            .filter(|other| Arc::ptr_eq(&one.name, &other.name));
        same.count() == 2
    };
    assert!(all.iter().all(is_shared), "{all:?}");
    // No host is called so.
    it.names
        .learn(client(1), 0, "a\\032b.test", (address(3), 60), 0);
    assert!(it.of(client(1), 3, 0).is_empty());
}
