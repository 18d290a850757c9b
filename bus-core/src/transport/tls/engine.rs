//! The TLS library's side of a link: bytes of records in, bytes of records and plain ones out.
//!
//! It reads and writes nothing by itself, and knows no socket. Records are decrypted one at a
//! time and encrypted in batches, so that what it holds is bounded by what it is given.

use std::sync::Arc;

use bytes::Bytes;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    AppDataRecord, ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

/// Plain bytes of one record, at most.
const RECORD_BYTES: usize = 16 * 1024;
/// Records that are encrypted before they are sent.
const BATCH_RECORDS: usize = 4;
/// What encryption adds to a record, generously.
const RECORD_OVERHEAD: usize = 256;
/// Room for one batch.
pub(super) const BATCH_BYTES: usize = BATCH_RECORDS * (RECORD_BYTES + RECORD_OVERHEAD);
/// Bytes of a record with all that is around it.
pub(super) const WIRE_RECORD_BYTES_MAX: usize = RECORD_BYTES + 2048 + 5;

/// One of the two sides of TLS.
pub(super) enum Engine {
    /// It connects.
    Client(Box<UnbufferedClientConnection>),
    /// It accepts.
    Server(Box<UnbufferedServerConnection>),
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more to do.
    Again,
    /// Nothing without more bytes from the peer.
    Waits,
    /// The peer has said its farewell.
    Closed,
}

impl Engine {
    /// The connecting side, which expects a broker of this name.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Engine, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        Ok(Engine::Client(Box::new(connection)))
    }

    /// The accepting side.
    pub fn server(config: Arc<ServerConfig>) -> Result<Engine, Error> {
        Ok(Engine::Server(Box::new(UnbufferedServerConnection::new(config)?)))
    }

    /// What both sides have.
    pub fn state(&self) -> &CommonState {
        match self {
            Engine::Client(connection) => connection,
            Engine::Server(connection) => connection,
        }
    }

    /// Takes the next step over what has come, and says how much of it is done with. What is
    /// decrypted goes to `plain`, what must be sent is appended to `outgoing`.
    pub fn step(
        &mut self,
        incoming: &mut [u8],
        plain: &mut impl FnMut(&[u8]),
        outgoing: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Engine::Client(connection) => {
                settle(connection.process_tls_records(incoming), plain, outgoing)
            }
            Engine::Server(connection) => {
                settle(connection.process_tls_records(incoming), plain, outgoing)
            }
        }
    }

    /// Encrypts a batch of what is to be written into `out`, and says how many bytes of `out`
    /// that are. 0 if there is nothing, or the time has not come: take steps first. `incoming` is
    /// what has come and is not done with.
    pub fn seal(
        &mut self,
        incoming: &mut [u8],
        source: &mut Source<'_>,
        out: &mut [u8],
    ) -> Result<usize, EncryptError> {
        self.write(incoming, |traffic| {
            let mut length = 0;
            for _ in 0..BATCH_RECORDS {
                let Some(record) = source.next_record() else { break };
                length += traffic.seal(record, &mut out[length..])?;
            }
            Ok(length)
        })
    }

    /// Encrypts the farewell.
    pub fn say_farewell(
        &mut self,
        incoming: &mut [u8],
        out: &mut [u8],
    ) -> Result<usize, EncryptError> {
        self.write(incoming, |traffic| traffic.say_farewell(out))
    }

    fn write(
        &mut self,
        incoming: &mut [u8],
        work: impl FnOnce(&mut dyn Traffic) -> Result<usize, EncryptError>,
    ) -> Result<usize, EncryptError> {
        match self {
            Engine::Client(connection) => match connection.process_tls_records(incoming).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => work(&mut traffic),
                _ => Ok(0),
            },
            Engine::Server(connection) => match connection.process_tls_records(incoming).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => work(&mut traffic),
                _ => Ok(0),
            },
        }
    }
}

/// What can be written, whichever side it is.
trait Traffic {
    fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, EncryptError>;
    fn say_farewell(&mut self, out: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Side> Traffic for WriteTraffic<'_, Side> {
    fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, EncryptError> {
        self.encrypt(plain, out)
    }

    fn say_farewell(&mut self, out: &mut [u8]) -> Result<usize, EncryptError> {
        self.queue_close_notify(out)
    }
}

/// Does what the library asks for.
fn settle<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    plain: &mut impl FnMut(&[u8]),
    outgoing: &mut Vec<u8>,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let step = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Err(error)) => break Err(error),
                Some(Ok(AppDataRecord { discard: more, payload, .. })) => {
                    discard += more;
                    plain(payload);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let start = outgoing.len();
            let mut encoded = data.encode(&mut []);
            if let Err(EncodeError::InsufficientSize(size)) = encoded {
                outgoing.resize(start + size.required_size, 0);
                encoded = data.encode(&mut outgoing[start..]);
            }
            outgoing.truncate(start + encoded.as_ref().map_or(0, |length| *length));
            encoded.map(|_| Step::Again).map_err(|error| Error::General(error.to_string()))
        }
        // It is kept until it is sent, so it need not be kept by the library.
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Step::Waits),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Step::Closed),
        // Early data is never accepted, and there is no other state.
        Ok(_) => Err(Error::General("early data".into())),
    };
    (discard, step)
}

/// Slices that are to be written, cut into records.
pub(super) struct Source<'a> {
    slices: std::slice::Iter<'a, Bytes>,
    current: &'a [u8],
    /// Small slices are put together here, so that they share a record.
    gathered: Vec<u8>,
    /// How much was given out.
    taken: usize,
}

impl<'a> Source<'a> {
    /// Of these slices; `gathered` is lent for its memory.
    pub fn new(slices: &'a [Bytes], mut gathered: Vec<u8>) -> Source<'a> {
        gathered.clear();
        Source { slices: slices.iter(), current: &[], gathered, taken: 0 }
    }

    /// How many bytes were given out.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Gives the memory back.
    pub fn into_memory(self) -> Vec<u8> {
        self.gathered
    }

    fn next_record(&mut self) -> Option<&[u8]> {
        self.refill();
        if self.current.is_empty() {
            return None;
        }
        // A whole record, or the last bytes: they are encrypted from where they are.
        if self.current.len() >= RECORD_BYTES || self.slices.as_slice().is_empty() {
            let (record, rest) = self.current.split_at(self.current.len().min(RECORD_BYTES));
            self.current = rest;
            self.taken += record.len();
            return Some(record);
        }
        self.gathered.clear();
        while self.gathered.len() < RECORD_BYTES && !self.current.is_empty() {
            let room = RECORD_BYTES - self.gathered.len();
            let (part, rest) = self.current.split_at(self.current.len().min(room));
            self.gathered.extend_from_slice(part);
            self.current = rest;
            self.refill();
        }
        self.taken += self.gathered.len();
        Some(&self.gathered)
    }

    fn refill(&mut self) {
        while self.current.is_empty() {
            let Some(next) = self.slices.next() else { return };
            self.current = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lengths: &[usize]) -> Vec<usize> {
        let slices: Vec<Bytes> =
            lengths.iter().map(|length| Bytes::from(vec![7; *length])).collect();
        let mut source = Source::new(&slices, Vec::new());
        let mut found = Vec::new();
        while let Some(record) = source.next_record() {
            found.push(record.len());
        }
        assert_eq!(source.taken(), lengths.iter().sum::<usize>());
        found
    }

    #[test]
    fn slices_share_records_and_long_ones_fill_them() {
        assert_eq!(records(&[]), [0_usize; 0]);
        assert_eq!(records(&[0, 0]), [0_usize; 0]);
        assert_eq!(records(&[16, 64, 0, 16, 64]), [160]);
        assert_eq!(records(&[RECORD_BYTES + 1]), [RECORD_BYTES, 1]);
        assert_eq!(
            records(&[16, 3 * RECORD_BYTES]),
            [RECORD_BYTES, RECORD_BYTES, RECORD_BYTES, 16]
        );
        assert_eq!(records(&[100_000; 2]).iter().sum::<usize>(), 200_000);
    }
}
