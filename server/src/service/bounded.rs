//! Requests with filters: bounded on the wire, before they are decoded.
//!
//! A few bytes on the wire can be a kilobyte once decoded, so the bounds of
//! `filter::bounds` are held against the bytes. Bound: the message, whose length
//! the transport has bounded.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::Message;
use sextant_proto::{
    observer,
    sextant::{flow::v1 as flow, policy::v1 as policy},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

use super::error::invalid;
use crate::filter::bounds::{Excess, Most, check_encoded, check_within};

/// A request that is bounded so.
pub trait Bounded: Message + Default + Send + 'static {
    /// Full name of the message.
    const NAME: &'static str;

    /// Whether its bytes ask for too much.
    ///
    /// # Errors
    /// At which field they do.
    fn check(wire: &[u8]) -> Result<(), Excess> {
        check_encoded(wire, Self::NAME)
    }
}

impl Bounded for observer::GetFlowsRequest {
    const NAME: &'static str = "observer.GetFlowsRequest";
}

impl Bounded for flow::SummarizeFlowsRequest {
    const NAME: &'static str = "sextant.flow.v1.SummarizeFlowsRequest";
}

impl Bounded for flow::WatchFlowSummaryRequest {
    const NAME: &'static str = "sextant.flow.v1.WatchFlowSummaryRequest";
}

impl Bounded for flow::ListFilterHintsRequest {
    const NAME: &'static str = "sextant.flow.v1.ListFilterHintsRequest";
}

/// Of policies: each of the most that a set may have, by kind, namespace and name; how
/// large their documents may be is for the transport and the set.
const OF_POLICIES: Most = Most {
    values: 50_000,
    text: usize::MAX,
};

macro_rules! of_policies {
    ($($request:ident),*) => {$(
        impl Bounded for policy::$request {
            const NAME: &'static str = concat!("sextant.policy.v1.", stringify!($request));

            fn check(wire: &[u8]) -> Result<(), Excess> {
                check_within(wire, Self::NAME, OF_POLICIES)
            }
        }
    )*};
}

of_policies!(
    ApplyRequest,
    GetRequest,
    ListRequest,
    DeleteRequest,
    SetModeRequest,
    ConfirmRequest,
    ListRevisionsRequest,
    RollbackRequest,
    WatchRequest,
    EvaluateRequest,
    ExplainRequest,
    SimulateRequest,
    SuggestRequest,
    ListHitsRequest
);

/// Decodes a request within its bounds.
///
/// # Errors
/// `INVALID_ARGUMENT` for one that asks for too much, `INTERNAL` for what is no
/// request, as tonic has it.
#[allow(
    clippy::result_large_err,
    reason = "a status is what tonic's codecs give"
)]
pub fn decode<T: Bounded>(wire: &[u8]) -> Result<T, Status> {
    T::check(wire).map_err(|excess| invalid(&excess.field, &excess.bound))?;
    T::decode(wire).map_err(|error| Status::internal(error.to_string()))
}

/// Encodes responses as usual and decodes requests within their bounds.
#[derive(Debug)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Bounded> Codec for BoundedCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

/// Decodes one kind of request.
#[derive(Debug)]
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Bounded> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        decode(&message.copy_to_bytes(message.remaining())).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::bounds::MAX_FILTERS;

    #[test]
    fn empty_filters_are_counted_before_they_are_made() {
        fn refused<T: Bounded + std::fmt::Debug>(wire: &[u8]) -> Status {
            decode::<T>(wire).unwrap_err()
        }
        let many = |tag: u8| [tag, 0].repeat(2_000_000);
        let status = refused::<observer::GetFlowsRequest>(&many(0x32));
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let text =
            "whitelist[1024]: a request may have at most 1024 filters; divide it into several";
        assert_eq!(status.message(), text);
        for (name, status) in [
            (
                "SummarizeFlows",
                refused::<flow::SummarizeFlowsRequest>(&every(many, "whitelist", "SummarizeFlows")),
            ),
            (
                "ListFilterHints",
                refused::<flow::ListFilterHintsRequest>(&every(
                    many,
                    "blacklist",
                    "ListFilterHints",
                )),
            ),
        ] {
            assert!(status.message().contains("list[1024]"), "{name}: {status}");
        }
    }

    /// A request of this list alone, by the number of its field.
    fn every(many: impl Fn(u8) -> Vec<u8>, list: &str, method: &str) -> Vec<u8> {
        let pool = prost_reflect::DescriptorPool::decode(sextant_proto::DESCRIPTORS).unwrap();
        let name = format!("sextant.flow.v1.{method}Request");
        let message = pool.get_message_by_name(&name).unwrap();
        let number = message.get_field_by_name(list).unwrap().number();
        many((number << 3 | 2) as u8)
    }

    #[test]
    fn small_parts_of_a_large_set_are_counted_too() {
        let documents = [0x0a, 0].repeat(50_001);
        let status = decode::<policy::ApplyRequest>(&documents).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let text =
            "documents[50000]: a request may have at most 50000 values; divide it into several";
        assert_eq!(status.message(), text);
        let set = policy::DeleteRequest {
            policies: vec![
                policy::PolicyReference {
                    kind: 1,
                    namespace: "n".into(),
                    name: "n".into(),
                };
                10_000
            ],
            ..policy::DeleteRequest::default()
        };
        let wire = set.encode_to_vec();
        assert_eq!(decode::<policy::DeleteRequest>(&wire).unwrap(), set);
    }

    #[test]
    fn a_request_within_its_bounds_is_decoded_as_ever() {
        let request = observer::GetFlowsRequest {
            number: 7,
            whitelist: vec![sextant_proto::flow::FlowFilter::default(); MAX_FILTERS],
            ..observer::GetFlowsRequest::default()
        };
        let wire = request.encode_to_vec();
        assert_eq!(decode::<observer::GetFlowsRequest>(&wire).unwrap(), request);
        let cut = &wire[..wire.len() - 1];
        let status = decode::<observer::GetFlowsRequest>(cut).unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal);
    }
}
