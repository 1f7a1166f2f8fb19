//! The commands whose output is kept, by where they get what they show: the name of
//! the file, and the arguments, parted by spaces. They run in this order.

/// Names and arguments.
pub(crate) type Cases = &'static [(&'static str, &'static str)];

/// From a file.
pub(crate) const FILE: Cases = &[
    ("file-compact", "observe --input-file flows.jsonl"),
    (
        "file-compact-node",
        "observe --input-file flows.jsonl --print-node-name",
    ),
    (
        "file-compact-numeric",
        "observe --input-file flows.jsonl --numeric",
    ),
    (
        "file-compact-policies",
        "observe --input-file flows.jsonl --print-policy-names",
    ),
    (
        "file-compact-time",
        "observe --input-file flows.jsonl --time-format RFC3339Nano",
    ),
    (
        "file-compact-color",
        "observe --input-file flows.jsonl --color always",
    ),
    (
        "file-compact-columns",
        "observe --input-file flows.jsonl --columns bytes,packets,duration,interface",
    ),
    (
        "file-compact-last",
        "observe --input-file flows.jsonl --last 2",
    ),
    ("file-table", "observe --input-file flows.jsonl -o table"),
    (
        "file-table-node",
        "observe --input-file flows.jsonl -o table --print-node-name",
    ),
    (
        "file-table-color",
        "observe --input-file flows.jsonl -o table --color always",
    ),
    (
        "file-table-columns",
        "observe --input-file flows.jsonl -o table --columns interface,bytes",
    ),
    ("file-dict", "observe --input-file flows.jsonl -o dict"),
    (
        "file-dict-node-color",
        "observe --input-file flows.jsonl -o dict --print-node-name --color always",
    ),
    (
        "file-dict-columns",
        "observe --input-file flows.jsonl -o dict --columns packets,duration",
    ),
    ("file-json", "observe --input-file flows.jsonl -o json"),
    ("file-jsonpb", "observe --input-file flows.jsonl -o jsonpb"),
    (
        "file-filter",
        "observe --input-file flows.jsonl --port http --not --verdict DROPPED",
    ),
    (
        "file-filter-address",
        "observe --input-file flows.jsonl --ip 2001:DB8:0:0::1",
    ),
    ("file-bare", "observe --input-file bare.jsonl"),
    (
        "file-bare-filter",
        "observe --input-file bare.jsonl --verdict FORWARDED -o json",
    ),
    (
        "file-stats",
        "stats --input-file flows.jsonl --group-by destination-port --order flows",
    ),
    (
        "file-stats-window",
        "stats --input-file flows.jsonl --window 2500ms -o json",
    ),
    ("file-top", "top --once --input-file flows.jsonl"),
    (
        "file-hints",
        "hints source-endpoint --input-file flows.jsonl --verdict FORWARDED",
    ),
    ("file-odd", "observe --input-file odd.jsonl"),
    ("file-odd-json", "observe --input-file odd.jsonl -o json"),
    (
        "file-odd-silent",
        "observe --input-file odd.jsonl -o table -s",
    ),
    (
        "file-control",
        "observe --input-file control.jsonl --print-node-name",
    ),
    (
        "file-control-table",
        "observe --input-file control.jsonl -o table --print-node-name",
    ),
    (
        "file-control-agent-events",
        "observe agent-events --input-file control.jsonl --print-node-name",
    ),
    ("file-latin1", "observe --input-file latin1.jsonl"),
    (
        "file-latin1-table-last",
        "observe --input-file latin1.jsonl -o table --last 2",
    ),
    (
        "file-latin1-agent-events",
        "observe agent-events --input-file latin1-events.jsonl -o table",
    ),
    (
        "file-latin1-debug-events",
        "observe debug-events --input-file latin1-events.jsonl --last 1",
    ),
    (
        "file-agent-events",
        "observe agent-events --input-file events.jsonl",
    ),
    (
        "file-agent-events-node",
        "observe agent-events --input-file events.jsonl --print-node-name",
    ),
    (
        "file-agent-events-last",
        "observe agent-events --input-file events.jsonl --last 2",
    ),
    (
        "file-agent-events-table",
        "observe agent-events --input-file events.jsonl -o table",
    ),
    (
        "file-agent-events-dict",
        "observe agent-events --input-file events.jsonl -o dict",
    ),
    (
        "file-agent-events-json",
        "observe agent-events --input-file events.jsonl -o json",
    ),
    (
        "file-debug-events",
        "observe debug-events --input-file events.jsonl",
    ),
    (
        "file-debug-events-node",
        "observe debug-events --input-file events.jsonl --print-node-name",
    ),
    (
        "file-debug-events-last",
        "observe debug-events --input-file events.jsonl --last 2",
    ),
    (
        "file-debug-events-table",
        "observe debug-events --input-file events.jsonl -o table",
    ),
    (
        "file-debug-events-dict",
        "observe debug-events --input-file events.jsonl -o dict",
    ),
    (
        "file-debug-events-json",
        "observe debug-events --input-file events.jsonl -o json",
    ),
    (
        "print-raw-filters",
        "observe --print-raw-filters --pod a/b --not --verdict DROPPED",
    ),
];

/// From nothing that is there.
pub(crate) const NOWHERE: Cases = &[
    ("error-no-socket", "observe --server unix:///nowhere/s"),
    ("error-no-listener", "list nodes --server 127.0.0.1:1"),
    (
        "error-status-no-listener",
        "status --server tcp://127.0.0.1:1",
    ),
    ("error-no-port", "observe --server localhost"),
    ("error-tls", "observe --server tls://localhost:1"),
    (
        "error-tls-ca",
        "observe --tls --server localhost:1 --tls-ca-cert-files /nowhere/ca.pem",
    ),
    (
        "error-tls-half-a-pair",
        "observe --tls --server localhost:1 --tls-client-key-file /nowhere/key.pem",
    ),
    (
        "error-tls-plaintext",
        "observe --server localhost:1 --tls-server-name relay.test",
    ),
    (
        "error-tls-token",
        "observe --server localhost:1 --token-file /nowhere/token",
    ),
    (
        "error-no-config",
        "status --context x --config /nowhere/cli.toml",
    ),
    ("error-no-file", "observe --input-file /nowhere/flows.jsonl"),
    ("error-folder", "observe --input-file ."),
    ("error-record-folder", "record -f ."),
    ("error-record-no-file", "record -f /nowhere/flows.jsonl"),
    (
        "error-file-filter",
        "observe --input-file flows.jsonl --ip 10.0.0.1/99",
    ),
    (
        "error-file-last",
        "observe --input-file flows.jsonl --last 1000001",
    ),
    (
        "error-file-groups",
        "stats --input-file flows.jsonl --group-by verdict,protocol,interface,node-name,source-ip",
    ),
    ("error-file-twice", "stats --input-file - --window 1m"),
    ("error-file-top", "top --input-file flows.jsonl"),
    ("error-port", "observe --port 8100-8000"),
    (
        "error-allowlist-name",
        r#"observe --allowlist {"source_ips":["10.0.0.1"]}"#,
    ),
    (
        "error-denylist-value",
        r#"observe --denylist {"verdict":["DROPED"]}"#,
    ),
    ("error-what", "observe flow"),
    ("error-events-filter", "observe agent-events --port 80"),
    (
        "error-events-columns",
        "observe debug-events --columns bytes",
    ),
    (
        "error-events-until",
        "observe agent-events --until tomorrow",
    ),
    (
        "error-events-no-listener",
        "observe agent-events --server 127.0.0.1:1",
    ),
    ("error-watch", "watch flows"),
    (
        "error-watch-no-listener",
        "watch peers --server 127.0.0.1:1",
    ),
    ("error-output", "observe -o yaml"),
    ("error-column", "observe --columns bytes,colour"),
    ("error-list", "list pods"),
    ("error-timeout", "list nodes --timeout 3"),
    ("error-group-by", "stats --group-by colour"),
    ("error-hints-field", "hints colour"),
    ("error-since", "observe --since yesterday"),
    ("error-verdict", "observe --verdict dropped"),
    ("error-identity", "observe --identity nobody"),
    ("error-tcp-flags", "observe --tcp-flags syn,hello"),
    (
        "error-either-and-to",
        "observe --ip 10.0.0.1 --to-ip 10.0.0.2",
    ),
    ("error-not", "observe --ip 10.0.0.1 --not"),
    ("error-first-last", "observe --first 1 --last 1"),
    ("error-table-follow", "observe -o table --follow"),
    ("error-field-mask", "observe --field-mask time"),
    ("error-top-output", "top -o json"),
];

/// From a server that replayed `flows.jsonl`. The state comes first: what follows opens
/// streams, and is counted.
pub(crate) const SERVER: Cases = &[
    ("server-status", "status"),
    ("server-status-json", "status -o json"),
    ("server-compact", "observe"),
    (
        "server-compact-columns",
        "observe --columns bytes,packets,duration,interface",
    ),
    (
        "server-compact-all-fields",
        "observe --use-default-field-masks=false",
    ),
    ("server-table", "observe -o table --print-node-name"),
    ("server-dict", "observe -o dict --first 2"),
    ("server-json", "observe -o json --all"),
    (
        "server-json-mask",
        "observe -o json --field-mask time,source.identity,l4",
    ),
    ("server-drops", "observe --verdict DROPPED"),
    (
        "server-since",
        "observe --since 2026-01-02T03:04:06Z --until 2026-01-02T03:04:08Z",
    ),
    (
        "server-until-last",
        "observe --until 2026-01-02T03:04:08Z --last 2",
    ),
    (
        "server-until-last-all",
        "observe --until 2026-01-02T03:04:10Z --last 50",
    ),
    (
        "server-until-last-filter",
        "observe --until 2026-01-02T03:04:09Z --last 1 --port 80-90 --not --verdict DROPPED",
    ),
    (
        "server-since-until-last",
        "observe --since 2026-01-02T03:04:07Z --until 2026-01-02T03:04:08Z --last 9 -o table",
    ),
    (
        "server-address",
        "observe --to-ip 2001:DB8:0:0::2 --from-port 5300-5400 --to-port domain",
    ),
    ("server-no-match", "observe -o table --port 1"),
    ("server-nodes", "list nodes"),
    ("server-nodes-wide", "list nodes -o wide"),
    ("server-nodes-json", "list nodes -o json"),
    ("server-namespaces", "list namespaces"),
    ("server-namespaces-json", "list namespaces -o json"),
    ("server-interfaces", "list interfaces"),
    ("server-hints", "hints verdict"),
    (
        "server-hints-prefix",
        "hints source-endpoint --prefix demo/ -o json",
    ),
    (
        "server-hints-filter",
        "hints destination-port --not --verdict DROPPED",
    ),
    ("server-stats", "stats --group-by verdict"),
    ("server-top", "top --once"),
    ("server-error-filter", "observe --ip 10.0.0.1/99"),
    (
        "server-error-cel",
        "observe --cel-expression _flow.nothing==1",
    ),
    ("server-error-mask", "observe -o json --field-mask colour"),
    ("server-error-window", "stats --window 24h"),
];

/// From a server whose flows are of just now.
pub(crate) const RECENT: Cases = &[
    ("recent-stats", "stats --window 1h"),
    (
        "recent-stats-groups",
        "stats --window 1h --group-by verdict,destination-port --limit 2 --order flows",
    ),
    (
        "recent-stats-json",
        "stats --window 1h --group-by verdict --order flows -o json",
    ),
    ("recent-top", "top --once --window 1h --view drops"),
    (
        "recent-top-json",
        "top --once -o json --window 1h --view endpoints --order flows",
    ),
];

/// From a server's TCP listener, which may not be written to.
pub(crate) const TCP: Cases = &[("tcp-record-refused", "record -f flows.jsonl")];

/// From the same server's socket, which may.
pub(crate) const SOCKET: Cases = &[
    ("socket-record", "record -f flows.jsonl"),
    ("socket-record-refused-lines", "record -f odd.jsonl"),
    ("socket-record-bare", "record -f bare.jsonl"),
    ("socket-record-latin1", "record -f latin1.jsonl"),
    ("socket-record-refused-flows", "record -f refused.jsonl"),
    ("socket-record-events", "record -f events.jsonl"),
];

/// From a server that replayed `events.jsonl`. `hubble` does not pass --first on.
pub(crate) const EVENTS: Cases = &[
    ("events-agent-first", "observe agent-events --first 2"),
    (
        "events-debug-first",
        "observe debug-events --first 1 -o table",
    ),
    (
        "events-agent-until-last",
        "observe agent-events --until 2026-01-02T03:04:08Z --last 2",
    ),
    (
        "events-debug-until-last",
        "observe debug-events --until 2026-01-02T03:04:08Z --last 1",
    ),
    ("events-no-flows", "observe --all"),
];
