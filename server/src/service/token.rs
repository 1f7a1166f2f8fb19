//! What tokens of pages have in common: they hold for one request.
//!
//! A token is no secret and grants nothing: it says where a page begins.

use std::hash::{DefaultHasher, Hasher as _};

/// What is wrong with a token of another request, or with none that was made here.
pub(super) const NOT_OF_THIS: &str =
    "is not of this request; begin with none, and change nothing but the limit";

/// Tells requests apart. What may differ from page to page is to be left out.
pub(super) fn fingerprint(request: &impl prost::Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&request.encode_to_vec());
    hasher.finish()
}
