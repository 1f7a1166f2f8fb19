//! The page in Prometheus' older text format (0.0.4), for who does not read OpenMetrics:
//! made of the lines of that. Differences: names of counters have their `_total` in all
//! lines, and there are no exemplars, units and end.

/// Whether somebody who sends this `Accept` wants the older format: it names that, and not
/// OpenMetrics.
pub(super) fn is_wanted(accept: &str) -> bool {
    accept.contains("text/plain") && !accept.contains("application/openmetrics-text")
}

/// The same page in the older format.
pub(super) fn plain(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let ending = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                out.extend(["# HELP ", name, ending, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, ending, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([without_exemplar(line), "\n"]);
        }
    }
    out
}

/// A series and its value.
fn without_exemplar(line: &str) -> &str {
    let value = behind_labels(line);
    match line[value..].find(" # ") {
        Some(at) => &line[..value + at],
        None => line,
    }
}

/// Where the labels of a series end; values may have any character in them.
fn behind_labels(line: &str) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return at,
            b' ' if !is_quoted => return at,
            _ => {}
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_openmetrics_gets_it_and_who_says_nothing_too() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, is) in [
            (prometheus, false),
            ("*/*", false),
            ("", false),
            ("text/plain", true),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", true),
        ] {
            assert_eq!(is_wanted(accept), is, "{accept}");
        }
    }

    #[test]
    fn counters_have_their_ending_and_exemplars_are_left_out() {
        let page = "# HELP a Some # thing.\n# TYPE a counter\n# UNIT a bytes\n\
                    a_total{b=\"x } # {y\\\" # \"} 3 # {traceID=\"1\"} 1.0 2.0\na_total 4\n\
                    # HELP h H\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 2 # {traceID=\"2\"} 0.5\nh_sum 1.5\n\
                    # TYPE g gauge\ng -1\n# EOF\n";
        let plain = "# HELP a_total Some # thing.\n# TYPE a_total counter\n\
                     a_total{b=\"x } # {y\\\" # \"} 3\na_total 4\n\
                     # HELP h H\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_sum 1.5\n\
                     # TYPE g gauge\ng -1\n";
        assert_eq!(super::plain(page), plain);
    }
}
