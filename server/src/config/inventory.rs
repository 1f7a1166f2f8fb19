//! Endpoints of the file.

use super::{
    Endpoint, names,
    report::Once,
    section::Section,
    values::{self, Parsed},
};

/// All `[[endpoint]]`; each name, address, range and interface once.
pub(super) fn endpoints(top: &mut Section<'_>) -> Vec<Endpoint> {
    let mut once = Once::new(top.report());
    top.sections("endpoint")
        .into_iter()
        .map(|section| endpoint(section, &mut once))
        .collect()
}

fn endpoint(mut section: Section<'_>, once: &mut Once<'_>) -> Endpoint {
    let name = section.required("name").text(names::free);
    let namespace = section.item("namespace").text(names::group);
    if let Some(name) = &name {
        let whole = match &namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.clone(),
        };
        once.see(format!("endpoint `{whole}`"), section.offset());
    }
    let placed = ["addresses", "cidrs", "interfaces"];
    if placed.iter().all(|key| section.item(key).is_empty()) {
        let keys = placed.join("`, `");
        section.wrong(format!("is nowhere; give at least one of `{keys}`"));
    }
    let endpoint = Endpoint {
        name: name.unwrap_or_default(),
        namespace: namespace.unwrap_or_default(),
        labels: section
            .item("labels")
            .labels(names::endpoint_label)
            .unwrap_or_default(),
        workload: workload(&mut section),
        addresses: claimed(&mut section, "addresses", values::address, once),
        cidrs: claimed(&mut section, "cidrs", values::cidr, once),
        interfaces: claimed(&mut section, "interfaces", values::interface, once),
    };
    section.finish();
    endpoint
}

fn workload(endpoint: &mut Section<'_>) -> Option<(String, String)> {
    let mut section = endpoint.section("workload")?;
    let name = section.required("name").text(names::free);
    let kind = section.required("kind").text(names::group);
    section.finish();
    name.zip(kind)
}

/// A list of what belongs to one endpoint only.
fn claimed<T: std::fmt::Display>(
    endpoint: &mut Section<'_>,
    key: &'static str,
    parse: fn(&str) -> Parsed<T>,
    once: &mut Once<'_>,
) -> Vec<T> {
    let places = endpoint.item(key).places(parse).unwrap_or_default();
    let mut values = Vec::with_capacity(places.len());
    for (value, offset) in places {
        once.see(format!("endpoint.{key}: `{value}`"), offset);
        values.push(value);
    }
    values
}
