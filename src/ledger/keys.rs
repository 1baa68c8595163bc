//! Keys of the ledger: Ed25519, named as in C2SP signed notes.
//!
//! A [`Signer`] comes from PKCS#8 PEM (the Secret that the operator mounts); a [`VerifierKey`] is its public half
//! in the text form `name+hash+base64`, which is what an auditor is handed.

use std::fmt;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::{Zeroize, Zeroizing};

use super::text;

/// Signature type of plain Ed25519 in C2SP signed notes.
const LOG: u8 = 1;
/// Signature type of an Ed25519 cosignature (C2SP tlog-cosignature), which carries its time.
const WITNESS: u8 = 4;

/// Longest key name and origin: with it all our annotations stay under 512 bytes.
pub const MAX_NAME: usize = 100;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Empty, too long, or with a character that a signed note cannot carry.
    #[error("key name {0:?}: 1 to {MAX_NAME} characters, no space, control character or '+'")]
    Name(String),
    /// Not a verifier key.
    #[error("verifier key: {0}")]
    Verifier(&'static str),
    /// Not an Ed25519 private key in PKCS#8 PEM.
    #[error("private key: not Ed25519 in PKCS#8 PEM")]
    Pem,
    /// The file cannot be read.
    #[error("private key {path}: {why}")]
    File {
        /// Path as configured.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The system gave no random bytes.
    #[error("no randomness from the system: {0}")]
    Random(String),
}

impl KeyError {
    /// Bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Name(_) => "key_name",
            Self::Verifier(_) => "verifier_key",
            Self::Pem => "key_pem",
            Self::File { .. } => "key_file",
            Self::Random(_) => "random",
        }
    }
}

/// Whether a text can be a key name or an origin line.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// SHA-256(name ‖ LF ‖ algorithm ‖ public key), first 4 bytes.
fn key_id(name: &str, algorithm: u8, key: &VerifyingKey) -> [u8; 4] {
    let hash = text::sha256(&[name.as_bytes(), b"\n", &[algorithm], key.as_bytes()]);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// A public key with its name.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    algorithm: u8,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, algorithm: u8, key: VerifyingKey) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, algorithm, &key), algorithm, key })
    }

    /// Reads the key of a ledger: `name+hash+base64(1 ‖ public key)`.
    ///
    /// # Errors
    /// [`KeyError::Verifier`] for any other text, a hash that is not that of name and key, or a weak key.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        Self::parse_as(vkey, LOG)
    }

    /// Reads the key of a witness: `name+hash+base64(4 ‖ public key)`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_witness(vkey: &str) -> Result<Self, KeyError> {
        Self::parse_as(vkey, WITNESS)
    }

    fn parse_as(vkey: &str, algorithm: u8) -> Result<Self, KeyError> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(hash), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Verifier("expected name+hash+base64"));
        };
        let bytes = text::unbase64(encoded).ok_or(KeyError::Verifier("not base64"))?;
        let key = match bytes.split_first() {
            Some((found, key)) if *found == algorithm => key,
            Some((&(LOG | WITNESS), _)) => {
                return Err(KeyError::Verifier("the key of a ledger and that of a witness are two things"));
            }
            _ => return Err(KeyError::Verifier("not an Ed25519 key")),
        };
        let key: [u8; 32] = key.try_into().map_err(|_| KeyError::Verifier("not 32 bytes"))?;
        let key =
            VerifyingKey::from_bytes(&key).map_err(|_| KeyError::Verifier("not a point of the curve"))?;
        if key.is_weak() {
            return Err(KeyError::Verifier("a weak key"));
        }
        let verifier = Self::new(name, algorithm, key)?;
        if text::hex(&verifier.id) != hash {
            return Err(KeyError::Verifier("its hash is not that of its name and key"));
        }
        Ok(verifier)
    }

    /// Name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of the key: 4 bytes.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Whether the 64 bytes are a signature of the message by this key (`verify_strict`).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|s| self.key.verify_strict(message, &s).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoded = vec![self.algorithm];
        encoded.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, text::hex(&self.id), text::base64(&encoded))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// A private key with its name. Its bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    verifier: VerifierKey,
}

impl Signer {
    /// A signer from the 32 bytes of its seed.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, LOG, key.verifying_key())?;
        Ok(Self { key, verifier })
    }

    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Random`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut *seed).map_err(|e| KeyError::Random(e.to_string()))?;
        Self::from_seed(name, &seed)
    }

    /// A signer from Ed25519 PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Pem`].
    pub fn from_pkcs8_pem(name: &str, pem: &str) -> Result<Self, KeyError> {
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Pem)?;
        let verifier = VerifierKey::new(name, LOG, key.verifying_key())?;
        Ok(Self { key, verifier })
    }

    /// A signer from a file of Ed25519 PKCS#8 PEM; what was read is wiped.
    ///
    /// # Errors
    /// [`KeyError::File`] where it cannot be read, else as [`Self::from_pkcs8_pem`].
    pub fn from_file(name: &str, path: &std::path::Path) -> Result<Self, KeyError> {
        let mut bytes = std::fs::read(path)
            .map_err(|e| KeyError::File { path: path.display().to_string(), why: e.to_string() })?;
        let signer = std::str::from_utf8(&bytes)
            .map_err(|_| KeyError::Pem)
            .and_then(|pem| Self::from_pkcs8_pem(name, pem));
        bytes.zeroize();
        signer
    }

    /// The key as PKCS#8 PEM; wiped when dropped.
    ///
    /// # Errors
    /// [`KeyError::Pem`] where it cannot be encoded.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Pem)
    }

    /// The same key as that of a witness: its id and its verifier key differ, so that neither is taken for the other.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn into_witness(self) -> Result<Self, KeyError> {
        let verifier = VerifierKey::new(&self.verifier.name, WITNESS, self.key.verifying_key())?;
        Ok(Self { verifier, ..self })
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Ed25519 signature of a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// The keys of a writer: the one that signs and, while it takes over from another, that one as well.
#[derive(Clone, Debug)]
pub struct KeyRing {
    /// Signs from the moment on that the ledger has turned to it.
    pub current: Signer,
    /// Announces the current one, and cosigns checkpoints until it is taken away.
    pub retiring: Option<Signer>,
}

impl From<Signer> for KeyRing {
    fn from(current: Signer) -> Self {
        Self { current, retiring: None }
    }
}

impl KeyRing {
    /// The public halves.
    #[must_use]
    pub fn verifiers(&self) -> Vec<VerifierKey> {
        let keys = [Some(&self.current), self.retiring.as_ref()];
        keys.into_iter().flatten().map(|signer| signer.verifier().clone()).collect()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_key_survives_its_text_and_no_byte_of_it_can_change() {
        let signer = Signer::from_seed("prod/main", &[7; 32]).unwrap();
        let vkey = signer.verifier().to_string();
        assert_eq!(VerifierKey::parse(&vkey).as_ref(), Ok(signer.verifier()));
        for at in 0..vkey.len() {
            let mut bytes = vkey.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(VerifierKey::parse(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn the_example_key_of_the_signed_note_format_is_read() {
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = VerifierKey::parse(vkey).unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", vkey));
    }

    #[test]
    fn a_private_key_survives_its_pem() {
        let signer = Signer::generate("prod/main").unwrap();
        let pem = signer.to_pkcs8_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let again = Signer::from_pkcs8_pem("prod/main", &pem).unwrap();
        assert_eq!(again.verifier(), signer.verifier());
        assert_ne!(Signer::generate("prod/main").unwrap().verifier(), signer.verifier());
        assert!(!format!("{signer:?}").contains(&pem[30..60]));
    }

    #[test]
    fn a_pem_of_openssl_is_read_and_anything_else_refused() {
        // RFC 8410, section 10.3: a key without and one with its public half.
        let v1 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let signer = Signer::from_pkcs8_pem("a", v1).unwrap();
        assert!(signer.verifier().verifies(b"x", &signer.sign(b"x")));
        assert!(!signer.verifier().verifies(b"y", &signer.sign(b"x")));
        assert_eq!(Signer::from_pkcs8_pem("a", "nothing").unwrap_err(), KeyError::Pem);
        assert_eq!(Signer::from_pkcs8_pem("a b", v1).unwrap_err(), KeyError::Name("a b".into()));
        assert_eq!(
            Signer::from_file("a", std::path::Path::new("/nonexistent/key")).unwrap_err().kind(),
            "key_file"
        );
    }

    #[test]
    fn names_are_those_a_signed_note_can_carry() {
        assert!(is_name("prod/main") && is_name("é"));
        for bad in ["", "a b", "a+b", "a\nb", "a\u{2003}b", &"x".repeat(101)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
