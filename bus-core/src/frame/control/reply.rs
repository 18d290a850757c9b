//! Replies: the broker's answers to requests.

use bus_proto::v1;
use bus_proto::v1::reply::Result as Wire;
use bytes::{Bytes, BytesMut};

use super::convert::{Convert, missing, refuse};
use super::{Answer, FrameError, Kind, accept, encode, malformed, parse};
use crate::error::{ErrorKind, Failure};
use crate::message::{Headers, Message};
use crate::message_type::MessageType;
use crate::router::{Peeked, RequestId};

/// The body of the Reply frame to a request.
pub fn encode_reply(request: RequestId, result: &Result<Answer, Failure>) -> Bytes {
    let result = match result {
        Err(failure) => Wire::Failure(failure.to_wire()),
        Ok(Answer::Opened { id, created, hosted }) => {
            Wire::Opened(v1::Opened { id: *id, created: *created, hosted: *hosted })
        }
        Ok(Answer::Home { hops }) => Wire::Home(v1::Home { hops: hops.clone() }),
        Ok(Answer::Done { count }) => Wire::Done(v1::Done { count: *count }),
        Ok(Answer::Retired { messages, holders }) => {
            Wire::Retired(v1::Retired { messages: *messages, holders: *holders })
        }
        Ok(Answer::Listing(listing)) => Wire::Listing(listing.to_wire()),
        Ok(Answer::Peeked(peeked)) => Wire::Peeked(peeked.to_wire()),
        Ok(Answer::Broker(info)) => Wire::Broker(info.to_wire()),
    };
    encode(&v1::Reply { request, result: Some(result) })
}

/// The request that the body of a Reply frame answers, and the answer.
///
/// # Errors
/// When the body is malformed.
pub fn decode_reply(body: &[u8]) -> Result<(RequestId, Result<Answer, Failure>), FrameError> {
    let v1::Reply { request, result } = parse(Kind::Reply, body)?;
    let kind = Kind::Reply;
    let answer = match result.ok_or_else(|| malformed(kind, missing("result")))? {
        Wire::Failure(given) => return Ok((request, Err(accept(kind, given, "failure")?))),
        Wire::Opened(v1::Opened { id, created, hosted }) => Answer::Opened { id, created, hosted },
        Wire::Home(v1::Home { hops }) => Answer::Home { hops },
        Wire::Done(v1::Done { count }) => Answer::Done { count },
        Wire::Retired(v1::Retired { messages, holders }) => Answer::Retired { messages, holders },
        Wire::Listing(given) => Answer::Listing(Box::new(accept(kind, given, "listing")?)),
        Wire::Peeked(given) => Answer::Peeked(Box::new(accept(kind, given, "peeked")?)),
        Wire::Broker(given) => Answer::Broker(Box::new(accept(kind, given, "broker")?)),
    };
    Ok((request, Ok(answer)))
}

/// The body of a message that was looked at: so many bytes of headers, then the payload.
impl Convert<v1::Peeked> for Peeked {
    fn to_wire(&self) -> v1::Peeked {
        let headers = self.message.headers().encoded();
        let mut body = self.message.payload().clone();
        if !headers.is_empty() {
            let mut joined = BytesMut::with_capacity(headers.len() + body.len());
            joined.extend_from_slice(headers);
            joined.extend_from_slice(&body);
            body = joined.freeze();
        }
        v1::Peeked {
            r#type: self.message.kind().to_wire(),
            body,
            // Headers are at most 4 KiB (limits.rs).
            headers: headers.len() as u32,
            attempt: self.attempt,
            sender: self.sender.to_wire(),
        }
    }

    fn from_wire(given: v1::Peeked, _: &str) -> Result<Self, Failure> {
        let kind = MessageType::from_wire(given.r#type, "type")?;
        let (mut body, length) = (given.body, given.headers as usize);
        if length > body.len() {
            let allowed = format!("0 to {}", body.len());
            return Err(refuse(ErrorKind::InvalidArgument, "headers", length, allowed));
        }
        let headers = Headers::parse(body.split_to(length))?;
        Ok(Peeked {
            message: Message::new(kind, body).with_headers(headers),
            attempt: given.attempt,
            sender: Convert::from_wire(given.sender, "sender")?,
        })
    }
}
