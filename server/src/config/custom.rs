//! `[[metrics.custom]]`: metrics that the configuration makes up.

use std::time::Duration;

use super::{
    limits,
    section::Section,
    values::{Parsed, choice},
};
use crate::{
    export::filters,
    filter::Filters,
    metrics::custom::{
        CustomKind, CustomSetting, Field, Measured, check_custom, label_name, metric_name,
    },
};

/// Longest text of `help`.
const HELP: usize = 500;
/// Most buckets of a histogram.
const BUCKETS: usize = 64;
/// Most labels of a metric.
const LABELS: usize = 16;
/// Series at most, unless it is told.
const SERIES: usize = 1000;
/// How long a series may be idle, unless it is told.
const IDLE: Duration = Duration::from_secs(3600);

/// All of them.
pub(super) fn custom(metrics: &mut Section<'_>) -> Vec<CustomSetting> {
    let report = metrics.report();
    let mut offsets = Vec::new();
    let mut settings = Vec::new();
    for section in metrics.sections("custom") {
        let offset = section.offset();
        if let Some(setting) = setting(section) {
            settings.push(setting);
            offsets.push(offset);
        }
    }
    if let Err((at, error)) = check_custom(&settings) {
        let offset = offsets.get(at).copied().unwrap_or_default();
        report.add(offset, format!("metrics.custom: {error}"));
    }
    settings
}

fn setting(mut section: Section<'_>) -> Option<CustomSetting> {
    let kind = section
        .required("type")
        .text(|text| choice(text, &CustomKind::ALL));
    // What is wrong with a name does not depend on a kind that is wrong itself.
    let name_of = |text: &str| told(metric_name(text, kind.unwrap_or(CustomKind::Counter)));
    let name = section.required("name").text(name_of);
    let help = section.required("help").text(help);
    let value = section.item("value");
    let measured = value.text(|text| choice(text, &Measured::ALL));
    let measured = match value.offset() {
        None => Some(Measured::Flows),
        Some(_) => measured,
    };
    let allow = list(&mut section, "allow");
    let deny = list(&mut section, "deny");
    if let Err(error) = Filters::compile(&allow, &deny) {
        section.wrong(format!("has filters that do not fit: {error}"));
    }
    let labels = section.item("labels").named(LABELS, label);
    let buckets = section.item("buckets").fractions(BUCKETS);
    let max_series = section.item("max_series").number(limits::SERIES);
    let idle = section.item("idle").duration(limits::SERIES_IDLE);
    let offset = section.offset();
    let report = section.report();
    section.finish();
    let (kind, measured) = (kind?, measured?);
    let usual = || match kind {
        CustomKind::Histogram => measured.buckets(),
        _ => Vec::new(),
    };
    let setting = CustomSetting {
        name: name?,
        help: help?,
        kind,
        measured,
        allow,
        deny,
        labels: labels.unwrap_or_default(),
        buckets: buckets.unwrap_or_else(usual),
        max_series: max_series.unwrap_or(SERIES),
        idle: idle.unwrap_or(IDLE),
    };
    if let Err(error) = setting.check() {
        report.add(
            offset,
            format!("metrics.custom `{}`: {error}", setting.name),
        );
        return None;
    }
    Some(setting)
}

fn list(section: &mut Section<'_>, key: &'static str) -> Vec<sextant_proto::flow::FlowFilter> {
    let lists = section.item(key).texts(|text| told(filters(text)));
    lists.unwrap_or_default().into_iter().flatten().collect()
}

fn label(name: &str, path: &str) -> Parsed<(String, Field)> {
    Ok((told(label_name(name))?, told(Field::parse(path))?))
}

fn help(text: &str) -> Parsed<String> {
    let is_odd = |c: char| c.is_control() || c == '\\';
    match text.trim().is_empty() || text.len() > HELP || text.contains(is_odd) {
        true => Err(format!(
            "is no help; write 1 to {HELP} bytes that can be printed, without a backslash"
        )),
        false => Ok(text.to_owned()),
    }
}

fn told<T>(result: Result<T, impl std::fmt::Display>) -> Parsed<T> {
    result.map_err(|error| error.to_string())
}
