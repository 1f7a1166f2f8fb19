//! The span of who calls, by the headers of W3C Trace Context
//! (https://www.w3.org/TR/trace-context/).
//!
//! Only what is well-formed is followed: else a trace begins here. Bound: `MAX_STATE`.

use http::HeaderMap;
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::traceparent::is_well_formed;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
/// Bytes of `tracestate` that are passed on: what vendors should pass on at least. Without
/// the rest it would say something else, so a longer one is left out.
const MAX_STATE: usize = 512;

/// The parent of a call, or none.
#[must_use]
pub fn parent(headers: &HeaderMap) -> Context {
    let traced = Traced {
        parent: one(headers),
        state: state(headers),
    };
    TraceContextPropagator::new().extract_with_context(&Context::new(), &traced)
}

/// What is well-formed of the headers.
struct Traced<'h> {
    parent: Option<&'h str>,
    state: Option<String>,
}

impl Extractor for Traced<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            PARENT => self.parent,
            STATE => self.state.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}

/// The only `traceparent`: of several nobody knows which is meant. The propagator judges
/// what its digits say.
fn one(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(PARENT).iter();
    let (first, others) = (all.next()?, all.next());
    let text = first.to_str().ok()?;
    (others.is_none() && is_well_formed(text.as_bytes())).then_some(text)
}

/// One list, of however many headers.
fn state(headers: &HeaderMap) -> Option<String> {
    let mut state = String::new();
    for header in headers.get_all(STATE) {
        let part = header.to_str().ok()?;
        if state.len() + part.len() >= MAX_STATE {
            return None;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(part);
    }
    (!state.is_empty()).then_some(state)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use opentelemetry::trace::TraceContextExt as _;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(headers: &[(&'static str, &str)]) -> Option<(String, bool, String)> {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        let context = parent(&headers.collect());
        let span = context.span();
        let context = span.span_context();
        context.is_valid().then(|| {
            let id = format!("{}-{}", context.trace_id(), context.span_id());
            (id, context.is_sampled(), context.trace_state().header())
        })
    }

    #[test]
    fn a_well_formed_parent_is_followed_with_its_flag() {
        let id = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        let unsampled = GOOD.replace("-01", "-00");
        let later = GOOD.replacen("00", "cc", 1);
        let longer = format!("{later}-what.comes.later");
        // Flags that nobody knows yet are passed over.
        let flags = GOOD.replace("-01", "-ff");
        for (text, is_sampled) in [
            (GOOD, true),
            (&unsampled, false),
            (&later, true),
            (&longer, true),
            (&flags, true),
        ] {
            let expect = Some((id.into(), is_sampled, String::new()));
            assert_eq!(of(&[(PARENT, text)]), expect, "{text}");
        }
    }

    #[test]
    fn a_malformed_parent_is_none() {
        let bad = [
            "",
            "-",
            "00",
            "00---",
            "0-1-2-3",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-0b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for text in bad {
            assert_eq!(of(&[(PARENT, text)]), None, "{text:?}");
        }
        assert_eq!(of(&[(PARENT, GOOD), (PARENT, GOOD)]), None);
        let long = "1".repeat(10_000);
        assert_eq!(of(&[(PARENT, &long)]), None);
    }

    #[test]
    fn a_state_goes_on_with_its_parent_alone_and_is_bounded() {
        let state = |states: &[&str]| {
            let mut headers = vec![(PARENT, GOOD)];
            headers.extend(states.iter().map(|state| (STATE, *state)));
            of(&headers).unwrap().2
        };
        assert_eq!(state(&["a=1,b=2", "c=3"]), "a=1,b=2,c=3");
        assert_eq!(state(&["no list"]), "");
        assert_eq!(state(&[&format!("a={}", "x".repeat(600))]), "");
        assert_eq!(state(&["a=1"; 200]), "");
        assert_eq!(of(&[(STATE, "a=1")]), None);
    }
}
