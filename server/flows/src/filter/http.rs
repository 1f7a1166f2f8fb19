//! HTTP records: status, method, path, URL and headers.

use pb::layer7::Record;
use sextant_proto::flow as pb;

use super::{
    Checks, FilterError, HttpField,
    regexp::{Regexp, some_matches},
    set::Pairs,
    text::Folded,
    uri,
};
use crate::flow::{Flow, sketch::Application};

/// Type of L7 events, which HTTP filters ask for.
const ACCESS_LOG: i32 = 129;

/// Compiles the five `http_*` fields.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    if !filter.http_status_code.is_empty() {
        require_l7(filter, checks, HttpField::StatusCode)?;
        let statuses = filter.http_status_code.iter().map(|s| Status::compile(s));
        let statuses: Vec<_> = statuses.collect::<Result<_, _>>()?;
        checks.plain(move |flow| {
            http(flow).is_some_and(|http| statuses.iter().any(|s| s.matches(http.code)))
        });
    }
    if !filter.http_method.is_empty() {
        require_l7(filter, checks, HttpField::Method)?;
        checks.budget.texts("http_method", &filter.http_method)?;
        let methods: Vec<_> = filter.http_method.iter().map(|m| Folded::new(m)).collect();
        checks.plain(move |flow| {
            let method = http(flow).map(|http| http.method.as_str());
            let method = method.filter(|method| !method.is_empty());
            method.is_some_and(|method| methods.iter().any(|m| m.equals(method)))
        });
    }
    compile_url(filter, checks)?;
    if !filter.http_header.is_empty() {
        require_l7(filter, checks, HttpField::Headers)?;
        let headers = filter.http_header.iter();
        let wanted: Pairs = headers
            .map(|h| (h.key.as_str(), h.value.as_str()))
            .collect();
        checks.plain(move |flow| {
            http(flow).is_some_and(|http| {
                let mut headers = http.headers.iter();
                headers.any(|header| wanted.contains(&header.key, &header.value))
            })
        });
    }
    Ok(())
}

/// Compiles `http_path` and `http_url`. A URL that Go would not parse has no path.
fn compile_url(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    if !filter.http_path.is_empty() {
        require_l7(filter, checks, HttpField::Path)?;
        let patterns = compile_patterns(checks, HttpField::Path, &filter.http_path)?;
        checks.costly(move |flow, meter| {
            let path = url(flow).and_then(uri::request_path);
            path.is_some_and(|path| some_matches(&patterns, &path, meter))
        });
    }
    if !filter.http_url.is_empty() {
        require_l7(filter, checks, HttpField::Url)?;
        let patterns = compile_patterns(checks, HttpField::Url, &filter.http_url)?;
        checks.costly(move |flow, meter| {
            url(flow).is_some_and(|url| some_matches(&patterns, url, meter))
        });
    }
    Ok(())
}

fn compile_patterns(
    checks: &mut Checks,
    field: HttpField,
    patterns: &[String],
) -> Result<Vec<(String, Regexp)>, FilterError> {
    let wrong = |pattern: &str, reason| FilterError::HttpPattern {
        field,
        pattern: pattern.into(),
        reason,
    };
    let name = match field {
        HttpField::Path => "http_path",
        _ => "http_url",
    };
    checks.budget.regexps(name, patterns, wrong)
}

/// Only HTTP records match, and the filter must not ask for other events alone.
fn require_l7(
    filter: &pb::FlowFilter,
    checks: &mut Checks,
    field: HttpField,
) -> Result<(), FilterError> {
    checks.forbidden.only_applications(&[Application::Http]);
    let types = &filter.event_type;
    if types.is_empty() || types.iter().any(|t| t.r#type == ACCESS_LOG) {
        Ok(())
    } else {
        Err(FilterError::NotL7(field))
    }
}

fn http(flow: &Flow) -> Option<&pb::Http> {
    match flow.l7()?.record.as_ref()? {
        Record::Http(http) => Some(http),
        _ => None,
    }
}

fn url(flow: &Flow) -> Option<&str> {
    http(flow)
        .map(|http| http.url.as_str())
        .filter(|url| !url.is_empty())
}

/// A status code or its first digits.
#[derive(Debug)]
enum Status {
    /// This code.
    Full(u32),
    /// Codes that begin with `digits`, which is below `below`.
    Prefix {
        /// One or two digits.
        digits: u32,
        /// 10 or 100.
        below: u32,
    },
}

impl Status {
    /// `404`, `4+` or `40+`; the first digit is 1 to 5.
    fn compile(text: &str) -> Result<Self, FilterError> {
        let invalid = || FilterError::HttpStatus(text.into());
        let digits = text.strip_suffix('+').unwrap_or(text);
        let valid = digits.bytes().all(|b| b.is_ascii_digit())
            && matches!(digits.bytes().next(), Some(b'1'..=b'5'));
        if !valid {
            return Err(invalid());
        }
        let number = digits.parse().map_err(|_| invalid())?;
        match (digits.len(), digits.len() < text.len()) {
            (3, false) => Ok(Self::Full(number)),
            (1, true) => Ok(Self::Prefix {
                digits: number,
                below: 10,
            }),
            (2, true) => Ok(Self::Prefix {
                digits: number,
                below: 100,
            }),
            _ => Err(invalid()),
        }
    }

    /// Codes below 100 are written with leading zeros, so they never match.
    fn matches(&self, mut code: u32) -> bool {
        match *self {
            Self::Full(wanted) => code == wanted,
            Self::Prefix { digits, below } => {
                if code < 100 {
                    return false;
                }
                while code >= below {
                    code /= 10;
                }
                code == digits
            }
        }
    }
}
