//! A connection that is accepted and not heard yet: a bare socket, which nobody watches.
//!
//! To keep it costs a descriptor, and to drop it is cheap. What its peer has said can be looked at, and stays
//! where it is; so whoever has said nothing, or nothing that this port understands, costs no more than that
//! look. Nothing here waits.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use super::clear::{self, Opening};
use super::exchange::frame_bytes;
use super::stream::StreamLink;
use super::{Peer, Transport, tcp};
use crate::error::Failure;
use crate::frame::{Decoder, FRAME_HEADER_BYTES_MAX, FrameError, Header, Kind, control};
use crate::limits::HANDSHAKE_FRAME_BYTES_MAX;
use crate::sys::will_say_no_more;

/// What is looked at: the longest frame of a handshake, or that much of TLS.
const LOOK_BYTES: usize = HANDSHAKE_FRAME_BYTES_MAX + FRAME_HEADER_BYTES_MAX;

/// Type, version and length of a record of TLS.
const RECORD_HEADER_BYTES: usize = 5;
/// What a record of TLS may contain that is not encrypted yet.
const RECORD_BYTES_MAX: usize = 1 << 14;

/// A connection that is accepted, and about which nothing is known but where it comes from. Its listener
/// makes a link of it.
#[derive(Debug)]
pub struct Arrival {
    socket: TcpStream,
    address: SocketAddr,
    transport: Transport,
}

/// What the peer has said so far.
#[derive(Clone, Debug, PartialEq)]
pub enum Greeting {
    /// Nothing, or less than the first thing that has to be said: a frame, or a record of TLS.
    Unfinished,
    /// The first thing wholly, as far as can be told by its outside.
    Whole,
    /// Something else, and what is to be told about that.
    Foreign(Failure),
    /// No more than that, and it is gone.
    Ended,
}

impl Arrival {
    pub(super) fn new(socket: TcpStream, address: SocketAddr, transport: Transport) -> Arrival {
        Arrival { socket, address, transport }
    }

    /// Where it comes from.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Who is at the other end, as far as is known.
    pub fn peer(&self) -> Peer {
        tcp::peer(self.address, self.transport)
    }

    /// What was said. It is one system call, or two, and takes nothing away.
    pub fn greeting(&self) -> Greeting {
        let mut room = [0; LOOK_BYTES];
        let greeting = match self.socket.peek(&mut room) {
            Ok(0) => return Greeting::Ended,
            Ok(count) => greeting(&room[..count], self.transport),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    return Greeting::Unfinished;
                }
                _ => return Greeting::Ended,
            },
        };
        match greeting {
            Greeting::Unfinished if will_say_no_more(&self.socket) => Greeting::Ended,
            greeting => greeting,
        }
    }

    /// Ends it, and tells why, in the clear: to be used where that is understood. One write: if it does not
    /// go at once nothing is told.
    pub fn refuse(mut self, failure: &Failure) {
        // An end with bytes that nobody has taken is a reset, and may overtake what is said here.
        let _ = self.socket.read(&mut [0; LOOK_BYTES]);
        let frame = frame_bytes(Header::new(Kind::Refuse, 0, 0), &control::encode_failure(failure));
        let _ = self.socket.write(&frame);
    }

    /// As a stream.
    pub(super) fn stream(self) -> io::Result<StreamLink> {
        tcp::stream(self.socket, self.address, self.transport)
    }
}

fn greeting(said: &[u8], transport: Transport) -> Greeting {
    match (transport, clear::opening(said)) {
        (Transport::Tls, Opening::Tls) => record(said),
        (Transport::Tls, Opening::Unclear) => Greeting::Unfinished,
        (Transport::Tls, Opening::Other) => Greeting::Foreign(clear::not_tls()),
        (_, Opening::Tls) => Greeting::Foreign(clear::not_clear()),
        _ => frame(said),
    }
}

/// Of somebody who speaks TLS: he begins with a record of the handshake, in which a ClientHello begins. All else
/// that is in it is the TLS library's business. One that is longer than what is looked at counts when that
/// much of it has come.
fn record(said: &[u8]) -> Greeting {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let Some(&[kind, .., high, low]) = said.first_chunk::<RECORD_HEADER_BYTES>() else {
        return Greeting::Unfinished;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let message = said.get(RECORD_HEADER_BYTES).copied().unwrap_or(CLIENT_HELLO);
    let can_be = (1..=RECORD_BYTES_MAX).contains(&length);
    if kind != HANDSHAKE || !can_be || message != CLIENT_HELLO {
        return Greeting::Foreign(clear::no_client_hello());
    }
    let is_whole = said.len() >= (RECORD_HEADER_BYTES + length).min(LOOK_BYTES);
    if is_whole { Greeting::Whole } else { Greeting::Unfinished }
}

/// Of somebody who speaks in the clear.
fn frame(said: &[u8]) -> Greeting {
    let mut decoder = Decoder::for_handshake();
    decoder.buffer().extend_from_slice(said);
    match decoder.next_frame() {
        Ok(None) => Greeting::Unfinished,
        Ok(Some(frame)) if frame.header.kind == Kind::Hello => Greeting::Whole,
        Ok(Some(frame)) => Greeting::Foreign(FrameError::Unexpected(frame.header.kind).into()),
        Err(error) => Greeting::Foreign(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TcpListener;
    use super::*;
    use crate::error::ErrorKind;

    /// Somebody who has connected and said this.
    async fn arrived(said: &[u8]) -> (Arrival, TcpStream) {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        assert!(listener.backlog().take().expect("listens").is_none(), "nobody has come");
        let address = listener.local_addr().expect("an address");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(said).expect("there is room");
        // Also if it came while nobody was to be woken.
        (listener.arrival().await.expect("accepts"), stream)
    }

    #[tokio::test]
    async fn a_refusal_arrives_although_nobody_has_read_what_was_said() {
        let hello = frame_bytes(Header::new(Kind::Hello, 0, 0), &[7; 100]);
        let (arrival, mut stream) = arrived(&hello).await;
        assert_eq!(arrival.greeting(), Greeting::Whole);
        let failure = Failure::new(ErrorKind::QuotaExceeded, "too many");
        arrival.refuse(&failure);
        let mut told = Vec::new();
        stream.read_to_end(&mut told).expect("no reset");
        let expected = control::encode_failure(&failure);
        assert_eq!(told, frame_bytes(Header::new(Kind::Refuse, 0, 0), &expected));
        // The control: one that is only dropped is reset.
        let (arrival, mut stream) = arrived(&hello).await;
        drop(arrival);
        stream.read_to_end(&mut told).expect_err("it was told nothing");
    }

    #[tokio::test]
    async fn who_leaves_before_he_has_said_it_wholly_has_ended() {
        let (arrival, stream) = arrived(&[1, 0, 0]).await;
        assert_eq!(arrival.greeting(), Greeting::Unfinished);
        drop(stream);
        assert_eq!(arrival.greeting(), Greeting::Ended);
        let (arrival, stream) = arrived(&[]).await;
        assert_eq!(arrival.greeting(), Greeting::Unfinished);
        drop(stream);
        assert_eq!(arrival.greeting(), Greeting::Ended);
    }

    #[test]
    fn a_look_tells_who_has_said_the_first_thing_wholly() {
        let hello = frame_bytes(Header::new(Kind::Hello, 0, 0), &[7; 100]);
        let ping = frame_bytes(Header::new(Kind::Ping, 0, 0), &[]);
        let tls = [&[22, 3, 1, 1, 0, 1][..], &[0; 255]].concat();
        let check = |said: &[u8], clear: &str, over_tls: &str| {
            for (transport, expected) in [(Transport::Tcp, clear), (Transport::Tls, over_tls)] {
                let found = greeting(said, transport);
                let name = format!("{found:?}");
                assert!(name.starts_with(expected), "{found:?} of {said:?} over {transport}");
            }
        };
        check(&hello, "Whole", "Foreign");
        check(&[&hello[..], &ping].concat(), "Whole", "Foreign");
        check(&hello[..hello.len() - 1], "Unfinished", "Foreign");
        check(&hello[..3], "Unfinished", "Foreign");
        check(&ping, "Foreign", "Foreign");
        check(b"GET / HTTP/1.1\r\nHost: bus\r\n\r\n", "Foreign", "Foreign");
        check(&tls, "Foreign", "Whole");
        check(&tls[..tls.len() - 1], "Foreign", "Unfinished");
        check(&tls[..4], "Foreign", "Unfinished");
        check(&tls[..2], "Unfinished", "Unfinished");
        // Longer than what is looked at: as much of it as that must have come.
        let long = [&[22, 3, 1, 0x40, 0, 1][..], &[0; LOOK_BYTES]].concat();
        check(&long[..5], "Foreign", "Unfinished");
        check(&long[..LOOK_BYTES - 1], "Foreign", "Unfinished");
        check(&long[..LOOK_BYTES], "Foreign", "Whole");
        check(&frame_bytes(Header::new(Kind::Hello, 0, 0), &[7; 5000]), "Foreign", "Foreign");
    }

    #[test]
    fn only_a_record_in_which_a_client_hello_begins_is_a_first_word_over_tls() {
        let foreign = |said: &[u8]| {
            let found = greeting(said, Transport::Tls);
            assert!(matches!(found, Greeting::Foreign(_)), "{found:?} of {said:?}");
        };
        // Nothing in it, more than may be in it, another message, and an alert.
        foreign(&[22, 3, 1, 0, 0]);
        foreign(&[22, 3, 1, 0x40, 1]);
        foreign(&[22, 3, 1, 255, 255]);
        foreign(&[22, 3, 1, 0, 4, 2, 0, 0, 0]);
        foreign(&[22, 3, 1, 1, 0, 16]);
        foreign(&[21, 3, 3, 0, 2, 1, 0]);
        // The control: one that is spread over records begins with what is in the first one.
        assert_eq!(greeting(&[22, 3, 1, 0, 1, 1], Transport::Tls), Greeting::Whole);
    }
}
