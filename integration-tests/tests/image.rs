//! The image of `docker/Dockerfile`, started by a real dockerd with the rights that the docs state and no other.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::fs;

use sextant_integration_tests::{
    deployed::{DOCS, Deployed, SEXTANT, stated},
    eventually, root,
};

const POLICY: &str = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: kept, namespace: docker}\n\
                      spec: {endpointSelector: {matchLabels: {team: red}}, ingress: [{fromEntities: [all]}]}\n";

/// The flags of the `docker run` in the docs, for this engine.
fn documented(deployed: &Deployed) -> String {
    let command = DOCS.split("docker run -d --name sextantd ").nth(1).unwrap();
    let (flags, _) = command.split_once(SEXTANT).unwrap();
    let socket = format!("-v {}:", deployed.engine.socket().display());
    let flags = flags.replace("\\\n", " ");
    assert!(flags.contains("-v /run/docker.sock:"), "{flags}");
    flags.replace("-v /run/docker.sock:", &socket)
}

/// The state of a container that docker tells.
fn inspect(deployed: &Deployed, container: &str, what: &str) -> String {
    let told = deployed
        .engine
        .run(&format!("inspect --format '{{{{{what}}}}}' {container}"));
    told.trim().to_owned()
}

fn is_serving(deployed: &Deployed, container: &str) {
    eventually("sextantd serves", || {
        let serving = format!("exec {container} sextant status --serving");
        deployed.engine.try_run(&serving).0.then_some(())
    });
}

#[test]
fn the_image_serves_with_the_stated_rights_alone_and_keeps_its_state() {
    if !root() {
        return;
    }
    let deployed = Deployed::new();
    let engine = &deployed.engine;
    let flags = documented(&deployed);
    engine.run(&format!("run -d --name sextantd {flags} {SEXTANT}"));
    is_serving(&deployed, "sextantd");
    deployed.traffic();
    deployed.observed(
        "127.0.0.1:4245",
        "--from-pod docker/client --to-pod docker/api --from-label docker:team=red",
    );
    let shown = engine.run(
        "exec sextantd sextant observe --last 5 --process busybox --user root --container client",
    );
    assert!(shown.contains("docker/client"), "{shown}");
    eventually("healthy", || {
        (inspect(&deployed, "sextantd", ".State.Health.Status") == "healthy").then_some(())
    });

    it_has_what_is_stated(&deployed);

    let policy = engine.folder.path().join("policy.yaml");
    fs::write(&policy, POLICY).unwrap();
    engine.run(&format!(
        "exec -i sextantd sextant policy apply -f - < {}",
        policy.display()
    ));
    engine.run("stop --time 20 sextantd");
    assert_eq!(inspect(&deployed, "sextantd", ".State.ExitCode"), "0");
    engine.run("start sextantd");
    is_serving(&deployed, "sextantd");
    let kept = engine.run("exec sextantd sextant policy list");
    assert!(kept.contains("kept"), "{kept}");
    engine.run("rm -f sextantd api client");
    what_is_missing_is_said(&deployed, &flags);
}

/// By the kernel's word.
fn it_has_what_is_stated(deployed: &Deployed) {
    const BITS: [(&str, u32); 4] = [
        ("BPF", 39),
        ("NET_ADMIN", 12),
        ("PERFMON", 38),
        ("SYS_PTRACE", 19),
    ];
    assert_eq!(stated(), BITS.map(|(name, _)| name.to_owned()).into());
    let wanted: u64 = BITS.iter().map(|(_, bit)| 1 << bit).sum();
    let pid = inspect(deployed, "sextantd", ".State.Pid");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        let bits = status.lines().find_map(|line| line.strip_prefix(set));
        let bits = u64::from_str_radix(bits.unwrap().trim(), 16).unwrap();
        assert_eq!(bits, wanted, "{set}");
    }
}

/// Without a capability or a mount it tells what is off, or why it does not start.
fn what_is_missing_is_said(deployed: &Deployed, flags: &str) {
    let try_with = |flags: &str, command: &str| {
        let line = format!("run --rm {flags} {SEXTANT} {command}");
        deployed.engine.try_run(&line)
    };
    let without = |part: &str| {
        assert!(flags.contains(part), "{part}: {flags}");
        flags.replace(part, "")
    };
    for capability in stated().iter().filter(|name| *name != "SYS_PTRACE") {
        let (ok, told) = try_with(&without(&format!("--cap-add {capability} ")), "");
        let name = format!("CAP_{capability}");
        assert!(!ok && told.contains(&name), "without {name}: {told}");
    }
    let fewer =
        without("--cap-add SYS_PTRACE ").replace("-v /sys/fs/cgroup:/sys/fs/cgroup:ro ", "");
    let (_, told) = try_with(&fewer, "probe");
    let off: Vec<&str> = told.lines().filter(|line| line.contains(" no ")).collect();
    let why = [
        ("who", "cgroup"),
        ("lookup", "CAP_SYS_PTRACE"),
        ("netns", "CAP_SYS_ADMIN"),
        ("kubernetes", "is not to be asked"),
    ];
    assert_eq!(off.len(), why.len(), "{told}");
    for (line, (part, why)) in off.iter().zip(why) {
        assert!(line.starts_with(part) && line.contains(why), "{told}");
    }
}
