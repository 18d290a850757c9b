//! Records after the handshake: each is decrypted where it has come to, and encrypted where it is sent from.
//!
//! The handshake and its keys are the TLS library's; here is what stands between them and the bytes of a
//! stream: where a record ends, its number, when keys are renewed, and how a link ends. Nothing of a record is
//! given on before its cipher has vouched for all of it. It knows no socket.

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, InvalidMessage, PeerMisbehaved,
};

use super::afterwards::{Afterwards, KEY_UPDATE, Messages};
use super::cipher::{Cipher, HEADER_BYTES, OVERHEAD_BYTES};
use super::engine::Step;
use super::failure::Side;
use super::source::{RECORD_BYTES, Source};

/// Records that are encrypted before they are sent.
const BATCH_RECORDS: usize = 4;
/// Room for a batch, and for one that announces new keys.
pub(super) const BATCH_BYTES: usize = BATCH_RECORDS * (RECORD_BYTES + OVERHEAD_BYTES) + 64;
/// What encryption may add to the content of a record.
const EXPANSION_BYTES_MAX: usize = 256;
/// Records one after the other that bring nothing: empty ones, new keys, tickets. A peer has no use for so many.
const IDLE_RECORDS_MAX: u32 = 32;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// Both directions of a link, once it is known who the peer is by its certificate.
pub(super) struct Records {
    keys: Keys,
    sealer: Cipher,
    /// So many records may be sealed with the same key.
    sealed_max: u64,
    opener: Cipher,
    messages: Messages,
    /// How many have come since one has brought something.
    idle_records: u32,
    /// The peer has asked for new keys of this side, which come before the next thing it says.
    owes_keys: bool,
}

/// Where the keys come from that follow the first ones.
pub(super) enum Keys {
    /// Of the connecting side.
    Client(KernelConnection<ClientConnectionData>),
    /// Of the accepting side.
    Server(KernelConnection<ServerConnectionData>),
}

/// What has become of bytes that have come.
#[derive(Debug, PartialEq)]
pub(super) struct Opened {
    /// So many of them are done with.
    pub used: usize,
    /// So many plain bytes stand at the beginning of them: also before an error.
    pub plain: usize,
    /// What the last of them has come to.
    pub step: Result<Step, Error>,
}

impl Records {
    /// Goes on where a handshake has ended.
    pub fn new(secrets: ExtractedSecrets, keys: Keys) -> Result<Records, Error> {
        let (suite, side) = match &keys {
            Keys::Client(keys) => (keys.negotiated_cipher_suite(), Side::Client),
            Keys::Server(keys) => (keys.negotiated_cipher_suite(), Side::Broker),
        };
        let other = || Error::General("the cipher is not one of TLS 1.3".into());
        let suite = suite.tls13().ok_or_else(other)?;
        let ((sealed, to_seal), (opened, to_open)) = (secrets.tx, secrets.rx);
        Ok(Records {
            keys,
            sealer: Cipher::new(to_seal, sealed)?,
            sealed_max: suite.common.confidentiality_limit,
            opener: Cipher::new(to_open, opened)?,
            messages: Messages::new(side),
            idle_records: 0,
            owes_keys: false,
        })
    }

    /// Decrypts the whole records in `bytes`. What was in them stands at the beginning then, without a gap.
    pub fn open(&mut self, bytes: &mut [u8]) -> Opened {
        let (mut used, mut plain) = (0, 0);
        let step = loop {
            let end = match sealed_length(&bytes[used..]) {
                Ok(Some(length)) => used + HEADER_BYTES + length,
                Ok(None) => break Ok(Step::Waits),
                Err(error) => break Err(error),
            };
            let opened = self.open_one(&mut bytes[plain..end], used + HEADER_BYTES - plain);
            used = end;
            match opened {
                Ok((Step::Again, length)) => plain += length,
                Ok((step, _)) => break Ok(step),
                Err(error) => break Err(error),
            }
        };
        Opened { used, plain, step }
    }

    /// Gives how many plain bytes stand at the beginning then.
    fn open_one(&mut self, bytes: &mut [u8], place: usize) -> Result<(Step, usize), Error> {
        let (kind, length) = self.opener.open(bytes, place)?;
        let content = &bytes[..length];
        if kind != ContentType::Handshake && self.messages.is_partial() {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        if kind == ContentType::ApplicationData && length > 0 {
            self.idle_records = 0;
            return Ok((Step::Again, length));
        }
        let step = match kind {
            ContentType::ApplicationData => Step::Again,
            ContentType::Alert => heard_alert(content)?,
            ContentType::Handshake => self.hear(content).map(|()| Step::Again)?,
            got_type => {
                let expect_types = vec![ContentType::ApplicationData];
                return Err(Error::InappropriateMessage { expect_types, got_type });
            }
        };
        // Whatever ends the link is heard however much has come before it.
        self.idle_records += u32::from(step == Step::Again);
        if self.idle_records > IDLE_RECORDS_MAX {
            return Err(too_many(kind));
        }
        Ok((step, 0))
    }

    /// Messages that belong to the handshake.
    fn hear(&mut self, content: &[u8]) -> Result<(), Error> {
        let mut update = None;
        self.messages.take(content, |message| {
            // It is the last one of its record.
            if let Afterwards::KeyUpdate { asks } = message {
                update = Some(asks);
            }
            Ok(())
        })?;
        let Some(asks) = update else { return Ok(()) };
        let (number, secrets) = match &mut self.keys {
            Keys::Client(keys) => keys.update_rx_secret()?,
            Keys::Server(keys) => keys.update_rx_secret()?,
        };
        self.opener = Cipher::new(secrets, number)?;
        // However often it asks: it is told once, and only when there is something else to say.
        self.owes_keys |= asks;
        Ok(())
    }

    /// Encrypts a batch of what is to be written, and appends its records to `out`: none if there is nothing.
    pub fn seal(&mut self, source: &mut Source<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        for _ in 0..BATCH_RECORDS {
            let Some(places) = source.next_record() else { break };
            // The announcement of new keys is the last record of the old ones, which may not be too many.
            if self.owes_keys || self.sealer.number() + 1 >= self.sealed_max {
                self.renew_keys(out)?;
            }
            self.sealer.seal(ContentType::ApplicationData, places, out)?;
        }
        Ok(())
    }

    /// Appends the farewell of TLS to `out`.
    pub fn say_farewell(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.alert(WARNING, AlertDescription::CloseNotify, out)
    }

    /// Appends to `out` why nothing of the peer is taken any more; it knows by itself what it has said.
    pub fn explain(&mut self, error: &Error, out: &mut Vec<u8>) -> Result<(), Error> {
        let description = match error {
            Error::AlertReceived(_) => return Ok(()),
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            Error::InvalidMessage(_) => AlertDescription::DecodeError,
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. } => AlertDescription::UnexpectedMessage,
            _ => AlertDescription::InternalError,
        };
        self.alert(FATAL, description, out)
    }

    fn alert(
        &mut self,
        level: u8,
        description: AlertDescription,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.sealer.seal(ContentType::Alert, &[&[level, description.into()]], out)
    }

    /// Announces new keys with the old ones, and takes them.
    fn renew_keys(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.sealer.seal(ContentType::Handshake, &[&KEY_UPDATE], out)?;
        let (number, secrets) = match &mut self.keys {
            Keys::Client(keys) => keys.update_tx_secret()?,
            Keys::Server(keys) => keys.update_tx_secret()?,
        };
        self.sealer = Cipher::new(secrets, number)?;
        self.owes_keys = false;
        Ok(())
    }
}

/// How long the first record is with its header, if it is whole.
pub(super) fn whole_record(incoming: &[u8]) -> Option<usize> {
    let ([_, _, _, high, low], rest) = incoming.split_first_chunk::<HEADER_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    (rest.len() >= length).then_some(HEADER_BYTES + length)
}

/// How long what is sealed in the first record is, if it is whole. The version is of no meaning.
fn sealed_length(incoming: &[u8]) -> Result<Option<usize>, Error> {
    let Some((&[kind, _, _, high, low], rest)) = incoming.split_first_chunk::<HEADER_BYTES>()
    else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    match ContentType::from(kind) {
        ContentType::ApplicationData if length > RECORD_BYTES + EXPANSION_BYTES_MAX => {
            Err(Error::PeerSentOversizedRecord)
        }
        ContentType::ApplicationData => Ok((rest.len() >= length).then_some(length)),
        // Nothing is said in the clear after the handshake.
        got_type => {
            let expect_types = vec![ContentType::ApplicationData];
            Err(Error::InappropriateMessage { expect_types, got_type })
        }
    }
}

/// What the peer says of the connection itself.
fn heard_alert(content: &[u8]) -> Result<Step, Error> {
    let &[level, description] = content else {
        return Err(InvalidMessage::MissingData("Alert").into());
    };
    match AlertDescription::from(description) {
        AlertDescription::CloseNotify => Ok(Step::Closed),
        // It is followed by a farewell.
        AlertDescription::UserCanceled if level == WARNING => Ok(Step::Again),
        description => Err(Error::AlertReceived(description)),
    }
}

fn too_many(kind: ContentType) -> Error {
    match kind {
        ContentType::Handshake => PeerMisbehaved::TooManyKeyUpdateRequests.into(),
        ContentType::Alert => PeerMisbehaved::TooManyWarningAlertsReceived.into(),
        _ => PeerMisbehaved::TooManyEmptyFragments.into(),
    }
}

#[cfg(test)]
mod tests;
