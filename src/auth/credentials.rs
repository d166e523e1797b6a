//! Passwords that were checked before: a keyed digest of user and password stands for the slow
//! check.
use std::{sync::Arc, time::Duration};

use rand::RngCore;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::password;
use crate::error::Error;

const ENTRIES_MAX: u64 = 10_000;
const AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// Each check takes 19 MiB and a core.
const CHECKS_AT_ONCE: usize = 4;

/// What was found good lately, under a key of this process. An entry holds the hash it was checked
/// against, so a changed password voids it.
#[derive(Debug)]
pub(super) struct Credentials {
    key: [u8; 32],
    good: moka::sync::Cache<[u8; 32], Arc<str>>,
    checks: Semaphore,
}

impl Default for Credentials {
    fn default() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self {
            key,
            good: moka::sync::Cache::builder()
                .max_capacity(ENTRIES_MAX)
                .time_to_live(AGE_MAX)
                .build(),
            checks: Semaphore::new(CHECKS_AT_ONCE),
        }
    }
}

impl Credentials {
    /// Stands for a name and a password, within this process only.
    pub(super) fn digest(&self, user: &str, password: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update((user.len() as u64).to_be_bytes());
        digest.update(user.as_bytes());
        digest.update(password.as_bytes());
        digest.finalize().into()
    }

    fn known(&self, digest: &[u8; 32], hash: &str) -> bool {
        self.good.get(digest).is_some_and(|good| *good == *hash)
    }

    /// Whether the password belongs to the user's hash.
    pub(super) async fn check(
        &self,
        user: &str,
        password: &str,
        hash: &str,
    ) -> Result<bool, Error> {
        let digest = self.digest(user, password);
        if self.known(&digest, hash) {
            return Ok(true);
        }
        let _permit = self.checks.acquire().await.map_err(Error::internal)?;
        // whoever waited may find that another request with the same password was first
        if self.known(&digest, hash) {
            return Ok(true);
        }
        let (given, expected) = (password.to_owned(), hash.to_owned());
        let checked = tokio::task::spawn_blocking(move || password::verify(&given, &expected));
        let is_good = checked.await.map_err(Error::internal)?;
        if is_good {
            self.good.insert(digest, hash.into());
        }
        Ok(is_good)
    }
}
