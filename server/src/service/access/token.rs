//! Bearer tokens: names for secrets that are in files.
//!
//! Compared in a time that does not tell how much of a token is right. Bound:
//! files of `MAX_BYTES`.

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
    /// The contents of the files.
    pub(super) fn read(tokens: &[config::Token]) -> Result<Vec<Vec<u8>>, TokenError> {
        let read = |token: &config::Token| {
            let content = small_file::read(&token.file, MAX_BYTES);
            content.map_err(|error| TokenError::of(token, error.to_string()))
        };
        tokens.iter().map(read).collect()
    }

    /// The tokens in these contents.
    pub(super) fn new(tokens: &[config::Token], contents: &[Vec<u8>]) -> Result<Self, TokenError> {
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        for (token, content) in tokens.iter().zip(contents) {
            let secret = secret(content).map_err(|cause| TokenError::of(token, cause.into()))?;
            if let Some((other, _)) = all.iter().find(|(_, known)| known == secret) {
                let cause = format!("it is the same as that of `{other}`");
                return Err(TokenError::of(token, cause));
            }
            small_file::warn_if_open("the token", &token.file);
            all.push((token.name.clone(), secret.to_vec()));
        }
        Ok(Self(all))
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

impl TokenError {
    fn of(token: &config::Token, cause: String) -> Self {
        Self {
            name: token.name.clone(),
            path: token.file.clone(),
            cause,
        }
    }
}

/// One line, without the space around it.
fn secret(content: &[u8]) -> Result<&[u8], &'static str> {
    let secret = content.trim_ascii();
    if secret.len() < MIN_LENGTH {
        return Err("it is too short");
    }
    match secret.iter().all(u8::is_ascii_graphic) {
        true => Ok(secret),
        false => Err("it has more than one word, or other characters"),
    }
}
