//! A GitHub App's proof of itself: a token it signs, good for some minutes, which buys one of an installation.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use nightshift_protocol::OffsetDateTime;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;

use crate::secrets::Secret;

/// How long a signed token is good; GitHub takes at most ten minutes.
const GOOD_FOR: i64 = 540;

/// How far GitHub's clock may be behind ours ("Generating a JSON Web Token (JWT) for a GitHub App").
const CLOCK_DRIFT: i64 = 60;

/// Signs for an App.
pub(super) struct AppSigner {
    app: String,
    key: RsaKeyPair,
}

impl AppSigner {
    /// Reads a private key in PEM: `RSA PRIVATE KEY` (PKCS#1, as GitHub gives it out) or `PRIVATE KEY` (PKCS#8).
    pub(super) fn new(app: String, private_key: &Secret) -> Option<Self> {
        let pem = private_key.expose();
        let body = |label: &str| {
            let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
            let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
            let body: String = body.split_whitespace().collect();
            BASE64_STANDARD.decode(body).ok()
        };
        let key = match body("RSA PRIVATE KEY") {
            Some(der) => RsaKeyPair::from_der(&der),
            None => RsaKeyPair::from_pkcs8(&body("PRIVATE KEY")?),
        };
        Some(Self { app, key: key.ok()? })
    }

    /// Makes a JSON Web Token (RFC 7519) with RS256 (RFC 7518, section 3.3).
    pub(super) fn sign(&self, now: OffsetDateTime) -> Option<Secret> {
        let now = now.unix_timestamp();
        let claims = json!({ "iat": now - CLOCK_DRIFT, "exp": now + GOOD_FOR, "iss": self.app });
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
        Some(Secret::new(&format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_token_is_signed_so_that_the_public_key_proves_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(&folder).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        openssl(&["genrsa", "-traditional", "-out", "key.pem", "2048"]);
        openssl(&["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
        let pem = Secret::new(&std::fs::read_to_string(path).unwrap());
        let token = AppSigner::new("Iv1.abc".to_owned(), &pem).unwrap();
        let token = token.sign(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(1_000)).unwrap();
        let (message, signature) = token.expose().rsplit_once('.').unwrap();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(message.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims, json!({ "iat": 940, "exp": 1540, "iss": "Iv1.abc" }));
        std::fs::write(folder.path().join("message"), message).unwrap();
        std::fs::write(folder.path().join("signature"), BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
        openssl(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message"]);
    }

    #[test]
    fn a_text_that_is_no_key_makes_no_signer() {
        assert!(
            AppSigner::new("1".to_owned(), &Secret::new("-----BEGIN PRIVATE KEY-----\nAAAA\n")).is_none()
        );
    }
}
