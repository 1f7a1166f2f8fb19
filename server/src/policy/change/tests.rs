use super::*;
use crate::policy::{state::after, testing::written};

fn revision(steps: Vec<Step>) -> Revision {
    Revision {
        number: 1,
        time: Time::default(),
        who: String::new(),
        kind: ChangeKind::Apply,
        steps,
        confirm_by: None,
    }
}

/// The set after what `plan` does, and what it did.
fn planned(
    entries: &Entries,
    plan: impl FnOnce(&mut Plan<'_>),
) -> (Entries, Vec<(String, Action)>) {
    let mut made = Plan::new(entries, 7, Time::from_nanos(7));
    plan(&mut made);
    let revision = revision(made.steps());
    let steps = revision.steps.iter();
    let told = steps.map(|step| (step.id.name.clone(), step.action));
    (after(entries, &revision), told.collect())
}

fn name(name: &str) -> Reference {
    Reference {
        kind: None,
        namespace: "shop".into(),
        name: name.into(),
    }
}

#[test]
fn apply_creates_updates_and_leaves_alone_what_is_the_same() {
    let given = [written("a", 1), written("b", 2)];
    let (set, _) = planned(&Entries::new(), |plan| plan.apply(&given, None, false));
    let given = [written("a", 1), written("b", 3), written("c", 4)];
    let (set, told) = planned(&set, |plan| plan.apply(&given, None, false));
    let expect = [("b", Action::Updated), ("c", Action::Created)];
    assert_eq!(told, expect.map(|(name, action)| (name.to_owned(), action)));
    let (set, told) = planned(&set, |plan| plan.apply(&given[..1], None, true));
    let expect = [("b", Action::Deleted), ("c", Action::Deleted)];
    assert_eq!(told, expect.map(|(name, action)| (name.to_owned(), action)));
    assert_eq!(set.len(), 1);
}

#[test]
fn a_mode_stays_unless_it_is_said() {
    let given = [written("a", 1)];
    let mode = |set: &Entries| set.values().next().unwrap().mode;
    let audit = Some(Mode::Audit);
    let (set, _) = planned(&Entries::new(), |plan| plan.apply(&given, audit, false));
    let given = [written("a", 2)];
    let (set, _) = planned(&set, |plan| plan.apply(&given, None, false));
    assert_eq!(mode(&set), Mode::Audit);
    let (set, told) = planned(&set, |plan| {
        plan.set_mode(&[name("a")], Mode::Enforce).unwrap();
    });
    assert_eq!(mode(&set), Mode::Enforce);
    assert_eq!(told, [("a".to_owned(), Action::Updated)]);
    let (_, told) = planned(&set, |plan| {
        plan.set_mode(&[name("a")], Mode::Enforce).unwrap();
    });
    assert_eq!(told, []);
}

#[test]
fn a_policy_is_found_by_its_name_if_one_kind_alone_has_it() {
    let mut twin = written("a", 1);
    twin.policy.id.kind = Kind::Kubernetes;
    let mut wide = written("wide", 1);
    wide.policy.id.kind = Kind::CiliumClusterwide;
    wide.policy.id.namespace.clear();
    let given = [written("a", 1), twin, written("b", 1), wide];
    let (set, _) = planned(&Entries::new(), |plan| plan.apply(&given, None, false));
    assert!(matches!(
        name("a").find(&set),
        Err(ChangeError::Ambiguous(..))
    ));
    assert!(matches!(
        name("c").find(&set),
        Err(ChangeError::NotFound(_))
    ));
    assert!(name("b").find(&set).is_ok());
    let elsewhere = Reference {
        namespace: String::new(),
        ..name("b")
    };
    let told = elsewhere.find(&set).unwrap_err().to_string();
    assert!(told.starts_with("there is no policy default/b;"), "{told}");
    for (namespace, is_found) in [("", true), ("shop", false)] {
        let wide = Reference {
            kind: None,
            namespace: namespace.into(),
            name: "wide".into(),
        };
        assert_eq!(wide.find(&set).is_ok(), is_found, "{namespace}");
    }
}

#[test]
fn what_later_changes_did_is_taken_back() {
    let (one, _) = planned(&Entries::new(), |plan| {
        plan.apply(&[written("a", 1), written("b", 1)], None, false);
    });
    let mut later = Vec::new();
    let mut set = one.clone();
    for (given, prune) in [
        (written("b", 2), true),
        (written("c", 1), false),
        (written("a", 9), true),
    ] {
        let mut plan = Plan::new(&set, 8, Time::from_nanos(8));
        plan.apply(&[given], None, prune);
        let revision = revision(plan.steps());
        set = after(&set, &revision);
        later.insert(0, revision);
    }
    let (back, _) = planned(&set, |plan| plan.take_back(&later));
    let documents =
        |set: &Entries| -> Vec<_> { set.values().map(|entry| entry.document.clone()).collect() };
    assert_eq!(documents(&back), documents(&one));
}

#[test]
fn a_set_has_a_bound() {
    let given: Vec<_> = (0..=MAX_POLICIES)
        .map(|number| written(&format!("p{number}"), 1))
        .collect();
    let (set, _) = planned(&Entries::new(), |plan| plan.apply(&given[1..], None, false));
    check_size(&set).unwrap();
    let (set, _) = planned(&set, |plan| plan.apply(&given[..1], None, false));
    let told = check_size(&set).unwrap_err().to_string();
    assert!(told.contains("10001 policies"), "{told}");
}
