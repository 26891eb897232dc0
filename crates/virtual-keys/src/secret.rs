//! What a caller shows, and what is kept of it.

use std::fmt;
use std::hash::{Hash, Hasher};

use hmac::{Hmac, Mac as _};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The secret of a virtual key: `sk-ms-` and 43 letters and digits, which are 256 random bits. It is shown to whoever asked for
/// the key, once; what is kept is its [`KeyDigest`].
///
/// `Debug` shows nothing of it, and its memory is overwritten when it is dropped.
pub struct KeySecret(SecretString);

impl KeySecret {
    /// What every secret begins with.
    pub const PREFIX: &'static str = "sk-ms-";
    /// How long every secret is, in bytes. It fits into one block of the hash.
    pub const LENGTH: usize = 49;

    /// A new one, from the system's source of randomness.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        // The most numbers that 62 letters divide evenly: no letter is likelier than another.
        const FAIR: u8 = 62 * 4;
        // Never longer than this, so that it does not move and leave a copy behind.
        let mut text = String::with_capacity(Self::LENGTH);
        text.push_str(Self::PREFIX);
        let mut bytes = Zeroizing::new([0; 64]);
        while text.len() < Self::LENGTH {
            getrandom::fill(&mut *bytes).map_err(NoRandomness)?;
            let missing = Self::LENGTH - text.len();
            let fair = bytes.iter().filter(|byte| **byte < FAIR);
            text.extend(fair.map(|byte| char::from(LETTERS[usize::from(byte % 62)])).take(missing));
        }
        Ok(Self(text.into()))
    }

    /// The secret itself, to be shown to its owner.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether a text could be a secret at all: what could not is refused before anything is done with it.
    pub fn is_well_formed(text: &str) -> bool {
        text.len() == Self::LENGTH
            && text.starts_with(Self::PREFIX)
            && text.bytes().skip(Self::PREFIX.len()).all(|byte| byte.is_ascii_alphanumeric())
    }

    /// Its last four letters, by which people know their keys apart.
    pub(crate) fn hint(&self) -> String {
        let text = self.expose();
        text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned()
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

/// The system gave no randomness: no key can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness, so no key can be made")]
pub struct NoRandomness(#[source] pub(crate) getrandom::Error);

/// Makes digests of secrets: HMAC-SHA-256 with a secret of the operator's, so that a copy of the store is of no use to anybody
/// who has not that secret too.
///
/// All who share a store need the same.
#[derive(Clone)]
pub struct KeyHasher(Hmac<Sha256>);

/// The operator's secret is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret of the keys' digests has {0} bytes; it needs at least {least}: openssl rand -hex 32",
    least = KeyHasher::LEAST
)]
pub struct InvalidSecret(usize);

impl KeyHasher {
    /// The shortest secret, in bytes.
    pub const LEAST: usize = 32;

    /// With this secret, which has at least 32 bytes.
    ///
    /// # Errors
    /// When it is shorter.
    pub fn new(secret: &[u8]) -> Result<Self, InvalidSecret> {
        let too_short = InvalidSecret(secret.len());
        if secret.len() < Self::LEAST {
            return Err(too_short);
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| too_short)
    }

    /// The digest of a secret. Two blocks of SHA-256: the operator's secret has been worked in before.
    pub fn digest(&self, secret: &str) -> KeyDigest {
        let mut mac = self.0.clone();
        mac.update(secret.as_bytes());
        KeyDigest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(…)")
    }
}

/// HMAC-SHA-256 of a secret: what is kept of a key, and what it is found by.
///
/// Two of them are compared in constant time, by whoever compares them: a hash table does too. Written as 64 hexadecimal
/// digits where it is stored; `Debug` shows nothing of it.
#[derive(Clone, Copy, Eq)]
pub struct KeyDigest([u8; 32]);

impl ConstantTimeEq for KeyDigest {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

/// Its bits are as good as random: eight bytes of them find the place in a table, whose own hasher has a secret.
impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

/// Hexadecimal digits, as in stores and ids.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let (mut bytes, digits) = ([0; 32], text.as_bytes());
    if digits.len() != 64 {
        return None;
    }
    for (place, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *place = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// A secret that somebody is asked for and that is not a key: the token of an administrator. Only a digest of it is kept, and
/// what is shown is compared with it in constant time, whatever its length.
#[derive(Clone)]
pub struct SecretToken {
    hasher: KeyHasher,
    digest: KeyDigest,
}

impl SecretToken {
    /// The shortest token, in bytes.
    pub const LEAST: usize = 24;
    /// The longest, in bytes: what is longer is refused before anything is done with it.
    pub const MOST: usize = 256;

    /// A token of 24 to 256 bytes; `None` for a shorter or longer one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(token: &str) -> Result<Option<Self>, NoRandomness> {
        if !(Self::LEAST..=Self::MOST).contains(&token.len()) {
            return Ok(None);
        }
        let mut secret = Zeroizing::new([0; KeyHasher::LEAST]);
        getrandom::fill(&mut *secret).map_err(NoRandomness)?;
        let made = KeyHasher::new(&*secret).map(|hasher| Self { digest: hasher.digest(token), hasher });
        Ok(made.ok())
    }

    /// Whether this is the token.
    pub fn is(&self, shown: &str) -> bool {
        shown.len() <= Self::MOST && self.hasher.digest(shown) == self.digest
    }
}

impl fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(letter: u8) -> KeyHasher {
        KeyHasher::new(&[letter; 32]).unwrap()
    }

    #[test]
    fn a_secret_is_well_formed_and_new_each_time() {
        let secrets: Vec<_> = (0..200).map(|_| KeySecret::generate().unwrap()).collect();
        let mut texts: Vec<_> = secrets.iter().map(KeySecret::expose).collect();
        assert!(texts.iter().all(|text| KeySecret::is_well_formed(text)));
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), 200);
        const { assert!(KeySecret::LENGTH <= 55, "one block of SHA-256 with its padding") };
    }

    // 256 bits only if no letter is likelier than another: chi-squared of 62 letters is 61, give or take 11.
    #[test]
    fn no_letter_of_a_secret_is_likelier_than_another() {
        let mut counts = std::collections::HashMap::<char, f64>::new();
        for _ in 0..2000 {
            let secret = KeySecret::generate().unwrap();
            secret.expose()[KeySecret::PREFIX.len()..]
                .chars()
                .for_each(|c| *counts.entry(c).or_default() += 1.0);
        }
        let expected = 2000.0 * 43.0 / 62.0;
        let chi_squared: f64 = counts.values().map(|count| (count - expected).powi(2) / expected).sum();
        assert!(counts.len() == 62 && chi_squared < 150.0, "{chi_squared}");
    }

    // Security test 3
    #[test]
    fn what_could_be_no_secret_is_known_without_a_hash() {
        let secret = KeySecret::generate().unwrap();
        let sound = secret.expose();
        let wrong = [
            "",
            "sk-ms-",
            "' OR pg_sleep(8)--",
            &sound[1..],
            &format!("{sound}0"),
            &sound.replace("sk-ms-", "sk-or-"),
            &format!("{}'", &sound[..48]),
            &format!("{}\u{e9}", &sound[..47]),
            &"x".repeat(1 << 20),
        ];
        assert!(wrong.iter().all(|text| !KeySecret::is_well_formed(text)));
    }

    #[test]
    fn digests_are_hmac_sha_256_and_depend_on_the_operators_secret() {
        // RFC 4231, test case 2: HMAC itself pads a short key with zeros.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let digest = KeyHasher::new(&key).unwrap().digest("what do ya want for nothing?");
        assert_eq!(hex(&digest.0), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(hasher(1).digest("a"), hasher(1).digest("a"));
        assert_ne!(hasher(1).digest("a"), hasher(2).digest("a"));
        assert_ne!(hasher(1).digest("a"), hasher(1).digest("b"));
        assert_eq!(KeyHasher::new(&[0; 31]).unwrap_err(), InvalidSecret(31));
    }

    #[test]
    fn a_digest_is_read_back() {
        let digest = hasher(1).digest("a");
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<KeyDigest>(&text).unwrap(), digest);
        for wrong in ["\"\"", "\"zz\"", &text.replace('"', "\"0"), &text.replacen(|c| c != '"', "g", 1)] {
            assert!(serde_json::from_str::<KeyDigest>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_itself_and_nothing_else() {
        let token = SecretToken::new("0123456789012345678901234567").unwrap().unwrap();
        assert!(token.is("0123456789012345678901234567"));
        for other in ["", "012345678901234567890123456", "0123456789012345678901234568", &"0".repeat(1 << 20)]
        {
            assert!(!token.is(other));
        }
        assert!(SecretToken::new("short").unwrap().is_none());
        assert!(SecretToken::new(&"x".repeat(257)).unwrap().is_none());
    }

    // Security test 2
    #[test]
    fn debug_shows_no_secret() {
        let secret = KeySecret::generate().unwrap();
        let token = SecretToken::new(secret.expose()).unwrap();
        let digest = hasher(1).digest(secret.expose());
        let shown = format!("{secret:?} {token:?} {digest:?} {:?}", hasher(1));
        assert!(!shown.contains(&secret.expose()[6..]) && !shown.contains(&hex(&digest.0)[..8]), "{shown}");
    }
}
