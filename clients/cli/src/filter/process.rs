//! Filters on the process behind a side, which Hubble has no field for: expressions
//! over what Sextant puts in `Flow.extensions`.

use sextant_proto::flow::{FlowFilter, Workload, flow_filter::Experimental};

/// The kind of workload that a unit is.
const UNIT: &str = "Unit";

/// Digits of a container's id that are shown, and all of them.
const ID: std::ops::RangeInclusive<usize> = 12..=64;

/// What is asked of the process behind one side; of each kind of term one must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Terms {
    processes: Vec<String>,
    users: Vec<String>,
    containers: Vec<String>,
}

impl Terms {
    /// A process by its executable's name, its path, or its number.
    pub(super) fn process(&mut self, side: &str, value: &str) {
        let process = format!("_flow.extensions.{side}_process");
        let text = quoted(value);
        self.processes.push(match value {
            number if is_number(number) => format!("{process}.pid == {number}.0"),
            path if path.contains('/') => format!("{process}.exe == {text}"),
            name => format!(
                "{process}.exe.endsWith({}) || {process}.name == {text}",
                quoted(&format!("/{name}"))
            ),
        });
    }

    /// A user by its name or number.
    pub(super) fn user(&mut self, side: &str, value: &str) {
        let process = format!("_flow.extensions.{side}_process");
        self.users.push(match is_number(value) {
            true => format!("{process}.uid == {value}.0"),
            false => format!("{process}.user == {}", quoted(value)),
        });
    }

    /// A container by its name, or by its id, or the first digits of that.
    pub(super) fn container(&mut self, side: &str, value: &str) {
        let container = format!("_flow.extensions.{side}_process.container");
        let text = quoted(value);
        let is_id = ID.contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        let by_id = match is_id {
            true => format!("{container}.startsWith({text})"),
            false => format!("{container} == {text}"),
        };
        self.containers
            .push(format!("{container}_name == {text} || {by_id}"));
    }

    /// Adds them to what the filter asks for by expressions, one of which must hold.
    pub(super) fn add_to(&self, filter: &mut FlowFilter) {
        let all: Vec<String> = [&self.processes, &self.users, &self.containers]
            .into_iter()
            .filter(|terms| !terms.is_empty())
            .map(|terms| {
                let terms: Vec<String> = terms.iter().map(|term| format!("({term})")).collect();
                format!("({})", terms.join(" || "))
            })
            .collect();
        if all.is_empty() {
            return;
        }
        let all = all.join(" && ");
        let experimental = filter
            .experimental
            .get_or_insert_with(Experimental::default);
        let given = &mut experimental.cel_expression;
        match given.is_empty() {
            true => given.push(all),
            false => given
                .iter_mut()
                .for_each(|expression| *expression = format!("({expression}) && {all}")),
        }
    }
}

/// A unit as systemctl takes it: without a suffix it is a service.
pub(super) fn unit(value: &str) -> Workload {
    let name = match value.rsplit_once('.') {
        Some((_, "service" | "scope" | "slice" | "socket" | "mount" | "swap")) => value.to_owned(),
        _ => format!("{value}.service"),
    };
    Workload {
        name,
        kind: UNIT.into(),
    }
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text of CEL.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expressions(terms: &Terms, given: &[&str]) -> Vec<String> {
        let mut filter = FlowFilter::default();
        if !given.is_empty() {
            let given = given.iter().map(|text| (*text).to_owned()).collect();
            filter.experimental = Some(Experimental {
                cel_expression: given,
            });
        }
        terms.add_to(&mut filter);
        filter.experimental.unwrap().cel_expression
    }

    #[test]
    fn values_of_a_flag_are_alternatives_and_flags_hold_together() {
        let mut terms = Terms::default();
        terms.process("source", "/usr/bin/curl");
        terms.process("source", "7");
        terms.user("source", "web");
        let all = "((_flow.extensions.source_process.exe == \"/usr/bin/curl\") || \
                   (_flow.extensions.source_process.pid == 7.0)) && \
                   ((_flow.extensions.source_process.user == \"web\"))";
        assert_eq!(expressions(&terms, &[]), [all]);
        assert_eq!(
            expressions(&terms, &["true", "a || b"]),
            [format!("(true) && {all}"), format!("(a || b) && {all}")]
        );
    }

    #[test]
    fn a_container_is_known_by_its_name_and_by_its_id() {
        let mut terms = Terms::default();
        terms.container("source", "api-1");
        terms.container("source", "4f1c1b8e5a0d");
        let of = "_flow.extensions.source_process.container";
        let all = format!(
            "((({of}_name == \"api-1\" || {of} == \"api-1\") || \
             ({of}_name == \"4f1c1b8e5a0d\" || {of}.startsWith(\"4f1c1b8e5a0d\"))))"
        );
        assert_eq!(
            expressions(&terms, &[]),
            [all.replacen("(((", "((", 1).replacen("))))", ")))", 1)]
        );
    }

    #[test]
    fn a_value_cannot_be_more_than_a_text() {
        assert_eq!(quoted("a\"b\\\n"), "\"a\\\"b\\\\\\u000a\"");
    }

    #[test]
    fn a_unit_without_a_suffix_is_a_service() {
        assert_eq!(unit("nginx").name, "nginx.service");
        assert_eq!(unit("srv-nfs.mount").name, "srv-nfs.mount");
        assert_eq!(unit("session-2.scope").name, "session-2.scope");
        assert_eq!(unit("a.b").name, "a.b.service");
    }
}
