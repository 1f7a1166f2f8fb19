//! The daemon's page of metrics, the real Prometheus beside it in its namespace, and what
//! dashboards ask that.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Netns, Process, hubble::tool};

/// It scrapes the daemon's port of metrics each second, under one job.
pub struct Prometheus {
    namespace: String,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it, with these files of rules.
    #[must_use]
    pub fn start(namespace: &Netns, job: &str, rules: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let rules: Vec<_> = rules.iter().map(|file| format!("{file:?}")).collect();
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\n\
             scrape_configs: [{{job_name: {job}, static_configs: [{{targets: ['127.0.0.1:9965']}}]}}]\n",
            rules.join(", ")
        );
        fs::write(&config, text).unwrap();
        let process = namespace.spawn(&format!(
            "{} --config.file={} --storage.tsdb.path={} --web.listen-address=127.0.0.1:9090 --log.level=error \
             --enable-feature=exemplar-storage",
            tool("prometheus").display(),
            config.display(),
            folder.path().join("data").display(),
        ));
        Self {
            namespace: namespace.name.clone(),
            _process: process,
            _folder: folder,
        }
    }

    /// What it answers to a query; nothing while it does not answer.
    ///
    /// # Panics
    ///
    /// When the query is none.
    #[must_use]
    pub fn ask(&self, query: &str) -> Vec<Value> {
        let answer = self.get("query", &[&format!("query={query}")]);
        let result = answer["data"]["result"].as_array();
        result.cloned().unwrap_or_default()
    }

    /// Whether some value is a number.
    #[must_use]
    pub fn has_data(&self, query: &str) -> bool {
        let is_number = |one: &Value| one["value"][1] != "NaN";
        self.ask(query).iter().any(is_number)
    }

    /// The sum of what it answers; 0 for nothing.
    #[must_use]
    pub fn sum(&self, query: &str) -> f64 {
        let value = |one: &Value| one["value"][1].as_str()?.parse::<f64>().ok();
        self.ask(query).iter().filter_map(value).sum()
    }

    /// Labels of the exemplars of a series, whenever they were scraped.
    #[must_use]
    pub fn exemplars(&self, series: &str) -> Vec<Value> {
        let query = format!("query={series}");
        let answer = self.get("query_exemplars", &[&query, "start=0", "end=9999999999"]);
        let series = answer["data"].as_array().into_iter().flatten();
        let exemplars = series.filter_map(|one| one["exemplars"].as_array());
        let labels = exemplars
            .flatten()
            .map(|exemplar| exemplar["labels"].clone());
        labels.collect()
    }

    /// What its API answers at a path.
    ///
    /// # Panics
    ///
    /// When it says that it failed.
    #[must_use]
    pub fn get(&self, path: &str, arguments: &[&str]) -> Value {
        let encoded = |argument| ["--data-urlencode", argument];
        let output = Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .args(["curl", "-s", "--get"])
            .args(arguments.iter().copied().flat_map(encoded))
            .arg(format!("http://127.0.0.1:9090/api/v1/{path}"))
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) else {
            return Value::Null;
        };
        assert_eq!(answer["status"], "success", "{arguments:?}: {answer}");
        answer
    }
}

/// The series of a metric on the daemon's page: labels as they are printed, and value.
///
/// # Panics
///
/// When a value is no whole number.
#[must_use]
pub fn series(namespace: &Netns, metric: &str) -> BTreeMap<String, u64> {
    let page = namespace.run("curl -s http://127.0.0.1:9965/metrics");
    let lines = page.lines().filter_map(|line| line.strip_prefix(metric));
    let lines = lines.filter_map(|line| line.strip_prefix('{')?.rsplit_once("} "));
    lines
        .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The queries of all panels of a dashboard, with its variables set.
///
/// # Panics
///
/// When it cannot be read, or a variable is not set.
#[must_use]
pub fn queries(dashboard: &Path, variables: &[(&str, &str)]) -> Vec<String> {
    let text = fs::read_to_string(dashboard).unwrap();
    let mut queries = Vec::new();
    collect(&serde_json::from_str(&text).unwrap(), &mut queries);
    for query in &mut queries {
        for (name, value) in variables {
            for form in [format!("${{{name}}}"), format!("${name}")] {
                *query = query.replace(&form, value);
            }
        }
        // `$1` is of a regular expression.
        let is_name = |rest: &str| rest.starts_with(|c: char| !c.is_ascii_digit());
        assert!(!query.split('$').skip(1).any(is_name), "{query}");
    }
    queries
}

/// Wherever they are.
fn collect(from: &Value, queries: &mut Vec<String>) {
    match from {
        Value::Object(fields) => {
            if let (Some(Value::String(query)), true) =
                (fields.get("expr"), fields.contains_key("refId"))
            {
                queries.push(query.clone());
            }
            fields.values().for_each(|value| collect(value, queries));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}

/// Which of the queries give no data.
#[must_use]
pub fn without_data(prometheus: &Prometheus, queries: Vec<String>) -> Vec<String> {
    let mut queries = queries;
    queries.retain(|query| !prometheus.has_data(query));
    queries
}
