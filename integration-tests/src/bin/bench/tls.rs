//! GetFlows over a full ring by TLS, beside the same server's plaintext, both over
//! TCP and in turns.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sextant_integration_tests::{Certificates, Subject, certificates::HERE};

use crate::{
    Bench, RING,
    client::Client,
    drain::round,
    report::{Figure, Goal, Samples},
    server::{Load, Server, Transport, free_port},
};

/// Drains in a round, so that CPU time in steps of 10 ms is exact enough.
const DRAINS: u32 = 4;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let load = Load {
        corpus: bench.corpus(RING)?,
        times: 1,
        capacity: RING,
        transport: Transport::Tcp,
    };
    let files = Certificates::new();
    files.issue("server", &Subject::server(&HERE));
    files.issue("client", &Subject::client("client", &["spiffe://a.test/b"]));
    let port = free_port()?;
    let config = format!(
        "[[listener]]\naddress = 'tcp://127.0.0.1:{port}'\ncertificate = '{}'\nkey = '{}'\n\
         client_ca = ['{}']\n",
        files.text("server.pem"),
        files.text("server-key.pem"),
        files.text("ca.pem"),
    );
    files.write("sextant.toml", &config);
    let more = ["--config", &files.text("sextant.toml")];
    let server = Server::sextant_with(&bench.options.sextantd, &load, &more).await?;
    let clients = [
        server.client().await?,
        Client::connect_tls(port, Arc::new(client_config(&files)?)).await?,
    ];
    let (mut rate, mut cpu) = (Samples::default(), Samples::default());
    for _ in 0..bench.runs() {
        let [plain, tls] = [
            round(&server, &clients[0], DRAINS).await?,
            round(&server, &clients[1], DRAINS).await?,
        ];
        anyhow::ensure!(plain.counted == tls.counted, "not the same flows");
        rate.0.push(tls.per_second / plain.per_second);
        cpu.0.push(tls.cpu_us / plain.cpu_us);
    }
    for (what, sextant, goal) in [
        (
            "server CPU for each flow, by TLS ÷ in plaintext",
            cpu,
            Some(Goal::AtMost(1.5)),
        ),
        ("flows drained, by TLS ÷ in plaintext", rate, None),
    ] {
        bench.report.add(Figure {
            scenario: "tls",
            what: format!("{what}, ring of {RING}"),
            unit: "",
            sextant,
            hubble: None,
            goal,
        });
    }
    Ok(())
}

/// Trusts the test's authority, and shows a certificate of it.
fn client_config(files: &Certificates) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.path("ca.pem"))?)?;
    let chain = CertificateDer::pem_file_iter(files.path("client.pem"))?;
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(files.path("client-key.pem"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .context("the client's certificate")?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
