//! Tokens in which managers hand secrets to each other: the layout of Fernet with AES-256. The key
//! comes from a passphrase: half of it signs, half of it encrypts.
use std::num::NonZeroU32;

use aes::Aes256;
use base64::{Engine, prelude::BASE64_URL_SAFE};
use cbc::{
    Decryptor, Encryptor,
    cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7},
};
use rand::RngCore;
use ring::{hmac, pbkdf2};

const VERSION: u8 = 0x80;
/// As every manager that reads such tokens has it.
const SALT: &[u8] = b"salt_";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(100_000).expect("it is not zero");
const KEY_LEN: usize = 32;
const IV_LEN: usize = 16;
const TIME_LEN: usize = 8;
const TAG_LEN: usize = 32;

/// Encrypts and decrypts under a passphrase.
pub(super) struct Fernet {
    signing: hmac::Key,
    encryption: [u8; KEY_LEN],
}

impl std::fmt::Debug for Fernet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fernet")
    }
}

impl Fernet {
    /// Derives the key. This takes a while by design.
    pub(super) fn from_passphrase(passphrase: &str) -> Self {
        let mut key = [0; 2 * KEY_LEN];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS,
            SALT,
            passphrase.as_bytes(),
            &mut key,
        );
        let (signing, rest) = key.split_at(KEY_LEN);
        let mut encryption = [0; KEY_LEN];
        encryption.copy_from_slice(rest);
        Self {
            signing: hmac::Key::new(hmac::HMAC_SHA256, signing),
            encryption,
        }
    }

    /// A token that holds a text.
    pub(super) fn encrypt(&self, text: &str, now_s: u64) -> String {
        let mut iv = [0; IV_LEN];
        rand::rng().fill_bytes(&mut iv);
        self.encrypt_with(text, now_s, iv)
    }

    fn encrypt_with(&self, text: &str, now_s: u64, iv: [u8; IV_LEN]) -> String {
        let cipher = Encryptor::<Aes256>::new(&self.encryption.into(), &iv.into());
        let mut token = vec![VERSION];
        token.extend(now_s.to_be_bytes());
        token.extend(iv);
        token.extend(cipher.encrypt_padded_vec::<Pkcs7>(text.as_bytes()));
        let tag = hmac::sign(&self.signing, &token);
        token.extend(tag.as_ref());
        BASE64_URL_SAFE.encode(token)
    }

    /// The text in a token; nothing when it was made under another passphrase, or is none.
    pub(super) fn decrypt(&self, token: &str) -> Option<String> {
        let bytes = BASE64_URL_SAFE.decode(token.trim()).ok()?;
        let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_LEN)?)?;
        hmac::verify(&self.signing, signed, tag).ok()?;
        let (version, rest) = signed.split_first()?;
        let (_, rest) = rest.split_at_checked(TIME_LEN)?;
        let (iv, encrypted) = rest.split_first_chunk::<IV_LEN>()?;
        if *version != VERSION {
            return None;
        }
        let cipher = Decryptor::<Aes256>::new(&self.encryption.into(), &(*iv).into());
        let text = cipher.decrypt_padded_vec::<Pkcs7>(encrypted).ok()?;
        String::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    //! Tokens of our own and of a manager that was there before us.
    use super::*;

    /// Made by another manager under `passphrase1`.
    const GIVEN: &str = "gAAAAABrAySdzEq8wPh0CMBifYcqIGN2zcK8VUXCfbxLcKhBW9ChV__CuU9FPpjC1Ly5UkTi6Y-7ig0tAQxmww9fkuMwZUA8ng==";

    #[test]
    fn tokens_of_other_managers_are_read() {
        let fernet = Fernet::from_passphrase("passphrase1");
        assert_eq!(fernet.decrypt(GIVEN).as_deref(), Some("v9"));
    }

    #[test]
    fn what_was_encrypted_is_decrypted_under_the_same_passphrase_only() {
        let fernet = Fernet::from_passphrase("one");
        let token = fernet.encrypt("a text: ä", 1_700_000_000);
        assert_eq!(fernet.decrypt(&token).as_deref(), Some("a text: ä"));
        assert_eq!(Fernet::from_passphrase("two").decrypt(&token), None);
        let mut damaged = token.clone();
        damaged.replace_range(20..21, if &token[20..21] == "A" { "B" } else { "A" });
        assert_eq!(fernet.decrypt(&damaged), None);
        for none in ["", "no token", "gAAAAA=="] {
            assert_eq!(fernet.decrypt(none), None, "{none}");
        }
    }
}
