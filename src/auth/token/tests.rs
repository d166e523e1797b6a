//! Tokens as clients see them.
use super::*;

#[test]
fn a_minted_token_splits_into_what_is_kept() {
    let token = mint();
    let (id, secret) = parts(&token.value).unwrap();
    assert_eq!((id.len(), secret.len()), (10, 40));
    assert_eq!(id, token.id);
    assert!(same(&sha256_hex(secret), &token.secret_sha256));
    assert!(!same(&sha256_hex("x"), &token.secret_sha256));
    assert!(!same("ab", "abc") && !same("abd", "abc"));
}

#[test]
fn broken_tokens_have_no_parts() {
    for value in ["", "ctok-", "ctok-abc", "token-a-b", "abc"] {
        assert!(parts(value).is_none(), "{value}");
    }
    assert_eq!(mint_for_execution().len(), 32);
}
