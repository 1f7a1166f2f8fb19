use super::*;
use crate::identity::Numbers;

fn processes() -> Processes {
    with(Containers::default())
}

fn with(containers: Containers) -> Processes {
    let identities = Identities::new(Vec::new(), Numbers::in_memory(), false);
    Processes::new(Arc::new(identities), "default".into(), containers)
}

fn seen(pid: u32, start: u32, exe: &str, cgroup_path: &str) -> ProcessSeen {
    ProcessSeen {
        pid,
        start,
        ppid: 1,
        uid: 33,
        comm: exe.rsplit('/').next().unwrap().into(),
        exe: exe.into(),
        cgroup: 7,
        cgroup_path: Some(cgroup_path.into()),
        command_line: b"x\0--password\0S3CRET\0".into(),
        command_length: 20,
    }
}

fn side(tgid: u32, start: u32) -> Side {
    Side { tgid, start }
}

const ID: &str = "4f1c1b8e5a0d4c3f9e2b7a6d5c4b3a29181716151413121110f9e8d7c6b5a493";

#[test]
fn a_unit_is_an_endpoint_with_a_name_labels_and_an_identity_of_its_own() {
    let (mut processes, mut interners) = (processes(), Interners::default());
    let nginx = "/system.slice/nginx.service";
    processes.learn(
        &[
            seen(7, 100, "/usr/sbin/nginx", nginx),
            seen(8, 101, "/usr/bin/perl", nginx),
            seen(9, 102, "/usr/bin/curl", &format!("/docker/{ID}")),
            seen(10, 103, "/usr/bin/cat", "/"),
        ],
        &mut interners,
    );
    let mut of = |pid, start| processes.behind(side(pid, start), &mut interners).unwrap();
    let endpoint = of(7, 100).endpoint.unwrap();
    assert_eq!(
        (endpoint.namespace.as_str(), endpoint.pod_name.as_str()),
        ("system", "nginx.service")
    );
    assert_eq!(endpoint.workloads[0].kind, "Unit");
    assert_eq!(
        endpoint.labels,
        [
            "k8s:name=nginx.service",
            "sextant:exe=nginx",
            "sextant:namespace=system",
            "sextant:unit=nginx.service"
        ]
    );
    assert!(endpoint.identity >= 256 && endpoint.id > 0);
    // What it executes is in the labels, and does not make another of it.
    let script = of(8, 101).endpoint.unwrap();
    assert_eq!(
        (script.identity, script.id),
        (endpoint.identity, endpoint.id)
    );
    assert_ne!(script.labels, endpoint.labels);
    let container = of(9, 102);
    let endpoint = container.endpoint.unwrap();
    assert_eq!(
        (endpoint.namespace.as_str(), endpoint.pod_name.as_str()),
        ("docker", &ID[..12])
    );
    assert_eq!(container.process.container, ID);
    assert_ne!(endpoint.identity, script.identity);
    assert!(of(10, 103).endpoint.is_none(), "that is the host");
}

#[test]
fn a_container_of_a_user_is_in_the_namespace_of_that_user() {
    let (mut processes, mut interners) = (processes(), Interners::default());
    let below = "/user.slice/user-1000.slice/user@1000.service/user.slice";
    processes.learn(
        &[
            seen(7, 100, "/bin/a", &format!("{below}/libpod-{ID}.scope")),
            // A name alone does not make it the system's.
            seen(8, 100, "/bin/a", &format!("{below}/docker-{ID}.scope")),
        ],
        &mut interners,
    );
    for pid in [7, 8] {
        let known = processes.behind(side(pid, 100), &mut interners).unwrap();
        assert_eq!(known.endpoint.unwrap().namespace, "user-1000");
    }
}

#[test]
fn command_lines_are_told_where_they_are_wanted_without_secrets() {
    let (mut off, mut on, mut interners) = (processes(), processes(), Interners::default());
    let lines = CommandLines::new::<&str>(&[]).unwrap();
    on.tell_command_lines(lines).unwrap();
    let mut of = |processes: &mut Processes| {
        processes.learn(&[seen(7, 100, "/bin/x", "/")], &mut interners);
        let known = processes.behind(side(7, 100), &mut interners).unwrap();
        known.process.command_line.clone()
    };
    assert_eq!(of(&mut off), "");
    assert_eq!(of(&mut on), "x --password HUBBLE_REDACTED");
}

fn named(namespace: Option<&str>, name: &str) -> Named {
    Named {
        engine: "docker",
        namespace: namespace.map(str::to_owned),
        pod_name: name.into(),
        container: name.into(),
        labels: vec!["docker:team=red".into(), "sextant:image=api:3".into()],
        ..Named::default()
    }
}

#[test]
fn who_has_a_label_that_titles_it_gets_no_other() {
    let titled = Named {
        labels: vec!["k8s:app=web".into()],
        ..named(Some("shop"), "web-1")
    };
    let containers = Containers::of_test(0, [(ID, titled)]);
    let (mut processes, mut interners) = (with(containers), Interners::default());
    let path = format!("/kubepods/besteffort/pod12-34/{ID}");
    processes.learn(&[seen(7, 100, "/bin/a", &path)], &mut interners);
    let web = processes.behind(side(7, 100), &mut interners).unwrap();
    let labels = &web.endpoint.unwrap().labels;
    let titles = labels.iter().filter(|label| label.starts_with("k8s:"));
    assert_eq!(titles.collect::<Vec<_>>(), ["k8s:app=web"]);
}

#[test]
fn a_container_has_the_name_of_its_engine_once_that_is_told() {
    let containers = Containers::of_test(0, [(ID, named(Some("shop"), "api-1"))]);
    let (mut processes, mut interners) = (with(containers.clone()), Interners::default());
    let other = format!("/docker/{}", ID.replace('4', "5"));
    processes.learn(
        &[
            seen(7, 100, "/bin/a", &format!("/docker/{ID}")),
            seen(8, 100, "/bin/a", &other),
        ],
        &mut interners,
    );
    let mut of = |pid| processes.behind(side(pid, 100), &mut interners).unwrap();
    let api = of(7);
    let endpoint = api.endpoint.unwrap();
    assert_eq!(
        (endpoint.namespace.as_str(), endpoint.pod_name.as_str()),
        ("shop", "api-1")
    );
    assert_eq!(endpoint.workloads[0].name, "api-1");
    assert_eq!(
        endpoint.labels,
        [
            "docker:team=red",
            "k8s:name=api-1",
            "sextant:container=api-1",
            "sextant:engine=docker",
            "sextant:exe=a",
            "sextant:image=api:3",
            "sextant:namespace=shop",
        ]
    );
    assert_eq!(api.process.container, ID);
    assert_eq!(api.process.container_name, "api-1");
    // Of one that nobody named the engines are asked.
    assert_eq!(of(8).endpoint.unwrap().pod_name, &other[8..20]);
    assert!(containers.was_wanted());
    // It is renamed: so is what is known already, and who it is else stays.
    containers.say([(ID, named(Some("shop"), "api-2"))]);
    let renamed = of(7);
    assert_eq!(renamed.endpoint.unwrap().pod_name, "api-2");
    assert_eq!(
        (renamed.process.pid, renamed.process.container_name.as_str()),
        (7, "api-2")
    );
    // The engine forgets it.
    for _ in 0..2 {
        containers.say([]);
    }
    assert_eq!(of(7).endpoint.unwrap().pod_name, "api-2");
}

#[test]
fn what_a_users_engine_says_stays_within_that_users_namespace() {
    let below = "/user.slice/user-1000.slice/user@1000.service/user.slice";
    let containers = Containers::of_test(1000, [(ID, named(Some("shop"), "api-1"))]);
    let (mut processes, mut interners) = (with(containers), Interners::default());
    processes.learn(
        &[
            seen(7, 100, "/bin/a", &format!("{below}/docker-{ID}.scope")),
            seen(
                8,
                100,
                "/bin/a",
                &format!("/system.slice/docker-{ID}.scope"),
            ),
        ],
        &mut interners,
    );
    let mut names = |pid| {
        let known = processes.behind(side(pid, 100), &mut interners).unwrap();
        let endpoint = known.endpoint.unwrap();
        format!("{}/{}", endpoint.namespace, endpoint.pod_name)
    };
    assert_eq!(names(7), "user-1000/api-1");
    assert_eq!(names(8), format!("docker/{}", &ID[..12]));
}

#[test]
fn a_container_whose_id_is_a_name_is_found_by_the_path_of_its_cgroup() {
    let containers = Containers::of_test(0, []);
    let (mut processes, mut interners) = (with(containers.clone()), Interners::default());
    let paths = ["/default/web1", "/system.slice/a.service/default/web1"];
    for (pid, path) in (7..).zip(paths) {
        processes.learn(&[seen(pid, 100, "/bin/a", path)], &mut interners);
    }
    let mut pod = |pid| {
        let known = processes.behind(side(pid, 100), &mut interners).unwrap();
        known.endpoint.map(|endpoint| endpoint.pod_name.clone())
    };
    assert_eq!(pod(7), None, "the engine did not tell yet");
    let web = Named {
        engine: "containerd",
        ..named(None, "web1")
    };
    containers.say([("default/web1", web)]);
    assert_eq!(pod(7).unwrap(), "web1");
    assert_eq!(pod(8).unwrap(), "a.service");
}

#[test]
fn sides_of_ended_flows_are_counted_by_who_was_behind_them() {
    use sextant_ebpf_common::side;
    let processes = processes();
    processes.ended([side(7, 100), Side::default()]);
    for start in [side::NO_SOCKET, side::NO_OWNER, side::NO_OWNER] {
        processes.ended([side(8, 100), Side { tgid: 0, start }]);
    }
    let expect = Sides {
        process: 4,
        unknown: 2,
        no_socket: 1,
        elsewhere: 1,
    };
    assert_eq!(processes.counts().sides(), expect);
}

#[test]
fn a_number_that_is_used_again_is_another_process() {
    let (mut processes, mut interners) = (processes(), Interners::default());
    processes.learn(
        &[seen(7, 100, "/bin/a", "/"), seen(7, 200, "/bin/b", "/")],
        &mut interners,
    );
    let mut exe = |start| {
        let known = processes.behind(side(7, start), &mut interners).unwrap();
        known.process.exe.clone()
    };
    assert_eq!((exe(100), exe(200)), ("/bin/a".into(), "/bin/b".into()));
}

#[test]
fn one_that_was_not_told_is_looked_up_by_its_number_and_start() {
    let (mut processes, mut interners) = (processes(), Interners::default());
    let me = procfs::process::Process::myself().unwrap();
    let (pid, start) = (me.pid as u32, me.stat().unwrap().starttime as u32);
    let mut of = |start| processes.behind(side(pid, start), &mut interners).unwrap();
    let found = of(start);
    assert_eq!(found.process.exe, me.exe().unwrap().to_string_lossy());
    // Another had the number before.
    let gone = of(start - 1);
    assert_eq!((gone.process.pid, gone.process.exe.as_str()), (pid, ""));
    assert_eq!((gone.process.uid, gone.endpoint), (None, None));
    let counts = processes.counts();
    assert_eq!((counts.looked_up(), counts.not_found()), (1, 1));
    assert_eq!(
        processes
            .behind(Side::default(), &mut interners)
            .map(|_| ()),
        None
    );
}

#[test]
fn of_ever_new_processes_the_latest_are_known() {
    let (mut processes, mut interners) = (processes(), Interners::default());
    let total = 2 * MOST as u32;
    for first in (0..total).step_by(4096) {
        let batch: Vec<ProcessSeen> = (first..first + 4096)
            .map(|pid| seen(pid + 2, 1, "/bin/x", "/"))
            .collect();
        processes.learn(&batch, &mut interners);
    }
    let counts = processes.counts();
    assert!(counts.known() <= MOST as u64);
    assert_eq!(
        counts.forgotten() + processes.known.len() as u64,
        u64::from(total)
    );
    let last = processes
        .behind(side(total + 1, 1), &mut interners)
        .unwrap();
    assert_eq!(last.process.exe, "/bin/x");
    assert_eq!(counts.looked_up() + counts.not_found(), 0);
}
