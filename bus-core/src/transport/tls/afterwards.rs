//! Messages of the handshake that come after it: new keys, and tickets.
//!
//! A message may be spread over records, and several may share one. Nothing is kept of a message that is not
//! allowed: a client may only ask for new keys, so that a broker keeps less than such a message of it.

use rustls::{Error, HandshakeType, InvalidMessage, PeerMisbehaved};

use super::failure::Side;

/// Kind and length in front of each message.
const HEADER_BYTES: usize = 4;
/// The longest ticket that is taken note of, to be thrown away: sessions are not resumed.
const TICKET_BYTES_MAX: usize = 16 * 1024;
/// A request for new keys has one byte in it.
const KEY_UPDATE_BYTES: usize = 1;

/// This side has new keys now, and asks for none of the other one.
pub(super) const KEY_UPDATE: [u8; HEADER_BYTES + KEY_UPDATE_BYTES] = [24, 0, 0, 1, 0];

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// The peer has new keys from the next record on.
    KeyUpdate {
        /// It asks for new ones of this side as well.
        asks: bool,
    },
    /// A broker's ticket, of which no use is made.
    Ticket,
}

/// Puts the messages of one peer together.
#[derive(Debug)]
pub(super) struct Messages {
    /// Which side the peer's messages come to.
    side: Side,
    partial: Vec<u8>,
}

impl Messages {
    /// For this side, which hears the other one.
    pub fn new(side: Side) -> Messages {
        Messages { side, partial: Vec::new() }
    }

    /// Whether a message has begun that is not whole: nothing else may come then.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Takes the content of a record, which is not empty.
    pub fn take(
        &mut self,
        content: &[u8],
        mut heard: impl FnMut(Afterwards) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if content.is_empty() {
            return Err(InvalidMessage::InvalidEmptyPayload.into());
        }
        self.partial.extend_from_slice(content);
        let mut rest = &self.partial[..];
        while let Some((message, length)) = message(rest, self.side)? {
            rest = &rest[length..];
            if matches!(message, Afterwards::KeyUpdate { .. }) && !rest.is_empty() {
                return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
            }
            heard(message)?;
        }
        self.partial = rest.to_vec();
        Ok(())
    }
}

/// The first message, if it is whole, and its length.
fn message(bytes: &[u8], side: Side) -> Result<Option<(Afterwards, usize)>, Error> {
    let Some(kind) = bytes.first().copied().map(HandshakeType::from) else { return Ok(None) };
    let longest = match (kind, side) {
        (HandshakeType::KeyUpdate, _) => KEY_UPDATE_BYTES,
        (HandshakeType::NewSessionTicket, Side::Client) => TICKET_BYTES_MAX,
        (got_type, _) => {
            let expect_types = vec![HandshakeType::KeyUpdate];
            return Err(Error::InappropriateHandshakeMessage { expect_types, got_type });
        }
    };
    let Some((&[_, high, middle, low], body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > longest {
        return Err(InvalidMessage::HandshakePayloadTooLarge.into());
    }
    let Some(body) = body.get(..length) else { return Ok(None) };
    let message = match (kind, body) {
        (HandshakeType::KeyUpdate, [0]) => Afterwards::KeyUpdate { asks: false },
        (HandshakeType::KeyUpdate, [1]) => Afterwards::KeyUpdate { asks: true },
        (HandshakeType::KeyUpdate, _) => return Err(InvalidMessage::InvalidKeyUpdate.into()),
        _ => Afterwards::Ticket,
    };
    Ok(Some((message, HEADER_BYTES + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(side: Side, contents: &[&[u8]]) -> Result<Vec<Afterwards>, Error> {
        let (mut messages, mut found) = (Messages::new(side), Vec::new());
        for content in contents {
            messages.take(content, |message| {
                found.push(message);
                Ok(())
            })?;
            assert!(messages.partial.len() <= HEADER_BYTES + TICKET_BYTES_MAX);
        }
        Ok(found)
    }

    #[test]
    fn messages_share_records_and_are_spread_over_them() {
        const TICKET: [u8; 6] = [4, 0, 0, 2, 7, 7];
        let update = Afterwards::KeyUpdate { asks: false };
        let both = [&TICKET[..], &KEY_UPDATE].concat();
        assert_eq!(heard(Side::Client, &[&both]), Ok(vec![Afterwards::Ticket, update]));
        let bytes: Vec<&[u8]> = both.chunks(1).collect();
        assert_eq!(heard(Side::Client, &bytes), Ok(vec![Afterwards::Ticket, update]));
        assert_eq!(
            heard(Side::Broker, &[&[24, 0, 0, 1, 1]]),
            Ok(vec![Afterwards::KeyUpdate { asks: true }])
        );
    }

    #[test]
    fn what_is_not_allowed_is_refused_as_soon_as_it_begins() {
        // A ticket is for clients; there is no second handshake; and so on.
        assert!(heard(Side::Broker, &[&[4]]).is_err());
        assert!(heard(Side::Client, &[&[1]]).is_err());
        assert!(heard(Side::Client, &[&[]]).is_err());
        for invalid in [[24, 0, 0, 1, 2], [24, 0, 0, 0, 0], [24, 0, 0, 2, 0]] {
            assert!(heard(Side::Broker, &[&invalid]).is_err(), "{invalid:?}");
        }
        assert_eq!(
            heard(Side::Client, &[&[4, 0, 0x40, 1]]),
            Err(InvalidMessage::HandshakePayloadTooLarge.into())
        );
        // New keys hold from the next record on, so nothing may be left of this one.
        let twice = [KEY_UPDATE, KEY_UPDATE].concat();
        assert_eq!(
            heard(Side::Broker, &[&twice]),
            Err(PeerMisbehaved::KeyEpochWithPendingFragment.into())
        );
    }
}
