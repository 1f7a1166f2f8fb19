//! Community ID, version 1, seed 0: the same for both directions of a connection, and in
//! every tool that knows it (https://github.com/corelight/community-id-spec).

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};

/// Of a connection of this IP protocol.
pub(super) struct CommunityId([u8; 20]);

impl CommunityId {
    pub(super) fn new(one: (IpAddr, u16), other: (IpAddr, u16), protocol: u8) -> Self {
        let [first, second] = match one <= other {
            true => [one, other],
            false => [other, one],
        };
        let mut hash = Sha1::new();
        hash.update(0_u16.to_be_bytes());
        for (address, _) in [first, second] {
            match address {
                IpAddr::V4(address) => hash.update(address.octets()),
                IpAddr::V6(address) => hash.update(address.octets()),
            }
        }
        hash.update([protocol, 0]);
        hash.update(first.1.to_be_bytes());
        hash.update(second.1.to_be_bytes());
        Self(hash.finalize().into())
    }

    /// As it is written.
    pub(super) fn text(&self) -> String {
        format!("1:{}", BASE64_STANDARD.encode(self.0))
    }

    /// The id of a trace, by its first bytes.
    pub(super) fn trace_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the specification's own baseline.
    #[test]
    fn ids_are_those_of_the_specification() {
        for (one, other, protocol, id) in [
            (
                ("128.232.110.120", 34855),
                ("66.35.250.204", 80),
                6,
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                ("192.168.1.52", 54585),
                ("8.8.8.8", 53),
                17,
                "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
            ),
        ] {
            let side = |(address, port): (&str, u16)| (address.parse::<IpAddr>().unwrap(), port);
            let (one, other) = (side(one), side(other));
            assert_eq!(CommunityId::new(one, other, protocol).text(), id);
            assert_eq!(CommunityId::new(other, one, protocol).text(), id);
        }
    }
}
