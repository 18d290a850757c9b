//! A client that has shaken hands as it should, and then sends what records it likes.
//!
//! The library would not: its keys are taken out of it, and whatever is sealed with them comes from here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bus_core::transport::Link;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ExtractedSecrets, ProtocolVersion, Tls13CipherSuite,
};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::certificates::Authority;
use crate::foreign::{client_config, patient};
use crate::meeting::{address, listen};

/// Asks the other side for new keys, and announces some.
pub const ASK: [u8; 5] = [24, 0, 0, 1, 1];

pub struct Wilful {
    pub stream: TcpStream,
    unsent: Vec<u8>,
    keys: KernelConnection<ClientConnectionData>,
    encrypter: Box<dyn MessageEncrypter>,
    sent: u64,
    decrypter: Box<dyn MessageDecrypter>,
    received: u64,
}

impl Wilful {
    /// Connects, and shakes hands.
    pub fn connect(address: &str, authority: &Authority) -> Wilful {
        let mut wilful = Wilful::connect_unfinished(address, authority);
        wilful.flush();
        wilful
    }

    /// The same, but what it says last of the handshake goes out together with what it says next.
    pub fn connect_unfinished(address: &str, authority: &Authority) -> Wilful {
        let stream = TcpStream::connect(address).expect("connects");
        let mut stream = patient(stream).expect("a socket");
        let (secrets, keys, unsent) = shake_hands(&mut stream, authority);
        let (key, iv) = key(secrets.tx.1);
        let encrypter = suite(&keys).aead_alg.encrypter(key, iv);
        let (key, iv) = self::key(secrets.rx.1);
        let decrypter = suite(&keys).aead_alg.decrypter(key, iv);
        let (sent, received) = (secrets.tx.0, secrets.rx.0);
        Wilful { stream, unsent, keys, encrypter, sent, decrypter, received }
    }

    /// Sends what it has said and not sent.
    fn flush(&mut self) {
        let _ = self.stream.write_all(&std::mem::take(&mut self.unsent));
    }

    /// One record. Who has had enough of it does not matter here.
    pub fn send(&mut self, typ: ContentType, content: &[u8]) {
        self.keep(typ, content);
        self.flush();
    }

    /// These bytes as they are, with all that was kept before.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        self.flush();
    }

    /// One record, which goes out with what is sent next.
    pub fn keep(&mut self, typ: ContentType, content: &[u8]) {
        let payload = OutboundChunks::Single(content);
        let record = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload };
        let record = self.encrypter.encrypt(record, self.sent).expect("a cipher");
        self.sent += 1;
        self.unsent.extend(record.encode());
    }

    /// Announces new keys, asks for some, and takes its own.
    pub fn renew_keys(&mut self) {
        self.send(ContentType::Handshake, &ASK);
        let (sent, secrets) = self.keys.update_tx_secret().expect("there are more");
        let (key, iv) = key(secrets);
        self.encrypter = suite(&self.keys).aead_alg.encrypter(key, iv);
        self.sent = sent;
    }

    /// The next record, whatever it is. New keys are taken note of. Nothing if there is none.
    pub fn read(&mut self) -> Option<(ContentType, Vec<u8>)> {
        let mut header = [0; 5];
        self.stream.read_exact(&mut header).ok()?;
        let mut sealed = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        self.stream.read_exact(&mut sealed).ok()?;
        let record = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            &mut sealed,
        );
        let record = self.decrypter.decrypt(record, self.received).expect("it is meant for us");
        self.received += 1;
        let (kind, content) = (record.typ, record.payload.to_vec());
        if kind == ContentType::Handshake {
            assert_eq!(content, [24, 0, 0, 1, 0], "new keys, and none asked for");
            let (received, secrets) = self.keys.update_rx_secret().expect("there are more");
            let (key, iv) = key(secrets);
            self.decrypter = suite(&self.keys).aead_alg.decrypter(key, iv);
            self.received = received;
        }
        Some((kind, content))
    }
}

/// A listener of ours, and what this client does at its address: the link to it, and what it comes to.
pub async fn visited<T: Send + 'static>(
    act: impl FnOnce(&str, &Authority) -> T + Send + 'static,
) -> (Box<dyn Link>, JoinHandle<T>) {
    let authority = Authority::new();
    let mut listener = listen(&authority.server(&authority.broker(&["127.0.0.1"]))).await;
    let address = address(&listener);
    let stranger = spawn_blocking(move || act(&address, &authority));
    (listener.accept().await.expect("accepts"), stranger)
}

fn shake_hands(
    stream: &mut TcpStream,
    authority: &Authority,
) -> (ExtractedSecrets, KernelConnection<ClientConnectionData>, Vec<u8>) {
    let mut config = client_config(authority, None, &[b"busbar/1"]);
    config.enable_secret_extraction = true;
    let name = "127.0.0.1".try_into().expect("a name");
    let mut connection =
        UnbufferedClientConnection::new(Arc::new(config), name).expect("a connection");
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    loop {
        let mut waits = false;
        let UnbufferedStatus { discard, state } = connection.process_tls_records(&mut incoming);
        match state.expect("a good broker") {
            ConnectionState::EncodeTlsData(mut data) => {
                let mut room = [0; 4096];
                let length = data.encode(&mut room).expect("there is room");
                outgoing.extend_from_slice(&room[..length]);
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
            }
            ConnectionState::BlockedHandshake => {
                stream.write_all(&std::mem::take(&mut outgoing)).expect("goes on");
                waits = true;
            }
            ConnectionState::WriteTraffic(_) => break,
            other => panic!("{other:?}"),
        }
        incoming.drain(..discard);
        if waits {
            let mut room = [0; 4096];
            let length = stream.read(&mut room).expect("goes on");
            assert_ne!(length, 0, "the broker has gone");
            incoming.extend_from_slice(&room[..length]);
        }
    }
    let (secrets, keys) =
        connection.dangerous_into_kernel_connection().expect("the handshake is over");
    (secrets, keys, outgoing)
}

fn suite(keys: &KernelConnection<ClientConnectionData>) -> &'static Tls13CipherSuite {
    keys.negotiated_cipher_suite().tls13().expect("TLS 1.3")
}

fn key(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    use ConnectionTrafficSecrets as Secrets;
    match secrets {
        Secrets::Aes128Gcm { key, iv }
        | Secrets::Aes256Gcm { key, iv }
        | Secrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("an unknown cipher"),
    }
}
