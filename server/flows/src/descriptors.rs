//! The descriptors of the protos, for messages whose type is known at run time alone.
//!
//! One pool for all that need one, made when the first does, since it takes megabytes:
//! what is asked for with each request has `shape` instead.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(read);

/// All messages that this build knows.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// A message by its full name.
#[must_use]
pub fn message(name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(name)
}

/// A well-known type by its full name, such as `google.protobuf.Timestamp`, of the few
/// that have a small pool of their own. As content of an `Any` it knows these alone.
pub(crate) fn well_known(name: &str) -> Option<MessageDescriptor> {
    DescriptorPool::global().get_message_by_name(name)
}

/// A pool that is nobody else's.
pub(crate) fn read() -> DescriptorPool {
    DescriptorPool::decode(sextant_proto::DESCRIPTORS).expect("the build made them")
}
