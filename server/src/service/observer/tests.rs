mod followers;
mod slow;
mod times;

use prost::Message as _;
use prost_types::Timestamp;
use sextant_proto::observer::{
    GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
};
use tonic::{Code, Status};

use super::{put_flow, query::Query};
use crate::{
    flow::{Flow, Interners, Origin, Time},
    mask::Mask,
    selection::View,
    service::error::check_time,
};

fn flow() -> Flow {
    Flow {
        time: Some(Time::from_nanos(1_500_000_000)),
        origin: Interners::default().origins.intern(Origin {
            node_name: "east/node".into(),
            ..Origin::default()
        }),
        ..Flow::default()
    }
}

fn decoded(mask: &[&str]) -> GetFlowsResponse {
    let paths: Vec<String> = mask.iter().map(|path| (*path).to_owned()).collect();
    let mask = Mask::compile(&paths).unwrap();
    let mut framed = Vec::new();
    put_flow(&flow(), mask.as_ref(), &mut Vec::new(), &mut framed);
    let (prefix, message) = framed.split_at(5);
    assert_eq!(prefix[1..], (message.len() as u32).to_be_bytes());
    GetFlowsResponse::decode(message).unwrap()
}

#[test]
fn time_and_node_of_a_response_are_those_of_the_masked_flow() {
    let whole = decoded(&[]);
    assert_eq!(whole.node_name, "east/node");
    assert_eq!(
        whole.time,
        Some(Timestamp {
            seconds: 1,
            nanos: 500_000_000
        })
    );
    let without = decoded(&["verdict"]);
    assert_eq!((without.node_name.as_str(), without.time), ("", None));
    let part = decoded(&["time.seconds", "node_name"]);
    assert_eq!(
        part.time,
        Some(Timestamp {
            seconds: 1,
            nanos: 0
        })
    );
    let Some(ResponseTypes::Flow(flow)) = part.response_types else {
        panic!("not a flow");
    };
    assert_eq!(flow.node_name, "east/node");
}

#[test]
fn times_out_of_range_are_refused_in_the_words_of_go() {
    let check = |seconds, nanos, expected: &str| {
        let error = check_time(Some(&Timestamp { seconds, nanos })).unwrap_err();
        assert_eq!(error.to_string(), format!("proto: timestamp {expected}"));
    };
    check(
        -62_135_596_801,
        0,
        "(seconds:-62135596801) before 0001-01-01",
    );
    check(
        253_402_300_800,
        0,
        "(seconds:253402300800) after 9999-12-31",
    );
    check(
        1,
        1_000_000_000,
        "(seconds:1 nanos:1000000000) has out-of-range nanos",
    );
    check(0, -1, "(nanos:-1) has out-of-range nanos");
    assert!(check_time(Some(&Timestamp::default())).is_ok());
}

#[test]
fn only_first_with_follow_is_an_invalid_argument() {
    let code = |request: GetFlowsRequest| match Query::compile(request, &View::WHOLE) {
        Ok(_) => Code::Ok,
        Err(error) => Status::from(error).code(),
    };
    let first_and_follow = GetFlowsRequest {
        first: true,
        follow: true,
        ..GetFlowsRequest::default()
    };
    assert_eq!(code(first_and_follow), Code::InvalidArgument);
    let bad_mask = GetFlowsRequest {
        field_mask: Some(prost_types::FieldMask {
            paths: vec!["nothing".into()],
        }),
        ..GetFlowsRequest::default()
    };
    assert_eq!(code(bad_mask), Code::Unknown);
    assert_eq!(code(GetFlowsRequest::default()), Code::Ok);
}
