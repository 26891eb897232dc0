//! The signature by which a receiver knows who sent an alert.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Signs with a secret, of which only the worked-in state is kept. `Debug` shows nothing of it.
pub(super) struct Signer(Hmac<Sha256>);

/// The shortest secret, in bytes.
const LEAST: usize = 24;

impl Signer {
    pub(super) fn new(secret: &[u8]) -> Result<Self, &'static str> {
        if secret.len() < LEAST {
            return Err("secret must have at least 24 bytes: openssl rand -hex 32");
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| "secret cannot be used")
    }

    /// `t=UNIX,v1=HEX`, where HEX is the HMAC-SHA-256 of `UNIX.BODY`.
    pub(super) fn sign(&self, unix_seconds: i64, body: &[u8]) -> String {
        use std::fmt::Write as _;
        let mut mac = self.0.clone();
        mac.update(format!("{unix_seconds}.").as_bytes());
        mac.update(body);
        let mut signature = format!("t={unix_seconds},v1=");
        for byte in mac.finalize().into_bytes() {
            let _ = write!(signature, "{byte:02x}"); // a String takes all that is written
        }
        signature
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_time_and_body() {
        let signer = Signer::new(b"whsec_0123456789abcdef0123456789").unwrap();
        // printf '1700000000.{"id":"1"}' | openssl dgst -sha256 -hmac whsec_0123456789abcdef0123456789
        let expected = "t=1700000000,v1=0e0a7eb360121c1db122916b47d21ab42a08e47a6d208aa14bb38d6d26dde57c";
        assert_eq!(signer.sign(1_700_000_000, br#"{"id":"1"}"#), expected);
    }

    #[test]
    fn a_short_secret_is_refused_with_the_cure() {
        assert!(Signer::new(b"short").unwrap_err().contains("openssl rand -hex 32"));
    }
}
