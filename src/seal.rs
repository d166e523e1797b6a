//! Sealing: what must not enter the log in clear is encrypted under the manager's key
//! (ChaCha20-Poly1305).
use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rand::RngCore;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

#[cfg(test)]
mod tests;

const KEY_LEN: usize = 32;

/// The key cannot be had, or it does not fit.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Its file cannot be read or made.
    #[error("cannot use the key file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the key file {path} does not hold 64 hexadecimal digits")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Sealed under another key, or for another purpose, or damaged.
    #[error("the sealed value cannot be opened with this manager's key")]
    Open,
}

/// Seals and opens under the manager's key.
#[derive(Debug)]
pub struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// Reads the key file; makes it when it is missing.
    ///
    /// # Errors
    /// When it can neither be read nor made, or holds no key.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        let fail = |source| SealError::File {
            path: path.to_owned(),
            source,
        };
        match create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(error)),
        }
        let text = fs::read_to_string(path).map_err(fail)?;
        let malformed = || SealError::Malformed {
            path: path.to_owned(),
        };
        let bytes = hex::decode(text.trim()).map_err(|_| malformed())?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| malformed())?;
        Ok(Self {
            key: LessSafeKey::new(key),
        })
    }

    /// Seals a text; it opens only with the same purpose.
    pub fn seal(&self, purpose: &str, text: &str) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        let mut data = text.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut data,
            )
            .expect("only texts of gigabytes cannot be sealed");
        [nonce.as_slice(), &data].concat()
    }

    /// Opens what [`Sealer::seal`] made.
    ///
    /// # Errors
    /// `Open`.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<String, SealError> {
        let (nonce, data) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Open)?;
        let mut data = data.to_vec();
        let opened = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(purpose.as_bytes()),
                &mut data,
            )
            .map_err(|_| SealError::Open)?;
        String::from_utf8(opened.to_vec()).map_err(|_| SealError::Open)
    }
}

/// A complete file or none: it gets its name only when it is written.
fn create(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut key = [0; KEY_LEN];
    rand::rng().fill_bytes(&mut key);
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{}", hex::encode(key))?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        // another process was faster
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}
