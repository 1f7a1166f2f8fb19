//! The limit of address space: too little of it is told at the start, where it can
//! be, and not by the end of the process when an allocation fails.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// What threads, program and rings take before anything is observed is 80 MiB.
const NEEDED: u64 = 128 << 20;

/// The process may not have what it needs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the limit of address space is {} KiB, and {} KiB are needed; raise it by LimitAS= of the unit or `ulimit -v`",
    .0 >> 10,
    NEEDED >> 10
)]
pub struct TooLittle(u64);

/// Looks at the limit; called once, before threads are started.
///
/// # Errors
///
/// When it is too low.
pub fn check() -> Result<(), TooLittle> {
    // A limit that cannot be read may be none.
    let limit = getrlimit(Resource::RLIMIT_AS).map_or(RLIM_INFINITY, |(soft, _)| soft);
    enough(limit)
}

fn enough(limit: u64) -> Result<(), TooLittle> {
    if limit < NEEDED {
        return Err(TooLittle(limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_address_space_is_told_with_what_is_needed() {
        let told = enough(40 << 20).unwrap_err().to_string();
        assert!(
            told.contains("is 40960 KiB, and 131072 KiB are needed"),
            "{told}"
        );
        assert!(told.contains("LimitAS="), "{told}");
        assert_eq!((enough(NEEDED), enough(RLIM_INFINITY)), (Ok(()), Ok(())));
    }
}
