//! The fixed header in front of every frame, in both encodings.
//!
//! ```text
//! short, 16 bytes                            full, 48 bytes: the short one, and
//!  0 u32 length of the body                  16 u32 target (a channel of any size)
//!  4 u8  kind                                20 u32 origin (a source by its number)
//!  5 u8  flags (bit 0: full)                 24 u64 sequence
//!  6 u16 channel, or a count                 32 u64 message id
//!  8 u64 word: type, ticket, lease, bytes    40 u64 extra
//! ```
//!
//! All little-endian. A run on one channel from one origin needs the short form only: its
//! origin and sequence are the state of the stream.

use super::FrameError;
use crate::message_type::MessageType;

/// Bytes of the short header.
pub(crate) const SHORT_BYTES: usize = 16;
/// Bytes of the full header.
pub(crate) const FULL_BYTES: usize = 48;

const FLAG_FULL: u8 = 1 << 0;
/// The body opens with two bytes of length and the user's headers.
pub const FLAG_HEADERS: u8 = 1 << 1;
/// On a send or offer: do not wait for room.
pub const FLAG_TRY: u8 = 1 << 2;
/// On a delivery: it was delivered before.
pub const FLAG_REDELIVERED: u8 = 1 << 3;
/// On a publish: answer with a receipt.
pub const FLAG_RECEIPT: u8 = 1 << 4;
/// On a delivery: it is acknowledged when it is taken.
pub const FLAG_AUTO: u8 = 1 << 5;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// Its number on the wire.
            pub const fn code(self) -> u8 {
                match self { $(Kind::$name => $code,)* }
            }

            const fn from_code(code: u8) -> Option<Kind> {
                match code { $($code => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// Client: first frame of a connection (control body).
    Hello = 1;
    /// Broker: the Hello is accepted (control body).
    Welcome = 2;
    /// Either: the connection ends, and why (control body).
    Refuse = 3;
    /// Either: sequenced frames up to `word` have arrived.
    Confirm = 4;
    /// Either: answer with a Pong that bears the same word.
    Ping = 5;
    /// Either: the answer.
    Pong = 6;
    /// Either: the session ends here, on purpose (control body).
    Goodbye = 7;

    /// Client: a command (control body).
    Request = 16;
    /// Client: publish on a channel; `word` is the type.
    Publish = 17;
    /// Client: send on a channel; `word` is the type.
    Send = 18;
    /// Client: offer a message of this type; body: its length as u64.
    Offer = 19;
    /// Client: the granted message whose ticket is `extra`; `word` is the type.
    Granted = 20;
    /// Client: take back the send with this ticket.
    Withdraw = 21;
    /// Client: acknowledge `channel` + 1 leases from `word` on.
    Ack = 22;
    /// Client: on a consumer or receive, all leases up to `word` are with the application.
    Taken = 23;
    /// Client: request to a service; `extra` is the deadline in milliseconds.
    Call = 24;
    /// Client, serving: the reply to call `extra`; body and `word` as of a message.
    CallReply = 25;
    /// Client, serving: call `extra` failed (control body).
    CallFailed = 26;
    /// Client: on a subscription, `word` bytes in all are used up.
    Consumed = 27;
    /// Client, hosting a queue: a message from its home for the receiver `sequence`; `message id` is
    /// its lease there, `extra` how often it was delivered before, `origin` its sender.
    HomeLease = 28;
    /// Client, hosting a queue: the message that request `message id` asked to see; as before.
    HomePeeked = 29;
    /// Client, hosting a queue: `word` messages from its home for the receiver `sequence`, none of them
    /// delivered before; `message id` is the lease of the first there, `origin` their sender; body:
    /// their frames as their sender has sent them.
    HomeLeaseParcel = 30;

    /// Broker: answer to a Request (control body).
    Reply = 48;
    /// Broker: something that was not asked for (control body).
    Notice = 49;
    /// Broker: a published message for a subscription.
    Deliver = 50;
    /// Broker: a leased message for a consumer or receive; leases count on from the last one.
    Lease = 51;
    /// Broker: `channel` + 1 tickets from `word` on are accepted.
    Accepted = 52;
    /// Broker: ticket `word` failed (control body).
    Failed = 53;
    /// Broker: ticket `word` may be sent now.
    Grant = 54;
    /// Broker: on a publisher's channel, `word` bytes in all are accepted.
    Credit = 55;
    /// Broker: `channel` + 1 leases from `word` on are settled.
    Settled = 56;
    /// Broker: lease `word` was not there to settle (control body).
    Unsettled = 57;
    /// Broker: `word` messages were dropped here for a subscription.
    Lost = 58;
    /// Broker, to a server: a call; `message id` names it, `extra` is what is left in ms.
    Invoke = 59;
    /// Broker, to a requester: the reply to ticket `extra`.
    Result = 60;
    /// Broker: `word` published messages for a subscription, all from its last source; body: their
    /// frames as their publisher has sent them.
    DeliverParcel = 61;
    /// Broker: `word` leased messages for a consumer, all from its last source; body: their frames
    /// as their sender has sent them.
    LeaseParcel = 62;
    /// Broker, to whoever hosts a queue: a message for its home; `message id` is its ticket.
    HomeSend = 63;
    /// Broker, to whoever hosts a queue: `word` messages for its home; `message id` is the ticket of the
    /// first; body: their frames as their sender has sent them.
    HomeSendParcel = 64;
}

impl Kind {
    /// Whether frames of this kind are numbered, confirmed, and repeated after a cut.
    pub const fn is_sequenced(self) -> bool {
        self.code() >= 16
    }

    /// Whether a client, or else a broker, may send it after the handshake.
    pub const fn is_from_client(self) -> bool {
        matches!(self.code(), 3..=7 | 16..=47)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// Flags that the kind allows.
    pub flags: u8,
    /// The channel meant, or a count less one.
    pub channel: u32,
    /// Type, ticket, lease, or bytes: as the kind says.
    pub word: u64,
    /// A source by its number; 0 is the channel's last one.
    pub origin: u32,
    /// Reserved for frames that stand outside of a stream: the log and the bridge.
    pub sequence: u64,
    /// Names a message or call.
    pub message_id: u64,
    /// As the kind says.
    pub extra: u64,
}

impl Header {
    /// A header with nothing but these.
    pub const fn new(kind: Kind, channel: u32, word: u64) -> Header {
        Header { kind, flags: 0, channel, word, origin: 0, sequence: 0, message_id: 0, extra: 0 }
    }

    /// The same with these flags added.
    pub const fn with_flags(mut self, flags: u8) -> Header {
        self.flags |= flags;
        self
    }

    /// Whether one of these flags is set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    fn is_short(&self) -> bool {
        (self.origin, self.sequence, self.message_id, self.extra) == (0, 0, 0, 0)
            && self.channel <= 0xffff
    }

    /// Bytes of its encoding.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        if self.is_short() { SHORT_BYTES } else { FULL_BYTES }
    }

    /// Appends it, for a body of `length` bytes.
    #[inline]
    pub(crate) fn encode(&self, length: usize, out: &mut impl bytes::BufMut) {
        let short = self.is_short();
        let flags = if short { self.flags & !FLAG_FULL } else { self.flags | FLAG_FULL };
        let mut head = [0u8; SHORT_BYTES];
        // Bodies are bounded far below 4 GiB (limits.rs), so the length fits.
        head[0..4].copy_from_slice(&(length as u32).to_le_bytes());
        head[4] = self.kind.code();
        head[5] = flags;
        head[6..8].copy_from_slice(&(self.channel as u16).to_le_bytes());
        head[8..16].copy_from_slice(&self.word.to_le_bytes());
        if short {
            return out.put_slice(&head);
        }
        self.encode_full(head, out);
    }

    /// The full form, which is rare.
    #[cold]
    fn encode_full(&self, head: [u8; SHORT_BYTES], out: &mut impl bytes::BufMut) {
        let mut bytes = [0u8; FULL_BYTES];
        bytes[..SHORT_BYTES].copy_from_slice(&head);
        bytes[16..20].copy_from_slice(&self.channel.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.origin.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.message_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.extra.to_le_bytes());
        out.put_slice(&bytes);
    }

    /// Reads a header at the start of `bytes`: header, its length, and that of the body.
    /// `None` if it is not there wholly.
    #[inline]
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Header, usize, usize)>, FrameError> {
        let Some(short) = bytes.first_chunk::<SHORT_BYTES>() else { return Ok(None) };
        let [l0, l1, l2, l3, code, flags, c0, c1, word @ ..] = *short;
        let Some(kind) = Kind::from_code(code) else { return Err(FrameError::Kind(code)) };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let channel = u32::from(u16::from_le_bytes([c0, c1]));
        let mut header = Header::new(kind, channel, u64::from_le_bytes(word));
        header.flags = flags & !FLAG_FULL;
        if flags & FLAG_FULL == 0 {
            return Ok(Some((header, SHORT_BYTES, length)));
        }
        let Some(full) = bytes.first_chunk::<FULL_BYTES>() else { return Ok(None) };
        header.channel = number32(full, 16);
        header.origin = number32(full, 20);
        header.sequence = number64(full, 24);
        header.message_id = number64(full, 32);
        header.extra = number64(full, 40);
        Ok(Some((header, FULL_BYTES, length)))
    }
}

/// The header of a message that asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub channel: u16,
    pub kind: MessageType,
    /// Length of the payload.
    pub length: usize,
}

/// The header that `bytes` begin with, if it is of this kind, with a valid type, short and
/// without a flag.
#[inline]
pub(super) fn plain(bytes: &[u8], wanted: Kind) -> Option<Plain> {
    let [l0, l1, l2, l3, code, flags, c0, c1, word @ ..] = *bytes.first_chunk::<SHORT_BYTES>()?;
    if code != wanted.code() || flags != 0 {
        return None;
    }
    let kind = MessageType::new(u64::from_le_bytes(word))?;
    let channel = u16::from_le_bytes([c0, c1]);
    Some(Plain { channel, kind, length: u32::from_le_bytes([l0, l1, l2, l3]) as usize })
}

fn number32(bytes: &[u8; FULL_BYTES], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn number64(bytes: &[u8; FULL_BYTES], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}
