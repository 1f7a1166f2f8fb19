//! Names of record types, and Hubble's texts of response codes.

use domain::base::Rtype;

/// The mnemonic of a record type (IANA's registry), as Hubble has it for those
/// that it knows; `TYPE` and the number for others (RFC 3597).
pub(super) fn record_type(number: u16) -> String {
    Rtype::from_int(number).to_string()
}

/// The text of a response code in Hubble's summaries.
#[must_use]
pub fn rcode_text(rcode: u32) -> &'static str {
    match rcode {
        0 => "No Error",
        1 => "Format Error",
        2 => "Server Failure",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        6 => "Name Exists when it should not",
        7 => "RR Set Exists when it should not",
        8 => "RR Set that should exist does not",
        9 => "Server Not Authoritative for zone",
        10 => "Name not contained in zone",
        16 => "Bad OPT Version",
        17 => "Key not recognized",
        18 => "Signature out of time window",
        19 => "Bad TKEY Mode",
        20 => "Duplicate key name",
        21 => "Algorithm not supported",
        22 => "Bad Truncation",
        23 => "Bad Cookie",
        _ => "Unknown",
    }
}
