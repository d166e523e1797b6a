//! Tokens: `ctok-<id>-<secret>` of users, and those of executions. Only sha256 digests of them are
//! kept.
use rand::{Rng, distr::Alphanumeric};
use sha2::{Digest, Sha256};

const ID_LEN: usize = 10;
const SECRET_LEN: usize = 40;
const PREFIX: &str = "ctok-";

/// A freshly minted access token; the secret is shown once and kept nowhere.
#[derive(Debug)]
pub struct NewToken {
    /// Its public part.
    pub id: String,
    /// The whole token.
    pub value: String,
    /// sha256 hex of the secret part.
    pub secret_sha256: String,
}

/// Mints an access token.
pub fn mint() -> NewToken {
    let (id, secret) = (random(ID_LEN), random(SECRET_LEN));
    NewToken {
        value: format!("{PREFIX}{id}-{secret}"),
        secret_sha256: sha256_hex(&secret),
        id,
    }
}

/// Mints the token of an execution; the log keeps its [`sha256_hex`].
pub fn mint_for_execution() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

fn random(len: usize) -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).take(len);
    letters.map(char::from).collect()
}

/// sha256 of a text, in hex.
pub fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Id and secret of a token.
pub(super) fn parts(value: &str) -> Option<(&str, &str)> {
    let (id, secret) = value.strip_prefix(PREFIX)?.split_once('-')?;
    Some((id, secret))
}

/// Whether it can only be an access token of a user.
pub(super) fn is_access_token(value: &str) -> bool {
    value.starts_with(PREFIX)
}

/// Compares digests in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    let differing = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && differing == 0
}

#[cfg(test)]
mod tests;
