//! What encrypts records straight into the memory that they are sent from, and decrypts them within the memory
//! that they have come to.
//!
//! The TLS library would do either in memory of its own, and copy from and to it. The ciphers are the same, and so are
//! the keys, and how a record's number and length enter into it. A number is used once to encrypt, whatever
//! becomes of the record.

#[cfg(feature = "tls-aws-lc")]
use aws_lc_rs::aead;
#[cfg(not(feature = "tls-aws-lc"))]
use ring::aead;
use rustls::crypto::cipher::{Iv, Nonce, make_tls13_aad};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved};

use super::source::RECORD_BYTES;

/// What encryption adds to a record, its header included.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + KIND_BYTES + TAG_BYTES;
/// Kind, version and length in front of a record.
pub(super) const HEADER_BYTES: usize = 5;
const KIND_BYTES: usize = 1;
const TAG_BYTES: usize = 16;

/// The key of one direction, and how many records it was used for.
pub(super) struct Cipher {
    key: aead::LessSafeKey,
    iv: Iv,
    number: u64,
}

impl Cipher {
    /// With this key, whose next record has this number.
    pub fn new(secrets: ConnectionTrafficSecrets, number: u64) -> Result<Cipher, Error> {
        use ConnectionTrafficSecrets as Secrets;
        let (cipher, key, iv) = match secrets {
            Secrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            Secrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            Secrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::General("the keys are for an unknown cipher".into())),
        };
        let key = aead::UnboundKey::new(cipher, key.as_ref()).map_err(|_| Error::EncryptError)?;
        Ok(Cipher { key: aead::LessSafeKey::new(key), iv, number })
    }

    /// The number of the next record.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Appends a record of this kind to `out`; what is in it lies in these places, one after the other.
    pub fn seal(
        &mut self,
        kind: ContentType,
        places: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let length: usize = places.iter().map(|place| place.len()).sum();
        // It is the header too.
        let authenticated = make_tls13_aad(length + KIND_BYTES + TAG_BYTES);
        let start = out.len();
        out.extend_from_slice(&authenticated);
        places.iter().for_each(|place| out.extend_from_slice(place));
        out.push(kind.into());
        let nonce = self.nonce();
        // Nobody lives to see the last one.
        self.number += 1;
        let authenticated = aead::Aad::from(authenticated);
        let content = &mut out[start + HEADER_BYTES..];
        match self.key.seal_in_place_separate_tag(nonce, authenticated, content) {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
            Err(_) => {
                // What may be in the clear goes nowhere.
                out.truncate(start);
                Err(Error::EncryptError)
            }
        }
    }

    /// Decrypts what lies in `bytes` from `place` on to their beginning, and says what kind of record it was,
    /// and how long what was in it is.
    pub fn open(&mut self, bytes: &mut [u8], place: usize) -> Result<(ContentType, usize), Error> {
        let authenticated = aead::Aad::from(make_tls13_aad(bytes.len() - place));
        let opened = self.key.open_within(self.nonce(), authenticated, bytes, place..);
        let padded = opened.map_err(|_| Error::DecryptError)?;
        self.number += 1;
        if padded.len() > RECORD_BYTES + KIND_BYTES {
            return Err(Error::PeerSentOversizedRecord);
        }
        // Behind the kind there may be any number of zeros.
        match padded.iter().rposition(|byte| *byte != 0) {
            Some(length) => Ok((ContentType::from(padded[length]), length)),
            None => Err(PeerMisbehaved::IllegalTlsInnerPlaintext.into()),
        }
    }

    fn nonce(&self) -> aead::Nonce {
        aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, self.number).0)
    }
}
