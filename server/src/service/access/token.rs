//! Bearer tokens: names for secrets that are in files.
//!
//! Compared in a time that does not tell how much of a token is right. Read at
//! the start. Bound: files of `MAX_BYTES`.

use std::{fmt, path::PathBuf};

use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;
use tonic::Status;

use crate::{config, small_file};

const MAX_BYTES: u64 = 4096;
/// A shorter one could be guessed.
const MIN_LENGTH: usize = 16;

/// A token cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the token `{name}` in {path}: {cause}; put one line of {MIN_LENGTH} to {MAX_BYTES} letters and digits into it, such as `openssl rand -hex 32` prints"
)]
pub struct TokenError {
    name: String,
    path: PathBuf,
    cause: String,
}

/// Names and secrets.
pub(super) struct Tokens(Vec<(String, Vec<u8>)>);

impl Tokens {
    pub(super) fn read(tokens: &[config::Token]) -> Result<Self, TokenError> {
        tokens.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The name of the token that a call shows, if it shows one.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` when it is none of ours.
    pub(super) fn shown(&self, headers: &HeaderMap) -> Result<Option<&str>, Status> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Ok(None);
        };
        let bytes = value.as_bytes();
        let is_bearer = bytes.len() > 7 && bytes[..7].eq_ignore_ascii_case(b"bearer ");
        let shown = bytes.get(7..).filter(|_| is_bearer).unwrap_or_default();
        // All are looked at, whichever it is.
        let mut found = None;
        for (name, secret) in &self.0 {
            if bool::from(secret.as_slice().ct_eq(shown)) {
                found = Some(name.as_str());
            }
        }
        match found {
            Some(name) => Ok(Some(name)),
            None => Err(Status::unauthenticated(
                "the token in `authorization` is not known here; send `Bearer TOKEN` with one of a [[token]]",
            )),
        }
    }
}

/// Secrets are not shown.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

fn read(token: &config::Token) -> Result<(String, Vec<u8>), TokenError> {
    let wrong = |cause: String| TokenError {
        name: token.name.clone(),
        path: token.file.clone(),
        cause,
    };
    let content =
        small_file::read(&token.file, MAX_BYTES).map_err(|error| wrong(error.to_string()))?;
    let secret = content.trim_ascii();
    if secret.len() < MIN_LENGTH {
        return Err(wrong("it is too short".into()));
    }
    if !secret.iter().all(u8::is_ascii_graphic) {
        return Err(wrong(
            "it has more than one word, or other characters".into(),
        ));
    }
    Ok((token.name.clone(), secret.to_vec()))
}
