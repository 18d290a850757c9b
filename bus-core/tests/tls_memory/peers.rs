//! Peers that say as much as they may, and never all of it.
//!
//! Each goes as far in its conversation as its stage says, and then stops one byte short.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bus_core::transport::frame_bytes;
use bus_core::{Header, Kind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::certificates::Authority;

/// How far somebody goes.
#[derive(Clone)]
enum Way {
    /// Bytes in the clear: nothing, or a record that never ends.
    Bare(Vec<u8>),
    /// The handshake, but for the last bytes of its second flight.
    Flight(Arc<ClientConfig>),
    /// The whole handshake, and then so many bytes in one record, but for its last one.
    Record(Arc<ClientConfig>, usize),
    /// The whole handshake, and then so many bytes in whole records.
    Records(Arc<ClientConfig>, usize),
}

/// A way, and what becomes of who goes it.
pub struct Stage {
    pub name: String,
    /// He may go on; else he is sent away.
    pub is_taken: bool,
    /// What he has proved to be his own.
    pub certificates_bytes: usize,
    way: Way,
}

impl Stage {
    fn new(name: String, is_taken: bool, way: Way) -> Stage {
        Stage { name, is_taken, certificates_bytes: 0, way }
    }

    /// All of them, and one that costs too much if nobody stops it.
    pub fn all(authority: &Authority) -> (Vec<Stage>, Stage) {
        let nobody = Arc::new(config(authority, None));
        let mut all = vec![Stage::new("nothing".into(), true, Way::Bare(Vec::new()))];
        for length in [1000, 4000, 4160, 4200, 8000, 16_300] {
            let name = format!("a first record of {length} bytes");
            all.push(Stage::new(name, length < 4166, Way::Bare(opening(length))));
        }
        all.extend(with_certificates(authority));
        for length in [1, 1000, 4000, 4096, 4200, 8000, 16_384] {
            let (half, whole) =
                (Way::Record(nobody.clone(), length), Way::Records(nobody.clone(), length));
            let name = format!("half a record of {length} bytes inside");
            all.push(Stage::new(name, length < 4144, half));
            let name = format!("{length} bytes in whole records inside");
            all.push(Stage::new(name, length < 4112, whole));
        }
        (all, Stage::new("half a long record".into(), false, Way::Record(nobody, 16_384)))
    }

    /// What it does. Gives the connection, on which nothing more is said.
    pub fn attack(&self, address: SocketAddr) -> impl FnOnce() -> TcpStream + Send + 'static {
        let way = self.way.clone();
        move || {
            let mut stream = TcpStream::connect(address).expect("it listens");
            // The broker may have had enough before all is said.
            let _ = way.go(&mut stream);
            stream
        }
    }
}

impl Way {
    fn go(self, stream: &mut TcpStream) -> std::io::Result<()> {
        let (config, inside) = match self {
            Way::Bare(bytes) => return stream.write_all(&bytes),
            Way::Flight(config) => {
                let (_, mut flight) = shake_hands(config, stream)?;
                flight.pop();
                return stream.write_all(&flight);
            }
            Way::Record(config, length) => {
                let (mut connection, mut flight) = shake_hands(config, stream)?;
                flight.extend(sealed(&mut connection, length));
                flight.pop();
                return stream.write_all(&flight);
            }
            Way::Records(config, length) => (config, length),
        };
        let (mut connection, mut flight) = shake_hands(config, stream)?;
        flight.extend(sealed(&mut connection, inside));
        stream.write_all(&flight)
    }
}

/// Peers with certificates, behind a good one of which stand others that mean nothing.
fn with_certificates(authority: &Authority) -> Vec<Stage> {
    let ada = authority.client("ada");
    let own = CertificateDer::from_pem_file(&ada.certificate).expect("a certificate");
    let key = || PrivateKeyDer::from_pem_file(&ada.key).expect("a key");
    let mut all = Vec::new();
    for (count, length) in [
        (0, 0),
        (1, 500),
        (1, 1800),
        (1, 2400),
        (2, 1250),
        (1, 2600),
        (8, 300),
        (1, 5000),
        (400, 4),
    ] {
        let behind = vec![CertificateDer::from(vec![0x30; length]); count];
        let shown = [vec![own.clone()], behind].concat();
        let certificates_bytes = shown.iter().map(|one| one.len() + size_of_val(one)).sum();
        let mut config = config(authority, Some((shown, key())));
        let whole = Arc::new(config.clone());
        let name = format!("a certificate with {count} of {length} bytes behind it");
        let (fits, is_taken) = (length < 5000, length < 5000 && count <= 8);
        all.push(Stage::new(format!("{name}, in one record"), fits, Way::Flight(whole.clone())));
        // In small records, so that nothing but the last one is missing.
        config.max_fragment_size = Some(96);
        let way = Way::Flight(Arc::new(config));
        all.push(Stage::new(format!("{name}, in many"), is_taken, way));
        let name = format!("{name}, and half a Hello");
        let way = Way::Record(whole, 4000);
        all.push(Stage { name, is_taken, certificates_bytes, way });
    }
    all
}

/// A ClientHello that claims to be longer than this, in one record that is not whole.
fn opening(length: usize) -> Vec<u8> {
    let mut bytes = vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
    bytes.resize(length, 7);
    bytes
}

/// So many bytes of a Hello that is the longest there may be, as records.
fn sealed(connection: &mut ClientConnection, length: usize) -> Vec<u8> {
    let mut hello = Vec::new();
    while hello.len() < length {
        // Whole ones are answered, so that the first must not be.
        let body = vec![0; bus_core::HANDSHAKE_FRAME_BYTES_MAX];
        hello.extend(frame_bytes(Header::new(Kind::Hello, 0, 0), &body));
    }
    hello.truncate(length);
    connection.writer().write_all(&hello).expect("there is room");
    said(connection)
}

fn said(connection: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).expect("there is room");
    }
    bytes
}

/// Gets so far that nothing but the second flight is to be said, which it gives.
fn shake_hands(
    config: Arc<ClientConfig>,
    stream: &mut TcpStream,
) -> std::io::Result<(ClientConnection, Vec<u8>)> {
    let name = "127.0.0.1".try_into().expect("a name");
    let mut connection = ClientConnection::new(config, name).expect("a connection");
    stream.write_all(&said(&mut connection))?;
    while connection.is_handshaking() {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes)?;
        connection.read_tls(&mut &bytes[..count])?;
        connection.process_new_packets().expect("a good broker");
    }
    let flight = said(&mut connection);
    Ok((connection, flight))
}

fn config(
    authority: &Authority,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.path()).expect("a file")).expect("good");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("there are some");
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("they fit"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"busbar/1".to_vec()];
    config
}
