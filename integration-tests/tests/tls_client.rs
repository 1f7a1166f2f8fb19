//! `sextant` over TLS, against the real `hubble-relay` and servers that do it wrong: what
//! works for `hubble` works, and an error names cause and remedy.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sextant_integration_tests::{
    Certificates, Process, Subject,
    certificates::HERE,
    eventually, free_port,
    hubble::{run, tool},
};

/// The binary beside the daemon's.
fn sextant() -> PathBuf {
    sextant_integration_tests::daemon::binary().with_file_name("sextant")
}

/// Runs `sextant list nodes` with these arguments, and nothing of this user's.
fn nodes(server: &str, arguments: &[&str]) -> Output {
    Command::new(sextant())
        .args(["list", "nodes", "--server", server])
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn works(server: &str, arguments: &[&str]) {
    let output = nodes(server, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
}

/// It fails, and says all of this.
fn fails(server: &str, arguments: &[&str], parts: &[&str]) {
    let output = nodes(server, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?}: `{part}` in {error}");
    }
}

/// Waits for a server that was started.
fn listens(port: u16) {
    eventually("it listens", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
}

/// Relay without peers, whose certificate is `server.pem`; `arguments` are further ones.
struct Relay {
    port: u16,
    _process: Process,
}

impl Relay {
    fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new(tool("hubble-relay"))
            .args(["serve", "--disable-client-tls", "--gops=false"])
            .args(["--peer-service", "unix:///nonexistent/socket"])
            .args(["--listen-address", &format!("127.0.0.1:{port}")])
            .arg("--health-listen-address")
            .arg(format!("127.0.0.1:{}", free_port()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(child);
        listens(port);
        Self {
            port,
            _process: process,
        }
    }

    /// With the certificate `NAME.pem`.
    fn with(certificates: &Certificates, name: &str, arguments: &[&str]) -> Self {
        let certificate = certificates.text(&format!("{name}.pem"));
        let key = certificates.text(&format!("{name}-key.pem"));
        let mut all = vec!["--tls-relay-server-cert-file", &certificate];
        all.extend(["--tls-relay-server-key-file", &key]);
        all.extend(arguments);
        Self::start(&all)
    }

    fn at(&self, host: &str) -> String {
        format!("tls://{host}:{}", self.port)
    }
}

fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("server", &Subject::server(&HERE));
    certificates.issue("client", &Subject::client("client", &["spiffe://a.test/b"]));
    certificates
}

#[test]
fn the_right_ca_and_name_work_as_with_hubble() {
    let certificates = certificates();
    let relay = Relay::with(&certificates, "server", &[]);
    let ca = certificates.text("ca.pem");
    let both = [certificates.text("stranger.pem"), ca.clone()].join(",");
    let plain = format!("127.0.0.1:{}", relay.port);
    works(&relay.at("127.0.0.1"), &["--tls-ca-cert-files", &ca]);
    works(&relay.at("localhost"), &["--tls-ca-cert-files", &both]);
    works(&plain, &["--tls", "--tls-ca-cert-files", &ca]);
    works(&plain, &["--tls=true", "--tls-allow-insecure"]);
    // What `hubble` says of the same: it agrees.
    let hubble = format!("list nodes --tls-ca-cert-files {ca}");
    assert!(run(&relay.at("127.0.0.1"), &hubble).status.success());

    certificates.issue("named", &Subject::server(&["relay.test"]));
    let relay = Relay::with(&certificates, "named", &[]);
    let named = [
        "--tls-ca-cert-files",
        &ca,
        "--tls-server-name",
        "relay.test",
    ];
    works(&relay.at("127.0.0.1"), &named);
}

#[test]
fn a_self_signed_certificate_is_taken_where_it_is_named_and_good() {
    let certificates = Certificates::new();
    let other = Subject::server(&["other.test"]);
    for (name, subject, part) in [
        ("own", Subject::server(&HERE), None),
        (
            "old",
            Subject::server(&HERE).expired(),
            Some("expired at 2021"),
        ),
        ("other", other, Some("for other.test, not for `127.0.0.1`")),
    ] {
        certificates.issue(name, &subject.by_itself());
        let relay = Relay::with(&certificates, name, &[]);
        let server = relay.at("127.0.0.1");
        let own = certificates.text(&format!("{name}.pem"));
        match part {
            None => works(&server, &["--tls-ca-cert-files", &own]),
            Some(part) => fails(&server, &["--tls-ca-cert-files", &own], &[part]),
        }
        let ca = certificates.text("ca.pem");
        fails(&server, &["--tls-ca-cert-files", &ca], &["cannot connect"]);
    }
}

#[test]
fn a_bad_certificate_of_the_server_is_told_with_cause_and_remedy() {
    let certificates = certificates();
    let ca = certificates.text("ca.pem");
    let trust = ["--tls-ca-cert-files", &ca];
    certificates.issue("expired", &Subject::server(&HERE).expired());
    certificates.issue("strange", &Subject::server(&HERE).by_stranger());
    certificates.issue("other", &Subject::server(&["other.test", "10.9.9.9"]));
    certificates.issue("nameless", &Subject::server(&[]));
    certificates.issue("user", &Subject::client("user", &HERE));
    certificates.issue("early", &Subject::server(&HERE).early());
    let cases: [(&str, &[&str]); 6] = [
        ("expired", &["expired at 2021-01-01T00:00:00Z", "new one"]),
        (
            "early",
            &["valid from 2190-01-01T00:00:00Z on, not yet", "clock"],
        ),
        ("strange", &["unknown CA", &ca, "--tls-ca-cert-files"]),
        (
            "other",
            &[
                "for other.test, 10.9.9.9, not for `127.0.0.1`",
                "--tls-server-name",
            ],
        ),
        ("nameless", &["has no names", "subjectAltName"]),
        ("user", &["not for servers", "serverAuth"]),
    ];
    for (name, parts) in cases {
        let relay = Relay::with(&certificates, name, &[]);
        let server = relay.at("127.0.0.1");
        fails(&server, &trust, &["cannot connect to", &server]);
        fails(&server, &trust, parts);
        works(&server, &["--tls-allow-insecure"]);
        // The system trusts no test.
        fails(&server, &[], &["cannot connect to"]);
    }
}

#[test]
fn a_client_certificate_that_is_missing_or_bad_is_told_with_cause_and_remedy() {
    let certificates = certificates();
    let ca = certificates.text("ca.pem");
    let relay = Relay::with(
        &certificates,
        "server",
        &["--tls-relay-client-ca-files", &ca],
    );
    certificates.issue("strange", &Subject::client("x", &[]).by_stranger());
    certificates.issue("expired", &Subject::client("x", &[]).expired());
    certificates.issue("early", &Subject::client("x", &[]).early());
    let server = relay.at("127.0.0.1");
    let with = |certificate: &str, key: &str| {
        let certificate = certificates.text(certificate);
        [
            ["--tls-ca-cert-files".into(), ca.clone()],
            ["--tls-client-cert-file".into(), certificate],
            ["--tls-client-key-file".into(), certificates.text(key)],
        ]
        .concat()
    };
    let try_with = |certificate: &str, key: &str, parts: Option<&[&str]>| {
        let arguments = with(certificate, key);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match parts {
            None => works(&server, &arguments),
            Some(parts) => fails(&server, &arguments, parts),
        }
    };
    try_with("client.pem", "client-key.pem", None);
    let missing = ["requires a client certificate", "--tls-client-cert-file"];
    // Servers of TLS 1.3 say it after the handshake: at each of these times it must be told.
    for _ in 0..10 {
        fails(&server, &["--tls-ca-cert-files", &ca], &missing);
    }
    for name in ["strange", "expired", "early"] {
        let (file, key) = (format!("{name}.pem"), format!("{name}-key.pem"));
        try_with(&file, &key, Some(&[&file, "a client CA of the server"]));
    }
    let file = |name: &str| certificates.text(name);
    let mismatch = ["does not fit the certificate", &file("server-key.pem")];
    try_with("client.pem", "server-key.pem", Some(&mismatch));
    try_with(
        "client.pem",
        "nowhere.pem",
        Some(&["nowhere.pem", "No such file"]),
    );
    try_with(
        "client.pem",
        "client.pem",
        Some(&["no private key", "BEGIN PRIVATE KEY"]),
    );
    try_with(
        "client-key.pem",
        "client-key.pem",
        Some(&["no certificate", "right file"]),
    );
    certificates.write(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    try_with(
        "client.pem",
        "locked.pem",
        Some(&["encrypted", "openssl pkey"]),
    );
    certificates.write("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    try_with("torn.pem", "client-key.pem", Some(&["torn.pem", "damaged"]));
}

#[test]
fn plaintext_where_the_other_side_speaks_tls_is_told_in_both_ways() {
    let relay = Relay::start(&["--disable-server-tls"]);
    let parts = ["does not speak TLS there", "leave out --tls"];
    fails(&relay.at("127.0.0.1"), &["--tls-allow-insecure"], &parts);
    works(&format!("127.0.0.1:{}", relay.port), &[]);
    let certificates = certificates();
    let relay = Relay::with(&certificates, "server", &[]);
    let plain = format!("127.0.0.1:{}", relay.port);
    fails(&plain, &[], &["if it wants TLS, say --tls"]);
}

/// Ends TLS of these versions, with `server.pem`, and hands on to `to`.
async fn proxy(
    certificates: &Certificates,
    versions: &[&'static SupportedProtocolVersion],
    protocol: Option<&[u8]>,
    to: u16,
) -> u16 {
    let chain = CertificateDer::pem_file_iter(certificates.path("server.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(certificates.path("server-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocol.iter().map(|name| name.to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await.ok()?;
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to))
                    .await
                    .ok()?;
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .ok()
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_and_1_3_of_a_server_are_taken_and_http_2_is_needed() {
    let certificates = certificates();
    let ca = certificates.text("ca.pem");
    let trust = ["--tls-ca-cert-files", &ca];
    let relay = Relay::start(&["--disable-server-tls"]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let port = proxy(&certificates, &[version], Some(b"h2"), relay.port).await;
        works(&format!("tls://localhost:{port}"), &trust);
        let port = proxy(&certificates, &[version], None, relay.port).await;
        let parts = ["not HTTP/2", "ALPN"];
        fails(&format!("tls://localhost:{port}"), &trust, &parts);
    }
}

#[test]
fn older_tls_is_told() {
    let certificates = certificates();
    let port = free_port();
    let child = Command::new("openssl")
        .args([
            "s_server",
            "-tls1_1",
            "-cipher",
            "ALL:@SECLEVEL=0",
            "-quiet",
        ])
        .args(["-accept", &format!("127.0.0.1:{port}")])
        .arg("-cert")
        .arg(certificates.path("server.pem"))
        .arg("-key")
        .arg(certificates.path("server-key.pem"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _process = Process(child);
    listens(port);
    let server = format!("tls://127.0.0.1:{port}");
    fails(
        &server,
        &["--tls-allow-insecure"],
        &["neither TLS 1.2 nor TLS 1.3"],
    );
}

#[test]
fn contexts_and_the_environment_name_certificates_too() {
    let certificates = certificates();
    let ca = certificates.text("ca.pem");
    let relay = Relay::with(
        &certificates,
        "server",
        &["--tls-relay-client-ca-files", &ca],
    );
    certificates.write("token", "secret\n");
    let context = format!(
        "current = \"here\"\n[context.here]\nserver = \"127.0.0.1:{}\"\ntls = true\n\
         tls_ca_cert_files = [\"ca.pem\"]\ntls_client_cert_file = \"client.pem\"\n\
         tls_client_key_file = \"client-key.pem\"\ntoken_file = \"token\"\n",
        relay.port
    );
    certificates.write("cli.toml", &context);
    let mut command = Command::new(sextant());
    command.args(["list", "nodes"]).env_clear().current_dir("/");
    let output = command
        .arg("--config")
        .arg(certificates.path("cli.toml"))
        .output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let mut command = Command::new(sextant());
    command.args(["list", "nodes"]).env_clear();
    let environment = [
        ("SEXTANT_SERVER", format!("127.0.0.1:{}", relay.port)),
        ("SEXTANT_TLS", "true".into()),
        ("SEXTANT_TLS_CA_CERT_FILES", ca),
        (
            "SEXTANT_TLS_CLIENT_CERT_FILE",
            certificates.text("client.pem"),
        ),
        (
            "SEXTANT_TLS_CLIENT_KEY_FILE",
            certificates.text("client-key.pem"),
        ),
    ];
    let output = command.envs(environment).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
