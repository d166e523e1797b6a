//! SHA-256 digests: the names of blobs.
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// SHA-256 of some content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text is not 64 hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest: 64 lower-case hexadecimal digits expected")]
pub struct DigestSyntax;

impl Digest {
    /// Digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Digest and length of everything a reader yields.
    pub fn of_reader(reader: &mut impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::default();
        io::copy(reader, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the raw 32 bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestSyntax;

    /// Only the one spelling that `Display` writes, so that a name is unique.
    fn from_str(text: &str) -> Result<Self, DigestSyntax> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(DigestSyntax);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestSyntax)?;
        Ok(Self(bytes))
    }
}

/// Digest in the making; counts the bytes as well.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    sha: Sha256,
    size_bytes: u64,
}

impl Hasher {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    /// Bytes taken in so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Digest and length.
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.sha.finalize().into()), self.size_bytes)
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
