//! Tests of the filter engine: tables by family, and properties.

mod address;
mod cost;
mod error;
mod label;
mod naive;
mod name;
mod plain;
mod property;

use sextant_proto::flow as pb;

use super::Filters;
use crate::flow::{Flow, Interners, proto::from_proto};

fn flow(flow: pb::Flow) -> Flow {
    from_proto(flow, &mut Interners::default())
}

/// Asserts what a single filter says of a flow, on either list.
#[track_caller]
fn check(filter: pb::FlowFilter, of: pb::Flow, wanted: bool) {
    let of = flow(of);
    let compile = |white, black| Filters::compile(white, black).expect("a valid filter");
    let one = [filter];
    assert_eq!(compile(&one, &[]).matches(&of).unwrap(), wanted, "{one:?}");
    assert_eq!(compile(&[], &one).matches(&of).unwrap(), !wanted, "{one:?}");
}

/// Asserts the text with which a filter is refused.
#[track_caller]
fn check_refused(filter: pb::FlowFilter, text: &str) {
    let error = Filters::compile(&[filter], &[]).expect_err("an invalid filter");
    assert_eq!(error.to_string(), text);
}

/// Texts as the lists of a filter hold them.
fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn no_filter_passes_everything() {
    let mut filters = Filters::compile(&[], &[]).expect("nothing to refuse");
    assert!(filters.is_empty());
    assert!(filters.matches(&Flow::default()).unwrap());
}

#[test]
fn an_empty_filter_matches_everything() {
    check(pb::FlowFilter::default(), pb::Flow::default(), true);
}

#[test]
fn fields_and_values_and_filters_combine() {
    let verdict = |verdicts: &[i32], direction: &[i32]| pb::FlowFilter {
        verdict: verdicts.into(),
        traffic_direction: direction.into(),
        ..Default::default()
    };
    let of = flow(pb::Flow {
        verdict: 2,
        traffic_direction: 1,
        ..Default::default()
    });
    for (white, black, wanted) in [
        (vec![verdict(&[1, 2], &[1])], vec![], true),
        (vec![verdict(&[2], &[2])], vec![], false),
        (vec![verdict(&[1], &[]), verdict(&[2], &[])], vec![], true),
        (vec![verdict(&[2], &[])], vec![verdict(&[], &[1])], false),
        (vec![], vec![verdict(&[1], &[]), verdict(&[2], &[])], false),
        (vec![], vec![verdict(&[1], &[])], true),
    ] {
        let mut filters = Filters::compile(&white, &black).expect("valid");
        assert_eq!(filters.matches(&of).unwrap(), wanted, "{white:?} {black:?}");
    }
}
