//! Names of gRPC's status codes as its specification has them
//! (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).

use tonic::Code;

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a code, such as `PERMISSION_DENIED`.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    NAMES[code as usize]
}

/// The code of a name.
pub(super) fn code_of(name: &str) -> Option<Code> {
    let number = NAMES.iter().position(|known| *known == name)?;
    Some(Code::from(number as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_that_leads_back_to_it() {
        for number in 0..17 {
            let code = Code::from(number);
            assert_eq!(code as i32, number);
            assert_eq!(code_of(code_name(code)), Some(code));
        }
        assert_eq!(code_name(Code::Unauthenticated), "UNAUTHENTICATED");
        assert_eq!(code_of("unauthenticated"), None);
    }
}
