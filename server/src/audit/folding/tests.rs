//! Floods: few entries, every record counted.

use super::*;

const METHOD: &str = "sextant.flow.v1.FlowService/RecordFlows";

fn record(who: &str, from: &str, method: &str, code: Code) -> Record {
    Record {
        time: Time::now(),
        who: who.into(),
        from: from.into(),
        method: method.into(),
        what: String::new(),
        code,
        message: "no".into(),
    }
}

fn refusal(from: &str, method: &str) -> Record {
    record("anonymous", from, method, Code::PermissionDenied)
}

/// Sends records at one time; how many were let through.
fn admitted(
    folding: &mut Folding,
    now: Instant,
    records: impl IntoIterator<Item = Record>,
) -> usize {
    let records = records.into_iter();
    records
        .filter_map(|record| folding.admit(record, now))
        .count()
}

#[test]
fn a_flood_of_one_refusal_is_one_entry_and_a_count() {
    let start = Instant::now();
    let mut folding = Folding::new(start);
    // Another port each time, as a client that connects anew has it.
    let flood = (0..10_000).map(|port| refusal(&format!("10.0.0.1:{port}"), METHOD));
    assert_eq!(admitted(&mut folding, start, flood), 1);
    assert_eq!(folding.ended(start + REFUSALS_WINDOW / 2), []);
    let ended = folding.ended(start + REFUSALS_WINDOW);
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].count, &*ended[0].record.from),
        (9999, "10.0.0.1:9999")
    );
    assert!(ended[0].since <= ended[0].record.time);
}

#[test]
fn a_flood_that_goes_on_is_told_ever_more_rarely_and_all_of_it_is_counted() {
    let start = Instant::now();
    let mut folding = Folding::new(start);
    let (mut entries, mut counted, mut sent) = (0, 0, 0);
    for second in 0..3600 {
        let now = start + Duration::from_secs(second);
        entries += admitted(&mut folding, now, (0..50).map(|_| refusal("::1", METHOD)));
        sent += 50;
        for folded in folding.ended(now) {
            entries += 1;
            counted += folded.count;
        }
    }
    counted += folding
        .finish()
        .iter()
        .map(|folded| folded.count)
        .sum::<u64>();
    assert_eq!(counted + 1, sent);
    assert!(entries < 25, "{entries} in an hour");
    // Quiet for a window: the next one is told at once.
    let later = start + Duration::from_secs(7200);
    assert_eq!(folding.ended(later), []);
    assert_eq!(folding.len(), 0);
    assert!(folding.admit(refusal("::1", METHOD), later).is_some());
}

#[test]
fn a_user_of_this_host_is_one_from_whatever_address_and_others_are_told() {
    let now = Instant::now();
    let mut folding = Folding::new(now);
    let from = |uid, last| format!("127.0.0.{last}:9 of uid:{uid}");
    let flood = (1..250).map(|last| refusal(&from(1000, last), METHOD));
    assert_eq!(admitted(&mut folding, now, flood), 1);
    let others = [from(1001, 2), "127.0.0.2:9".into(), "10.0.0.2:9".into()];
    let others = others.iter().map(|from| refusal(from, METHOD));
    assert_eq!(admitted(&mut folding, now, others), 3);
    let untold = (1..250).map(|last| refusal(&format!("127.0.0.{last}:9"), METHOD));
    assert_eq!(admitted(&mut folding, now, untold), 0);
}

#[test]
fn callers_methods_and_outcomes_are_told_apart() {
    let now = Instant::now();
    let mut folding = Folding::new(now);
    let records = [
        refusal("10.0.0.1:1", METHOD),
        refusal("10.0.0.2:1", METHOD),
        refusal("10.0.0.1:1", "other/Method"),
        record("cn:relay", "10.0.0.1:1", METHOD, Code::PermissionDenied),
        record("anonymous", "10.0.0.1:1", METHOD, Code::Unauthenticated),
        record("uid:1000", "unix, pid 1", METHOD, Code::PermissionDenied),
        record("uid:1001", "unix, pid 2", METHOD, Code::PermissionDenied),
    ];
    assert_eq!(admitted(&mut folding, now, records), 7);
    // Another process of a user, another address of a host's network.
    let same = record("uid:1000", "unix, pid 3", METHOD, Code::PermissionDenied);
    assert_eq!(admitted(&mut folding, now, [same]), 0);
    let six = |last| refusal(&format!("[2001:db8::{last:x}]:1"), METHOD);
    assert_eq!(admitted(&mut folding, now, (1..100).map(six)), 1);
}

#[test]
fn one_host_cannot_add_entries_without_end_by_refusals_that_differ() {
    let start = Instant::now();
    let mut folding = Folding::new(start);
    let (mut entries, mut counted, mut sent) = (0, 0, 0);
    for second in 0..3600 {
        let now = start + Duration::from_secs(second);
        let flood = (0..20).map(|n| refusal("10.0.0.1:1", &format!("a/{second}/{n}")));
        entries += admitted(&mut folding, now, flood);
        sent += 20;
        for folded in folding.ended(now) {
            assert_eq!(folded.record.method, SEVERAL);
            assert_eq!(folded.record.from, "10.0.0.1");
            counted += folded.count;
        }
        // Another host is heard all the same.
        if second % 600 == 0 {
            let other = refusal("10.0.0.2:1", &format!("b/{second}"));
            assert_eq!(admitted(&mut folding, now, [other]), 1, "{second}");
        }
    }
    counted += folding
        .finish()
        .iter()
        .map(|folded| folded.count)
        .sum::<u64>();
    assert_eq!(counted + entries as u64, sent);
    assert!(entries <= 20 + 360, "{entries} in an hour");
}

#[test]
fn many_hosts_cannot_add_entries_or_take_memory_without_end() {
    let start = Instant::now();
    let mut folding = Folding::new(start);
    let (mut entries, mut counted) = (0, 0);
    for second in 0..100_u32 {
        let now = start + Duration::from_secs(second.into());
        let host = |n: u32| std::net::Ipv4Addr::from_bits(second * 1000 + n);
        let flood = (0..1000).map(|n| refusal(&format!("{}:1", host(n)), METHOD));
        entries += admitted(&mut folding, now, flood);
        counted += folding.ended(now).iter().map(|f| f.count).sum::<u64>();
        assert!(folding.len() <= MAX_FOLDS + 17 && folding.hosts.len() <= MAX_HOSTS);
    }
    counted += folding
        .finish()
        .iter()
        .map(|folded| folded.count)
        .sum::<u64>();
    assert_eq!(counted + entries as u64, 100_000);
    assert!(entries <= 200 + 100, "{entries} in 100 s");
}

#[test]
fn calls_that_went_well_have_entries_of_their_own_until_there_are_very_many() {
    let start = Instant::now();
    let mut folding = Folding::new(start);
    let calls = || (0..10_000).map(|_| record("uid:0", "unix, pid 1", METHOD, Code::Ok));
    assert_eq!(admitted(&mut folding, start, calls()), CALLS as usize);
    let ended = folding.ended(start + CALLS_WINDOW);
    assert_eq!(
        (ended.len(), ended[0].count),
        (1, 10_000 - u64::from(CALLS))
    );
}
