//! Traffic between two namespaces: datagrams of iperf3, requests of HTTP.

use anyhow::Context as _;
use serde_json::Value;
use sextant_integration_tests::{Netns, Process, eventually};
use tempfile::TempDir;

/// Seconds of each run of traffic.
pub(crate) const SECONDS: u32 = 4;
pub(crate) fn iperf_server(a: &Netns, b: &Netns) -> anyhow::Result<Process> {
    let server = b.spawn("iperf3 -s");
    eventually("iperf3", || {
        a.try_run("iperf3 -c 10.9.1.2 -n 1 --connect-timeout 1000")
            .0
            .then_some(())
    });
    Ok(server)
}

/// 64-byte UDP as fast as it goes; packets a second at the receiver.
pub(crate) fn traffic(from: &Netns, to: &str, reverse: &str, seconds: u32) -> anyhow::Result<f64> {
    let json = from.run(&format!(
        "iperf3 -c {to} -u -l 64 -b 0 -P 2 -t {seconds} {reverse} --json"
    ));
    let result: Value = serde_json::from_str(&json)?;
    let sum = &result["end"]["sum"];
    let sent = sum["packets"].as_f64().context("no packets")?;
    let lost = sum["lost_packets"].as_f64().unwrap_or(0.0);
    Ok((sent - lost) / f64::from(seconds))
}

/// A web server at 10.9.1.2:8080.
pub(crate) struct Web {
    _server: Process,
    _folder: TempDir,
}

impl Web {
    pub(crate) fn start(a: &Netns, b: &Netns) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let place = folder.path().display();
        let config = format!(
            "daemon off; master_process off; pid {place}/pid; events {{}} http {{ access_log off; \
         client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place}; \
         uwsgi_temp_path {place}; scgi_temp_path {place}; \
         server {{ listen 8080; keepalive_requests 100000000; location / {{ return 200 ok; }} }} }}"
        );
        std::fs::write(folder.path().join("nginx.conf"), config)?;
        let server = b.spawn(&format!("nginx -e stderr -p {place} -c {place}/nginx.conf"));
        eventually("nginx", || {
            a.try_run("curl -sf http://10.9.1.2:8080/").0.then_some(())
        });
        Ok(Self {
            _server: server,
            _folder: folder,
        })
    }
}
