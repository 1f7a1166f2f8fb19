//! `[[grant]]` and `[[token]]`: who may do what.

use globset::GlobBuilder;
use sextant_proto::flow::FlowFilter;

use super::{
    Grant, Role, Sees, Token, Who,
    item::Item,
    listeners::role,
    names,
    report::Once,
    section::Section,
    values::{self, Parsed},
};
use crate::{filter::Filters, flow::redaction::Sensitive};

/// All `[[grant]]`.
pub(super) fn grants(top: &mut Section<'_>, tokens: &[Token]) -> Vec<Grant> {
    let sections = top.sections("grant").into_iter();
    sections.map(|section| grant(section, tokens)).collect()
}

/// All `[[token]]`; each name once.
pub(super) fn tokens(top: &mut Section<'_>) -> Vec<Token> {
    let mut once = Once::new(top.report());
    let sections = top.sections("token").into_iter();
    let tokens = sections.filter_map(|mut section| {
        let name = section.required("name").text(names::host);
        let file = section.required("file").text(values::path);
        if let Some(name) = &name {
            once.see(format!("token `{name}`"), section.offset());
        }
        section.finish();
        Some(Token {
            name: name?,
            file: file?,
        })
    });
    tokens.collect()
}

fn grant(mut section: Section<'_>, tokens: &[Token]) -> Grant {
    let role = section.required("role").text(role);
    let to = section.required("to").texts(who);
    if to.as_ref().is_some_and(Vec::is_empty) {
        section.wrong("is for nobody; name somebody in `to`".into());
    }
    for who in to.iter().flatten() {
        if let Who::Token(name) = who
            && !tokens.iter().any(|token| token.name == *name)
        {
            section.wrong(format!(
                "names the token `{name}`; add a [[token]] of that name"
            ));
        }
    }
    let sees = sees(&mut section);
    if sees != Sees::default() && role.is_some_and(|role| role != Role::Viewer) {
        section.wrong("limits what is seen, which is for the role `viewer`; leave out `namespaces`, `labels` and `redact`".into());
    }
    section.finish();
    Grant {
        role,
        to: to.unwrap_or_default(),
        sees,
    }
}

fn sees(section: &mut Section<'_>) -> Sees {
    let some = |item: Item<'_>, parse: fn(&str) -> Parsed<String>| {
        let texts = item.texts(parse);
        (
            texts.as_ref().is_some_and(Vec::is_empty),
            texts.unwrap_or_default(),
        )
    };
    let (no_namespace, namespaces) = some(section.item("namespaces"), names::group);
    let (no_label, labels) = some(section.item("labels"), selector);
    if no_namespace || no_label {
        // A list that is empty by mistake must not show everything.
        section.wrong("has an empty list, of which nothing could be seen; leave out `namespaces` and `labels` to show all flows".into());
    }
    let redact = section.item("redact").texts(sensitive);
    Sees {
        namespaces,
        labels,
        redact: redact.unwrap_or_default(),
    }
}

/// A label selector as filters take it.
fn selector(text: &str) -> Parsed<String> {
    let filter = FlowFilter {
        source_label: vec![text.to_owned()],
        ..FlowFilter::default()
    };
    match Filters::compile(&[filter], &[]) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        Ok(_) => Err("an empty selector selects everything; write `key=value`".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn sensitive(text: &str) -> Parsed<Sensitive> {
    let mut all = Sensitive::ALL.into_iter();
    all.find(|one| one.name() == text).ok_or_else(|| {
        let names = Sensitive::ALL.map(Sensitive::name).join("`, `");
        format!("`{text}` cannot be hidden; what can is `{names}`")
    })
}

/// `KIND:PATTERN`, or `loopback`, or `anyone`.
fn who(text: &str) -> Parsed<Who> {
    match text {
        "loopback" => return Ok(Who::Loopback),
        "anyone" => return Ok(Who::Anyone),
        _ => {}
    }
    let wrong = || {
        format!(
            "`{text}` names nobody; write `uid:NUMBER`, `group:NAME`, `cn:PATTERN`, `dns:PATTERN`, \
             `uri:PATTERN`, `subject:PATTERN`, `token:NAME`, `loopback` or `anyone`"
        )
    };
    let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
    let pattern = || {
        let glob = GlobBuilder::new(value).literal_separator(false).build();
        match glob {
            Ok(_) if !value.is_empty() => Ok(value.to_owned()),
            Ok(_) => Err(format!("`{text}` has no pattern")),
            Err(error) => Err(format!("`{text}` is no pattern: {}", error.kind())),
        }
    };
    match kind {
        "uid" => value.parse().map(Who::User).map_err(|_| wrong()),
        "group" => Ok(Who::Group(names::system_group(value)?.ok_or_else(wrong)?)),
        "cn" => pattern().map(Who::CommonName),
        "dns" => pattern().map(Who::DnsName),
        "uri" => pattern().map(Who::Uri),
        "subject" => pattern().map(Who::Subject),
        "token" => names::host(value).map(Who::Token),
        _ => Err(wrong()),
    }
}
