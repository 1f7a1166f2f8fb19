use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::policy::{
    enforce::{Mode, Nowhere},
    entry::ChangeKind,
    testing::{Kept, written},
};

fn apply(names: &[(&str, u16)], prune: bool) -> Ask {
    let given = names.iter().map(|(name, port)| written(name, *port));
    Ask::Apply {
        given: given.collect(),
        mode: None,
        prune,
    }
}

async fn done(policies: &Policies, ask: Ask) -> Done {
    policies.change(ask, Options::default()).await.unwrap()
}

async fn refused(policies: &Policies, ask: Ask, options: Options) -> ChangeError {
    policies.change(ask, options).await.unwrap_err()
}

fn names(policies: &Policies) -> Vec<String> {
    let state = policies.state();
    state.entries.keys().map(|id| id.name.clone()).collect()
}

fn within(seconds: u64) -> Options {
    Options {
        confirm_within: Some(Duration::from_secs(seconds)),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_change_is_in_force_when_it_is_answered() {
    let enforce = Arc::new(Kept::default());
    let policies = Policies::in_memory(enforce.clone()).unwrap();
    let first = done(&policies, apply(&[("a", 1), ("b", 2)], false)).await;
    assert_eq!((first.revision.number, first.state.revision), (1, 1));
    done(&policies, apply(&[("c", 3)], true)).await;
    assert_eq!(names(&policies), ["c"]);
    done(&policies, Ask::Rollback(None)).await;
    assert_eq!(names(&policies), ["a", "b"]);
    done(&policies, Ask::Rollback(Some(0))).await;
    assert_eq!(names(&policies), [""; 0]);
    assert_eq!(enforce.seen(), [(1, 2), (2, 1), (3, 2), (4, 0)]);
    // Nothing to do is no change.
    let same = done(&policies, Ask::Rollback(Some(4))).await;
    assert_eq!((same.revision.steps.len(), same.state.revision), (0, 4));
    let error = refused(&policies, Ask::Rollback(Some(9)), Options::default()).await;
    assert!(matches!(error, ChangeError::NotKept { asked: 9, .. }));
}

#[tokio::test]
async fn what_cannot_be_put_in_force_is_not_kept() {
    let enforce = Arc::new(Kept::default());
    let policies = Policies::in_memory(enforce.clone()).unwrap();
    done(&policies, apply(&[("a", 1)], false)).await;
    let before = policies.0.database().unwrap().load().unwrap();
    for fault in [&enforce.fails, &enforce.refuses] {
        fault.store(true, Relaxed);
        let error = refused(&policies, apply(&[("b", 2)], true), Options::default()).await;
        assert!(matches!(error, ChangeError::Enforce(_)));
        fault.store(false, Relaxed);
        assert_eq!(names(&policies), ["a"]);
        assert_eq!(policies.0.database().unwrap().load().unwrap(), before);
    }
    assert_eq!(
        done(&policies, apply(&[("b", 2)], true))
            .await
            .state
            .revision,
        2
    );
}

#[tokio::test]
async fn nothing_is_taken_that_would_do_nothing() {
    let why = "no eBPF".to_owned();
    let policies = Policies::in_memory(Arc::new(Nowhere { why })).unwrap();
    let error = refused(&policies, apply(&[("a", 1)], false), Options::default()).await;
    assert!(error.to_string().contains("no eBPF"), "{error}");
    let options = Options {
        validate_only: true,
        ..Options::default()
    };
    let would = policies.change(apply(&[("a", 1)], false), options);
    assert_eq!(would.await.unwrap().revision.steps.len(), 1);
    assert_eq!(policies.state().revision, 0);
    let Ask::Apply { given, .. } = apply(&[("a", 1)], false) else {
        unreachable!()
    };
    let (mode, prune) = (Some(Mode::Disabled), false);
    done(&policies, Ask::Apply { given, mode, prune }).await;
    assert_eq!(names(&policies), ["a"]);
}

#[tokio::test]
async fn a_change_by_who_saw_another_set_is_refused() {
    let policies = Policies::in_memory(Arc::new(Kept::default())).unwrap();
    done(&policies, apply(&[("a", 1)], false)).await;
    let options = Options {
        expected: Some(0),
        ..Options::default()
    };
    let error = refused(&policies, apply(&[("a", 2)], false), options).await;
    assert!(matches!(
        error,
        ChangeError::Conflict { is: 1, expected: 0 }
    ));
    assert_eq!(policies.state().revision, 1);
}

#[tokio::test]
async fn what_is_not_confirmed_is_undone() {
    let enforce = Arc::new(Kept::default());
    let policies = Policies::in_memory(enforce.clone()).unwrap();
    let task = tokio::spawn(policies.clone().watch());
    done(&policies, apply(&[("a", 1)], false)).await;
    let change = |ask, options| policies.change(ask, options);
    change(apply(&[("b", 1)], true), within(60)).await.unwrap();
    assert_eq!(enforce.behind(), Some(1));
    let error = refused(&policies, apply(&[("c", 1)], true), Options::default()).await;
    assert!(matches!(error, ChangeError::Pending(2)));
    assert!(policies.confirm(Some(1)).await.is_err());
    policies.confirm(Some(2)).await.unwrap();
    assert_eq!(enforce.behind(), None);
    assert!(policies.confirm(None).await.is_err());
    change(apply(&[("c", 1)], true), within(1)).await.unwrap();
    let mut news = policies.news();
    while names(&policies) == ["c"] {
        news.changed().await.unwrap();
    }
    assert_eq!(names(&policies), ["b"]);
    assert_eq!(policies.state().pending, None);
    let (kept, _) = policies.revisions(u64::MAX, 1).await.unwrap();
    assert_eq!(kept[0].who, "sextantd");
    assert_eq!(kept[0].kind, ChangeKind::NotConfirmed { change: 3 });
    assert_eq!(enforce.seen().last(), Some(&(4, 1)));
    assert_eq!(enforce.behind(), None);
    task.abort();
}

#[tokio::test]
async fn what_programs_took_back_is_undone_whatever_the_clock_says() {
    let enforce = Arc::new(Kept::default());
    let policies = Policies::in_memory(enforce.clone()).unwrap();
    let change = policies.change(apply(&[("a", 1)], false), within(60));
    change.await.unwrap();
    enforce.is_back.store(true, Relaxed);
    let error = policies.confirm(Some(1)).await.unwrap_err();
    assert!(error.to_string().contains("not confirmed in time"));
    let mut news = policies.news();
    let task = tokio::spawn(policies.clone().watch());
    news.changed().await.unwrap();
    assert_eq!((names(&policies), policies.state().pending), (vec![], None));
    task.abort();
}

#[tokio::test]
async fn what_was_never_confirmed_is_not_what_comes_back() {
    let policies = Policies::in_memory(Arc::new(Kept::default())).unwrap();
    done(&policies, apply(&[("a", 1)], false)).await;
    let change = policies.change(apply(&[("b", 1)], true), within(60));
    change.await.unwrap();
    let error = refused(&policies, Ask::Rollback(None), within(60)).await;
    assert!(matches!(error, ChangeError::Pending(2)));
    assert_eq!(policies.state().pending.map(|p| p.revision), Some(2));
    done(&policies, Ask::Rollback(None)).await;
    assert_eq!(names(&policies), ["a"]);
}

#[tokio::test]
async fn a_rollback_ends_the_wait() {
    let policies = Policies::in_memory(Arc::new(Kept::default())).unwrap();
    let change = policies.change(apply(&[("a", 1)], false), within(60));
    change.await.unwrap();
    done(&policies, Ask::Rollback(None)).await;
    assert_eq!((names(&policies), policies.state().pending), (vec![], None));
}

#[tokio::test]
async fn a_restart_has_the_same_set_and_undoes_what_is_overdue() {
    let folder = tempfile::tempdir().unwrap();
    let open = |enforce: &Arc<Kept>| Policies::open(folder.path(), Parts::of(enforce.clone()));
    let enforce = Arc::new(Kept::default());
    let policies = open(&enforce);
    done(&policies, apply(&[("a", 1)], false)).await;
    let change = policies.change(apply(&[("b", 1)], true), within(1));
    change.await.unwrap();
    drop(policies);
    let again = Arc::new(Kept::default());
    let policies = open(&again);
    assert_eq!(
        (names(&policies), again.seen()),
        (vec!["b".into()], vec![(2, 1)])
    );
    assert_eq!(again.behind(), Some(1), "programs learn it anew");
    let deadline = policies.state().pending.unwrap().deadline;
    drop(policies);
    tokio::time::sleep(until(deadline)).await;
    let again = Arc::new(Kept::default());
    let policies = open(&again);
    assert_eq!(
        (names(&policies), again.seen()),
        (vec!["a".into()], vec![(3, 1)])
    );
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_put_in_force_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let enforce = Arc::new(Kept::default());
    let policies = Policies::open(folder.path(), Parts::of(enforce.clone()));
    done(&policies, apply(&[("a", 1)], false)).await;
    drop(policies);
    enforce.fails.store(true, Relaxed);
    let policies = Policies::open(folder.path(), Parts::of(enforce.clone()));
    let state = policies.state();
    assert_eq!((state.entries.len(), state.active()), (1, 0));
    assert!(matches!(&state.standing, Standing::Failed(why) if why.contains("no room")));
    enforce.fails.store(false, Relaxed);
    policies.0.activate_again();
    assert_eq!(policies.state().active(), 1);
}
