//! As much of MQTT 3.1.1 as a benchmark needs: its packets, and a blocking connection.
//!
//! Written for this harness, since a client library spends more on a message than these few lines
//! do, and the broker is to be measured and not its client. Packets are collected and written
//! many at a time; all that came is read at once.
//! Invariant: a packet is shown only when it is there whole, and in the order in which it came.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// What a broker promises of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// QoS 0: sent once and not confirmed.
    AtMostOnce = 0,
    /// QoS 1: confirmed on each way, and sent again after a cut.
    AtLeastOnce = 1,
}

/// What comes from a broker, as far as it matters here.
pub enum Packet<'a> {
    /// It took us in, or not: its code.
    Connected(u8),
    /// It has, or has not, made the subscription: its code.
    Subscribed(u8),
    /// It has taken one of our messages.
    Taken,
    /// A message; with a number if it wants to be confirmed.
    Message {
        /// To be confirmed.
        number: Option<u16>,
        /// What it says.
        payload: &'a [u8],
    },
}

/// One client's connection.
pub struct Connection {
    stream: TcpStream,
    /// What came and was not shown yet lies from `shown` to `filled`.
    read: Vec<u8>,
    shown: usize,
    filled: usize,
    /// What is not written yet.
    write: Vec<u8>,
}

const CONNECT: u8 = 0x10;
const CONNECTED: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const TAKEN: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBSCRIBED: u8 = 0x90;

impl Connection {
    /// Connects to `address` and is let in.
    pub fn open(address: &str) -> Result<Connection> {
        const READ_BYTES: usize = 256 << 10;
        let stream = TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        let (read, write) = (vec![0; READ_BYTES], Vec::new());
        let mut connection = Connection { stream, read, shown: 0, filled: 0, write };
        // Protocol 4 is 3.1.1; a session that starts afresh, no keep-alive, a name that the broker makes.
        connection.write.extend([CONNECT, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0]);
        connection.flush()?;
        match connection.next()? {
            Packet::Connected(0) => Ok(connection),
            Packet::Connected(code) => bail!("the broker refuses the connection: code {code}"),
            _ => bail!("the broker does not say that it takes the connection"),
        }
    }

    /// Subscribes; nothing that is published afterwards is missed.
    pub fn subscribe(&mut self, topic: &str, quality: Quality) -> Result<()> {
        const NUMBER: u16 = 1;
        self.write.push(SUBSCRIBE);
        push_length(&mut self.write, 2 + 2 + topic.len() + 1);
        self.write.extend(NUMBER.to_be_bytes());
        push_text(&mut self.write, topic);
        self.write.push(quality as u8);
        self.flush()?;
        match self.next()? {
            Packet::Subscribed(granted) if granted == quality as u8 => Ok(()),
            Packet::Subscribed(code) => bail!("the broker refuses {topic}: code {code}"),
            _ => bail!("the broker does not say that it has subscribed {topic}"),
        }
    }

    /// Adds a message; `fill` writes all of its payload.
    #[inline]
    pub fn publish(&mut self, outlet: &mut Outlet, bytes: usize, fill: impl FnOnce(&mut [u8])) {
        let number = outlet.next_number();
        let number_bytes = if number.is_some() { 2 } else { 0 };
        self.write.push(outlet.first_byte);
        push_length(&mut self.write, outlet.topic.len() + number_bytes + bytes);
        self.write.extend_from_slice(&outlet.topic);
        self.write.extend(number.into_iter().flat_map(u16::to_be_bytes));
        let begin = self.write.len();
        self.write.resize(begin + bytes, 0);
        fill(&mut self.write[begin..]);
    }

    /// Adds the confirmation of a message.
    pub fn confirm(&mut self, number: u16) {
        self.write.extend([TAKEN, 2]);
        self.write.extend(number.to_be_bytes());
    }

    /// How much is not written yet.
    pub fn unwritten(&self) -> usize {
        self.write.len()
    }

    /// Writes all that was added.
    pub fn flush(&mut self) -> Result<()> {
        if !self.write.is_empty() {
            self.stream.write_all(&self.write)?;
            self.write.clear();
        }
        Ok(())
    }

    /// How long `fill` waits; at first for ever.
    pub fn set_patience(&mut self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Waits until a packet is there, and shows it.
    fn next(&mut self) -> Result<Packet<'_>> {
        while self.whole()?.is_none() {
            self.fill()?;
        }
        self.shown()?.context("the packet was there")
    }

    /// The next packet, if it is there whole.
    #[inline]
    pub fn shown(&mut self) -> Result<Option<Packet<'_>>> {
        let Some((head, bytes)) = self.whole()? else { return Ok(None) };
        let begin = self.shown;
        self.shown += head + bytes;
        parse(self.read[begin], &self.read[begin + head..self.shown]).map(Some)
    }

    /// Bytes of the next packet's head and of its rest, if both are there.
    #[inline]
    fn whole(&self) -> Result<Option<(usize, usize)>> {
        let there = &self.read[self.shown..self.filled];
        let found = packet_length(there)?;
        Ok(found.filter(|(head, bytes)| there.len() >= head + bytes))
    }

    /// Waits for more; without any, until its patience is at an end.
    pub fn fill(&mut self) -> Result<()> {
        self.read.copy_within(self.shown..self.filled, 0);
        (self.shown, self.filled) = (0, self.filled - self.shown);
        // Only a packet that is larger than all the room; the harness sends none above 64 MiB.
        if self.filled == self.read.len() {
            self.read.resize(2 * self.filled, 0);
        }
        match self.stream.read(&mut self.read[self.filled..]) {
            Ok(0) => bail!("the broker has ended the connection"),
            Ok(count) => self.filled += count,
            Err(error) if is_timeout(error.kind()) => (),
            Err(error) => return Err(error).context("reading from the broker"),
        }
        Ok(())
    }
}

/// A topic that is published to.
pub struct Outlet {
    first_byte: u8,
    /// As it stands in a packet.
    topic: Vec<u8>,
    quality: Quality,
    number: u16,
}

impl Outlet {
    /// Publishes to `topic`.
    pub fn new(topic: &str, quality: Quality) -> Outlet {
        let mut encoded = Vec::new();
        push_text(&mut encoded, topic);
        let first_byte = PUBLISH | (quality as u8) << 1;
        Outlet { first_byte, topic: encoded, quality, number: 0 }
    }

    /// Numbers go round, without 0. No more may be under way than there are: the window sees to it.
    #[inline]
    fn next_number(&mut self) -> Option<u16> {
        if self.quality == Quality::AtMostOnce {
            return None;
        }
        self.number = self.number.checked_add(1).unwrap_or(1);
        Some(self.number)
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A length in front, in seven bits a byte.
#[inline]
fn push_length(packet: &mut Vec<u8>, mut bytes: usize) {
    while bytes >= 0x80 {
        packet.push(bytes as u8 | 0x80);
        bytes >>= 7;
    }
    packet.push(bytes as u8);
}

fn push_text(packet: &mut Vec<u8>, text: &str) {
    packet.extend((text.len() as u16).to_be_bytes());
    packet.extend(text.as_bytes());
}

/// Bytes of the head and of the rest, once the head is there whole.
#[inline]
fn packet_length(there: &[u8]) -> Result<Option<(usize, usize)>> {
    const LENGTH_BYTES_MAX: usize = 4;
    let mut rest = 0;
    for (place, &byte) in there.iter().skip(1).take(LENGTH_BYTES_MAX).enumerate() {
        rest |= usize::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(Some((2 + place, rest)));
        }
    }
    ensure!(there.len() <= LENGTH_BYTES_MAX, "a packet without a length");
    Ok(None)
}

#[inline]
fn parse(first_byte: u8, rest: &[u8]) -> Result<Packet<'_>> {
    let code = |place: usize| rest.get(place).copied().context("a packet that is too short");
    match first_byte {
        CONNECTED => Ok(Packet::Connected(code(1)?)),
        SUBSCRIBED => Ok(Packet::Subscribed(code(2)?)),
        TAKEN => Ok(Packet::Taken),
        _ if first_byte & 0xf0 == PUBLISH => message(first_byte, rest),
        _ => bail!("a packet of kind {first_byte:#04x}, which nobody asked for"),
    }
}

#[inline]
fn message(first_byte: u8, rest: &[u8]) -> Result<Packet<'_>> {
    let (length, rest) = rest.split_first_chunk().context("a message without a topic")?;
    // Of which topic it is, each connection knows.
    let rest = rest.get(usize::from(u16::from_be_bytes(*length))..);
    let rest = rest.context("a message whose topic is cut")?;
    match first_byte & 0x06 {
        0 => Ok(Packet::Message { number: None, payload: rest }),
        2 => {
            let (number, payload) = rest.split_first_chunk().context("a message without number")?;
            Ok(Packet::Message { number: Some(u16::from_be_bytes(*number)), payload })
        }
        _ => bail!("a message of a quality that nobody asked for"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn lengths_are_read_as_they_were_written_and_not_before_they_are_whole() {
        for bytes in [0, 1, 0x7f, 0x80, 16_383, 16_384, 1 << 20, (1 << 28) - 1] {
            let mut packet = vec![PUBLISH];
            push_length(&mut packet, bytes);
            let head = packet.len();
            assert_eq!(packet_length(&packet).unwrap(), Some((head, bytes)));
            assert_eq!(packet_length(&packet[..head - 1]).unwrap(), None);
        }
        assert!(packet_length(&[PUBLISH, 0x80, 0x80, 0x80, 0x80, 0x80]).is_err());
    }

    #[test]
    fn damaged_packets_are_refused() {
        for (first_byte, rest) in [
            (CONNECTED, &[0][..]),
            (SUBSCRIBED, &[0, 1]),
            (PUBLISH, &[0]),
            (PUBLISH, &[0, 3, b'a']),
            (PUBLISH | 2, &[0, 1, b'a', 0]),
            (PUBLISH | 6, &[0, 1, b'a', 0, 0]),
            (0, &[]),
        ] {
            assert!(parse(first_byte, rest).is_err(), "{first_byte:#04x} {rest:?}");
        }
    }

    #[test]
    fn messages_come_whole_and_in_order_however_they_are_cut() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::scope(|scope| {
            scope.spawn(move || {
                let (mut peer, _) = listener.accept().unwrap();
                let mut greeting = [0; 14];
                peer.read_exact(&mut greeting).unwrap();
                peer.write_all(&[CONNECTED, 2, 0, 0]).unwrap();
                // What a client publishes looks the same on its way out of a broker.
                let mut byte = [0];
                while peer.read(&mut byte).unwrap() > 0 {
                    peer.write_all(&byte).unwrap();
                }
            });
            let mut connection = Connection::open(&address).unwrap();
            for (quality, numbered) in [(Quality::AtMostOnce, false), (Quality::AtLeastOnce, true)]
            {
                let mut outlet = Outlet::new("topic", quality);
                for value in 0..3 {
                    connection.publish(&mut outlet, 300, |payload| payload.fill(value));
                }
                connection.flush().unwrap();
                for value in 0..3 {
                    let Packet::Message { number, payload } = connection.next().unwrap() else {
                        panic!("not a message");
                    };
                    assert_eq!(number, numbered.then(|| u16::from(value) + 1));
                    assert_eq!(payload, [value; 300]);
                }
            }
        });
    }
}
