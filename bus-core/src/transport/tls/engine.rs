//! TLS without its socket: bytes of records in, bytes of records and plain ones out.
//!
//! The handshake is the library's; when it is over, its keys go to `records`. Nothing is read or written here.
//! Records are decrypted one at a time and encrypted in batches, so that what is held is bounded by what
//! is given.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{AppDataRecord, ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

use super::records::{Keys, Opened, Records};
use super::source::{RECORD_BYTES, Source};

/// Bytes of a record with all that is around it.
pub(super) const WIRE_RECORD_BYTES_MAX: usize = RECORD_BYTES + 2048 + 5;

/// One of the two sides of TLS.
pub(super) enum Engine {
    /// It connects, and shakes hands.
    Client(Box<UnbufferedClientConnection>),
    /// It accepts, and shakes hands.
    Server(Box<UnbufferedServerConnection>),
    /// Either of them, afterwards.
    Records(Box<Records>),
    /// The library has not given its keys away: the link has failed.
    Spent,
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

    /// How the handshake stands, until it is finished.
    pub fn handshake(&self) -> Option<&CommonState> {
        match self {
            Engine::Client(connection) => Some(connection),
            Engine::Server(connection) => Some(connection),
            Engine::Records(_) | Engine::Spent => None,
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
            Engine::Records(records) => {
                let Opened { used, plain: length, step } = records.open(incoming);
                plain(&incoming[..length]);
                (used, step)
            }
            Engine::Spent => (0, Err(Error::HandshakeNotComplete)),
        }
    }

    /// Decrypts whole records where they are, once the handshake is over.
    pub fn open(&mut self, incoming: &mut [u8]) -> Opened {
        match self {
            Engine::Records(records) => records.open(incoming),
            _ => Opened { used: 0, plain: 0, step: Err(Error::HandshakeNotComplete) },
        }
    }

    /// Encrypts a batch of what is to be written, and appends its records to `out`: none if there is
    /// nothing, or the time has not come.
    pub fn seal(&mut self, source: &mut Source<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Engine::Records(records) => records.seal(source, out),
            _ => Ok(()),
        }
    }

    /// Appends the farewell to `out`, if there is anybody to say it to.
    pub fn say_farewell(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Engine::Records(records) => records.say_farewell(out),
            _ => Ok(()),
        }
    }

    /// Appends to `outgoing` why this side goes no further.
    pub fn explain(
        &mut self,
        incoming: &mut [u8],
        error: &Error,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if let Engine::Records(records) = self {
            return records.explain(error, outgoing);
        }
        // Nothing more is taken in than was: one step more would fail again.
        while self.handshake().is_some_and(|state| state.wants_write()) {
            let (_, step) = self.step(incoming, &mut |_| {}, outgoing);
            if step != Ok(Step::Again) {
                break;
            }
        }
        Ok(())
    }

    /// The handshake is over: what follows are records. Nothing may be left that the library has begun
    /// with.
    pub fn finish_handshake(&mut self) -> Result<(), Error> {
        let (secrets, keys) = match std::mem::replace(self, Engine::Spent) {
            Engine::Client(connection) => {
                let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
                (secrets, Keys::Client(keys))
            }
            Engine::Server(connection) => {
                let (secrets, keys) = connection.dangerous_into_kernel_connection()?;
                (secrets, Keys::Server(keys))
            }
            other => {
                *self = other;
                return Ok(());
            }
        };
        *self = Engine::Records(Box::new(Records::new(secrets, keys)?));
        Ok(())
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
