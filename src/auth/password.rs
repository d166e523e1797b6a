//! Passwords: argon2id hashes, made and checked on blocking threads, a few at a time.
use argon2::{
    Argon2, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{SaltString, rand_core::OsRng},
};

use crate::error::Error;

/// Shortest password.
pub const LEN_MIN: usize = 5;
/// Longest password.
pub const LEN_MAX: usize = 256;

/// Checks the length of a new password.
///
/// # Errors
/// 400.
pub fn check(password: &str) -> Result<(), Error> {
    match password.chars().count() {
        0 => Err(Error::bad_parameters("The `password` argument is empty")),
        len if len < LEN_MIN => Err(Error::bad_parameters(format!(
            "The `password` argument is too short. Minimum allowed length is {LEN_MIN} characters"
        ))),
        len if len > LEN_MAX => Err(Error::bad_parameters(format!(
            "The `password` argument is too long. Maximum allowed length is {LEN_MAX} characters"
        ))),
        _ => Ok(()),
    }
}

/// Hashes a password.
///
/// # Errors
/// `Internal` when the thread dies or the hash cannot be made.
pub async fn hash(password: String) -> Result<String, Error> {
    let made = tokio::task::spawn_blocking(move || {
        let salt = SaltString::generate(&mut OsRng);
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string())
    });
    let made = made.await.map_err(Error::internal)?;
    made.map_err(|error| Error::internal(anyhow::anyhow!("cannot hash a password: {error}")))
}

/// Whether a password belongs to a hash. Takes tens of milliseconds: not for the runtime's threads.
pub(super) fn verify(password: &str, hash: &str) -> bool {
    // users of a directory service have no password here
    if hash.is_empty() {
        return false;
    }
    let Ok(parsed) = PasswordHash::new(hash) else {
        tracing::error!("a stored password hash cannot be read");
        return false;
    };
    Argon2::default()
        .verify_password(password.as_bytes(), &parsed)
        .is_ok()
}
