use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use super::*;
use crate::config::{Engine, EngineSocket};

const A: &str = "4f1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";
const B: &str = "aa1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";

fn socket(path: &Path) -> EngineSocket {
    EngineSocket {
        engine: Engine::Docker,
        path: path.into(),
    }
}

fn named(name: &str) -> Named {
    Named {
        engine: "docker",
        pod_name: name.into(),
        container: name.into(),
        ..Named::default()
    }
}

fn name(containers: &Containers, id: &str, user: Option<u32>) -> Option<String> {
    Some(containers.find(id, user)?.pod_name.clone())
}

#[test]
fn an_engine_names_its_own_containers_alone() {
    let containers = Containers::default();
    let of = |path: &str, uid| {
        let part = containers.of(socket(Path::new(path)));
        part.connected(uid);
        part
    };
    let user = of("/run/user/1000/docker.sock", 1000);
    user.replace([(A.into(), named("init.scope")), (B.into(), named("mine"))]);
    // Not in that user's slice: of nobody who may be named from there.
    assert_eq!(name(&containers, A, None), None);
    assert_eq!(name(&containers, A, Some(0)), None);
    assert_eq!(name(&containers, B, Some(1000)).unwrap(), "mine");
    let root = of("/run/docker.sock", 0);
    root.replace([(A.into(), named("api-1"))]);
    assert_eq!(name(&containers, A, None).unwrap(), "api-1");
    // In a user's slice that user calls things as they like.
    assert_eq!(name(&containers, A, Some(1000)).unwrap(), "init.scope");
    // Another user took the path.
    user.connected(1001);
    assert_eq!(name(&containers, B, Some(1000)), None);
}

#[test]
fn a_list_replaces_the_one_before_and_keeps_its_last_containers_for_a_while() {
    let containers = Containers::default();
    let part = containers.of(socket(Path::new("/x")));
    part.replace([(A.into(), named("a"))]);
    assert_eq!(name(&containers, A, None), None, "before it answered");
    part.connected(0);
    part.replace([(A.into(), named("a"))]);
    let before = containers.find(A, None).unwrap();
    let version = containers.version();
    part.replace([(A.into(), named("a"))]);
    assert_eq!(containers.version(), version);
    assert!(std::sync::Arc::ptr_eq(
        &before,
        &containers.find(A, None).unwrap()
    ));
    part.put(A.into(), named("a2"));
    assert_eq!(name(&containers, A, None).unwrap(), "a2");
    assert!(containers.version() > version);
    part.replace([(B.into(), named("b"))]);
    assert_eq!(name(&containers, A, None).unwrap(), "a2");
    part.failed("gone");
    assert_eq!(name(&containers, B, None).unwrap(), "b");
    part.replace([]);
    assert_eq!(name(&containers, A, None), None);
}

#[test]
fn of_too_many_containers_those_beyond_are_counted() {
    let containers = Containers::default();
    let part = containers.of(socket(Path::new("/x")));
    part.connected(0);
    let many = (0..directory::MOST + 7).map(|n| (format!("{n:064x}"), named("a")));
    part.replace(many);
    part.put(A.into(), named("b"));
    let status = containers.engines().remove(0);
    assert_eq!(
        (status.containers, status.left_out),
        (directory::MOST as u64, 8)
    );
}

#[test]
fn an_engine_of_a_user_cannot_take_much_memory() {
    let containers = Containers::default();
    let part = containers.of(socket(Path::new("/x")));
    part.connected(1000);
    let large = || Named {
        labels: vec!["x".repeat(300); 32],
        ..named("a")
    };
    let many = (0..directory::MOST).map(|n| (format!("{n:064x}"), large()));
    part.replace(many);
    let status = containers.engines().remove(0);
    assert!(
        status.containers < 250 && status.left_out > 16_000,
        "{status:?}"
    );
    // What is changed takes the place of what was.
    for n in 0..1000 {
        let mut named = large();
        named.container = format!("{n}");
        part.put(format!("{:064x}", 0), named);
    }
    let found = containers.find(&format!("{:064x}", 0), Some(1000)).unwrap();
    assert_eq!(found.container, "999");
}

/// Reads a request and gives its path.
async fn request(stream: &mut UnixStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap() == 0 {
            return String::new();
        }
        read.push(byte[0]);
    }
    let text = String::from_utf8(read).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

async fn answer(stream: &mut UnixStream, body: &str) {
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// The stream of events, and the connection for the rest; both in their order.
async fn accept(listener: &UnixListener) -> (UnixStream, UnixStream) {
    let (mut events, _) = listener.accept().await.unwrap();
    assert!(request(&mut events).await.starts_with("/events?filters="));
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    events.write_all(head).await.unwrap();
    let (rest, _) = listener.accept().await.unwrap();
    (events, rest)
}

async fn until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..600 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in time: {what}");
}

#[tokio::test]
async fn an_engine_that_ends_lies_or_comes_late_costs_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let containers = Containers::default();
    let following = tokio::spawn(follow(vec![socket(&path)], containers.clone()));
    let uid = nix::unistd::getuid().as_raw();
    let is = |expect: &'static str| {
        let containers = containers.clone();
        move || name(&containers, A, Some(uid)).as_deref() == Some(expect)
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let listener = UnixListener::bind(&path).unwrap();
    let (mut events, mut rest) = accept(&listener).await;
    assert_eq!(request(&mut rest).await, "/containers/json?all=true");
    let list = format!(r#"[{{"Id":"{A}","Names":["/web/db","/api-1"],"ImageID":"","More":[1]}}]"#);
    answer(&mut rest, &list).await;
    until("the list", is("api-1")).await;
    let event = format!(r#"{{"Action":"rename","Actor":{{"ID":"{A}"}}}}"#);
    // In two parts.
    for half in [&event[..9], &event[9..]] {
        let chunk = format!("{:x}\r\n{half}\r\n", half.len());
        events.write_all(chunk.as_bytes()).await.unwrap();
    }
    assert_eq!(request(&mut rest).await, format!("/containers/{A}/json"));
    answer(
        &mut rest,
        &format!(r#"{{"Id":"{A}","Name":"/api-2","Image":""}}"#),
    )
    .await;
    until("the new name", is("api-2")).await;
    // It is started again, and what it says then is not to be understood.
    drop((events, rest));
    let (_events, mut rest) = accept(&listener).await;
    request(&mut rest).await;
    answer(&mut rest, r#"{"Id":7}"#).await;
    let state = || containers.engines().remove(0);
    let failed = "not understood";
    until(
        "the failure",
        || matches!(&state().state, EngineState::Failing(text) if text.contains(failed)),
    )
    .await;
    assert!(state().failures >= 2 && is("api-2")());
    // At last it is itself again.
    let (_events, mut rest) = accept(&listener).await;
    request(&mut rest).await;
    answer(&mut rest, &list).await;
    until("the list again", is("api-1")).await;
    assert_eq!(state().state, EngineState::Connected);
    following.abort();
}

#[tokio::test]
async fn a_container_that_nobody_named_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let containers = Containers::default();
    let listener = UnixListener::bind(&path).unwrap();
    let following = tokio::spawn(follow(vec![socket(&path)], containers.clone()));
    let (_events, mut rest) = accept(&listener).await;
    request(&mut rest).await;
    answer(&mut rest, "[]").await;
    until("a connection", || {
        let engines = containers.engines();
        engines
            .iter()
            .any(|engine| engine.state == EngineState::Connected)
    })
    .await;
    containers.want();
    let again = tokio::time::timeout(Duration::from_secs(30), request(&mut rest));
    assert_eq!(again.await.unwrap(), "/containers/json?all=true");
    following.abort();
}
