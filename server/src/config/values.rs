//! Words to values: what file, environment and flags have in common.
//!
//! Pure. An error is the reason for people: it names what was given and what
//! to write instead; the caller adds the place.

use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use globset::Glob;
use ipnet::IpNet;

use crate::process;

/// Longest name of an interface (`IFNAMSIZ` without its final zero).
const MAX_INTERFACE: usize = 15;

/// A value, or why there is none.
pub(super) type Parsed<T> = Result<T, String>;

/// A number as a word.
pub(super) fn number<T>(text: &str, range: &RangeInclusive<T>) -> Parsed<T>
where
    T: FromStr + PartialOrd + Display,
{
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "`{text}` does not fit; give a whole number from {} to {}",
                range.start(),
                range.end()
            )
        })
}

/// `yes` and `no`, in the usual spellings.
pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!(
            "`{text}` is neither true nor false; write `true` or `false`"
        )),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Parsed<T> {
    let found = choices.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        let (last, others) = words
            .split_last()
            .map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
        format!(
            "`{text}` is not a choice; write {} or {last}",
            others.join(", ")
        )
    })
}

/// The path of network namespaces; its last part may be a glob.
pub(super) fn namespace_path(text: &str) -> Parsed<String> {
    let path = Path::new(text);
    let wildcard = |part: &Path| part.to_string_lossy().contains(['*', '?', '[', '{']);
    if !path.is_absolute() || path.file_name().is_none() {
        return Err(format!(
            "`{text}` is not the path of a network namespace; write for example `/run/netns/blue`"
        ));
    }
    if path.parent().is_some_and(wildcard) {
        return Err(format!(
            "`{text}` has a wildcard before its last part; name the folder"
        ));
    }
    // A file may have any name, also a longer one than an interface.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    wildcards(&name).map(|()| text.to_owned())
}

/// `500ms`, `1s`, `5m`, `1h`, and sums such as `1m30s`.
pub(super) fn duration(text: &str, range: &RangeInclusive<Duration>) -> Parsed<Duration> {
    let duration = sum_of_units(text).ok_or_else(|| {
        format!("`{text}` is not a duration; write for example `500ms`, `1s`, `5m` or `1m30s`")
    })?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    Err(format!(
        "`{text}` does not fit; give {:?} to {:?}",
        range.start(),
        range.end()
    ))
}

fn sum_of_units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (digits, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, next) = split_where(after, |c| c.is_ascii_digit());
        let count: u64 = digits.parse().ok()?;
        let part = match unit {
            "ms" => Duration::from_millis(count),
            "s" => Duration::from_secs(count),
            "m" => Duration::from_secs(count.checked_mul(60)?),
            "h" => Duration::from_secs(count.checked_mul(3600)?),
            _ => return None,
        };
        sum = sum.checked_add(part)?;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// A path; whether it exists is found out by who opens it.
pub(super) fn path<P: AsRef<Path> + ?Sized>(path: &P) -> Parsed<PathBuf> {
    let path = path.as_ref();
    if path.as_os_str().is_empty() {
        return Err("the path is empty; name a file or folder".into());
    }
    Ok(path.into())
}

/// The same, or empty for none.
pub(super) fn optional_path(text: &str) -> Parsed<Option<PathBuf>> {
    match text {
        "" => Ok(None),
        text => path(text).map(Some),
    }
}

/// A file like `/etc/hosts`, or `off`.
pub(super) fn hosts_file(text: &str) -> Parsed<Option<PathBuf>> {
    match text {
        "off" => Ok(None),
        _ if Path::new(text).is_absolute() && !text.contains('\0') => Ok(Some(text.into())),
        _ => Err(format!(
            "`{text}` is no absolute path; write `/etc/hosts`, or `off` for none"
        )),
    }
}

/// The file of the audit log: a name in the state folder, or an absolute path.
pub(super) fn audit_file(text: &str) -> Parsed<PathBuf> {
    let path = Path::new(text);
    let is_name = path.file_name() == Some(path.as_os_str());
    if text.contains('\0') || path.file_name().is_none() || text.ends_with('/') {
        return Err(format!(
            "`{text}` names no file; write for example `audit.jsonl` or `/var/log/sextant/audit.jsonl`"
        ));
    }
    if !is_name && !path.is_absolute() {
        return Err(format!(
            "`{text}` is neither a name in the state folder nor an absolute path; write for example `audit.jsonl` or `/var/log/sextant/audit.jsonl`, or `journal` or `off`"
        ));
    }
    Ok(path.into())
}

/// A pattern of interface names.
pub(super) fn glob(text: &str) -> Parsed<String> {
    if let Some(pattern) = text.strip_prefix('!') {
        return Err(format!(
            "`{text}` would match nothing; exclude interfaces with `exclude = [\"{pattern}\"]` in [datapath]"
        ));
    }
    if !text.contains(['*', '?', '[', '{', '\\']) {
        return interface(text);
    }
    wildcards(text).map(|()| text.to_owned())
}

/// A regular expression that can be afforded.
pub(super) fn regex(text: &str) -> Parsed<String> {
    match process::command_line::compile(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err("the pattern is empty; leave it out".into()),
        Err(_) => Err(format!(
            "`{text}` is no regular expression, or too large a one; write for example `--pin (\\d+)`"
        )),
    }
}

/// A glob of any names.
fn wildcards(text: &str) -> Parsed<()> {
    Glob::new(text).map(drop).map_err(|error| {
        format!(
            "`{text}` is not a glob: {}; write for example `eth*` or `{{eth,ens}}*`",
            error.kind()
        )
    })
}

/// The name of one interface, by the kernel's rules.
pub(super) fn interface(text: &str) -> Parsed<String> {
    let wrong = text.is_empty() || text.len() > MAX_INTERFACE || matches!(text, "." | "..");
    if wrong || text.contains(|c: char| c.is_whitespace() || c.is_control() || "/:*?[{".contains(c))
    {
        return Err(format!(
            "`{text}` is not the name of an interface; `ip link` lists them (at most {MAX_INTERFACE} bytes, no space, `/`, `:` or wildcard)"
        ));
    }
    Ok(text.to_owned())
}

/// An address; IPv4 in its IPv6 form counts as IPv4, as packets have it.
pub(super) fn address(text: &str) -> Parsed<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical()),
        Err(_) if text.parse::<IpNet>().is_ok() => Err(format!(
            "`{text}` is a range, not an address; put it into `cidrs`"
        )),
        Err(_) => Err(format!(
            "`{text}` is not an IP address; write for example `10.0.0.7` or `fd00::7`"
        )),
    }
}

/// A range of addresses.
pub(super) fn cidr(text: &str) -> Parsed<IpNet> {
    match text.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => Err(format!(
            "`{text}` has bits beyond its prefix; write `{}`",
            net.trunc()
        )),
        Err(_) => Err(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => format!("`{text}` has no prefix length; write `{text}/32`"),
            Ok(IpAddr::V6(_)) => format!("`{text}` has no prefix length; write `{text}/128`"),
            Err(_) => format!(
                "`{text}` is not an address range; write for example `{}/8` or `fd00::/8`",
                Ipv4Addr::new(10, 0, 0, 0)
            ),
        }),
    }
}
