//! Peers of another make: the same library with other settings, and bytes that are made by hand.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bus_core::transport::{
    Link, TlsClient, TlsFailure, TlsServer, connect_tcp, connect_tls, frame_bytes, next_frame,
};
use bus_core::{Decoder, Header, Kind, control};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::spawn_blocking;

use crate::certificates::{Authority, Pair};
use crate::meeting::{address, failure, hear, listen, say};

/// What became of a meeting with a stranger, who only has a sentence.
pub struct Met {
    pub client: io::Result<Box<dyn Link>>,
    pub server: Result<(), String>,
}

/// The same, where the stranger connects.
pub struct MetClient {
    pub client: Result<(), String>,
    pub broker: io::Result<Box<dyn Link>>,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn load(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&pair.certificate).expect("a file");
    let chain = chain.map(|found| found.expect("a certificate")).collect();
    (chain, PrivateKeyDer::from_pem_file(&pair.key).expect("a key"))
}

pub fn server_config(pair: &Pair, protocols: &[&[u8]]) -> rustls::ServerConfig {
    let (chain, key) = load(pair);
    let builder = rustls::ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().expect("there are some");
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).expect("they fit");
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

pub fn client_config(
    authority: &Authority,
    pair: Option<&Pair>,
    protocols: &[&[u8]],
) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.path()).expect("a file")).expect("good");
    let builder = rustls::ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().expect("there are some");
    let builder = builder.with_root_certificates(roots);
    let mut config = match pair.map(load) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("they fit"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

/// Our client meets another's server.
pub async fn meet_foreign_server(config: rustls::ServerConfig, client: &TlsClient) -> Met {
    let connection = rustls::ServerConnection::new(Arc::new(config)).expect("a connection");
    let (address, server) = with_stranger(move |stream| {
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut heard = [0; 5];
        stream.read_exact(&mut heard)?;
        stream.write_all(b"welcome")?;
        stream.flush()
    });
    let client = async {
        let mut link = connect_tls(&address, client).await?;
        say(&mut *link, b"hello").await?;
        hear(&mut *link, b"welcome").await?;
        Ok(link)
    };
    let client = client.await;
    Met { client, server: server.await.expect("runs").map_err(|error| error.to_string()) }
}

/// Another's client meets our listener.
pub async fn meet_foreign_client(server: &TlsServer, config: rustls::ClientConfig) -> MetClient {
    let mut listener = listen(server).await;
    let address = address(&listener);
    let stranger = spawn_blocking(move || {
        let name = "127.0.0.1".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(Arc::new(config), name);
        let stream = patient(TcpStream::connect(address)?)?;
        let mut stream = rustls::StreamOwned::new(connection.expect("a connection"), stream);
        stream.write_all(b"hello")?;
        stream.flush()?;
        stream.read_exact(&mut [0; 7])
    });
    let broker = async {
        let mut link = listener.accept().await?;
        hear(&mut *link, b"hello").await?;
        say(&mut *link, b"welcome").await?;
        Ok(link)
    };
    let broker = broker.await;
    let client = stranger.await.expect("runs").map_err(|error: io::Error| error.to_string());
    MetClient { client, broker }
}

type Stranger = tokio::task::JoinHandle<io::Result<()>>;

/// Somebody who accepts one connection, and does something with it.
pub fn with_stranger(
    act: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static,
) -> (String, Stranger) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (address, spawn_blocking(move || act(patient(listener.accept()?.0)?)))
}

/// A stream on which nobody waits for ever.
pub fn patient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// What our client says to a server that answers with these bytes, and ends.
async fn answered_with(bytes: &'static [u8]) -> (TlsFailure, String) {
    let authority = Authority::new();
    let (address, stranger) = with_stranger(move |mut stream| {
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello)?;
        stream.write_all(bytes)
    });
    let result = connect_tls(&address, &authority.trusting(None)).await;
    stranger.await.expect("runs").expect("the client listens");
    failure(result)
}

/// What our listener says of a client that sends these bytes, and listens; and what that hears.
async fn opened_with(bytes: Vec<u8>) -> (TlsFailure, String, Vec<u8>) {
    let authority = Authority::new();
    let mut listener = listen(&authority.server(&authority.broker(&["127.0.0.1"]))).await;
    let address = address(&listener);
    let stranger = spawn_blocking(move || {
        let mut stream = patient(TcpStream::connect(address)?)?;
        stream.write_all(&bytes)?;
        let mut heard = Vec::new();
        // It may be cut off while something of it is unread.
        let _ = stream.read_to_end(&mut heard);
        io::Result::Ok(heard)
    });
    let mut link = listener.accept().await.expect("accepts");
    let result = hear(&mut *link, b"hello").await.map(|()| link);
    let (found, told) = failure(result);
    (found, told, stranger.await.expect("runs").expect("it connects"))
}

#[tokio::test]
async fn a_server_of_another_protocol_is_no_broker() {
    let authority = Authority::new();
    let pair = authority.broker(&["127.0.0.1"]);
    let client = authority.trusting(None);
    let met = meet_foreign_server(server_config(&pair, &[b"busbar/1"]), &client).await;
    met.client.expect("the same protocol is the same, whoever speaks it");
    met.server.expect("it hears the client");
    let protocols: [&[&[u8]]; 2] = [&[b"h2", b"http/1.1"], &[]];
    for protocols in protocols {
        let met = meet_foreign_server(server_config(&pair, protocols), &client).await;
        let (found, told) = failure(met.client);
        assert_eq!(found, TlsFailure::NoCommonProtocol, "{protocols:?}");
        assert!(told.contains("not the bus protocol"), "{told}");
    }
}

#[tokio::test]
async fn a_client_of_another_protocol_is_refused() {
    let authority = Authority::new();
    let server = authority.server(&authority.broker(&["127.0.0.1"]));
    let met = meet_foreign_client(&server, client_config(&authority, None, &[b"busbar/1"])).await;
    met.broker.expect("the same protocol is the same, whoever speaks it");
    met.client.expect("it is heard");
    let protocols: [&[&[u8]]; 3] = [&[b"h2", b"http/1.1"], &[b"busbar/2"], &[]];
    for protocols in protocols {
        let config = client_config(&authority, None, protocols);
        let met = meet_foreign_client(&server, config).await;
        let (found, told) = failure(met.broker);
        assert_eq!(found, TlsFailure::NoCommonProtocol, "{protocols:?}");
        assert!(told.contains("does not offer the bus protocol"), "{told}");
        met.client.expect_err("it is not served");
    }
}

/// The first message of a client that knows TLS 1.2 and nothing newer.
fn old_hello() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 0x1d, // groups: x25519
        0, 13, 0, 4, 0, 2, 4, 3, // signatures: ECDSA with P-256
        0, 16, 0, 11, 0, 9, 8, b'b', b'u', b's', b'b', b'a', b'r', b'/', b'1', // ALPN
    ];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session, one cipher, no compression.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![1, 0];
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((hello.len() as u16).to_be_bytes());
    record.extend(hello);
    record
}

#[tokio::test]
async fn nobody_gets_in_with_an_older_version() {
    let (found, told, heard) = opened_with(old_hello()).await;
    assert_eq!(found, TlsFailure::OldVersion);
    assert!(told.contains("does not speak TLS 1.3"), "{told}");
    // The alert that says so: protocol_version.
    assert_eq!((heard.first(), heard.last()), (Some(&21), Some(&70)), "{heard:?}");
}

#[tokio::test]
async fn a_server_with_an_older_version_is_not_taken() {
    let (found, told) = answered_with(&[21, 3, 3, 0, 2, 2, 70]).await;
    assert_eq!(found, TlsFailure::OldVersion);
    assert!(told.contains("does not speak TLS 1.3"), "{told}");
    // One that answers as if 1.2 had been asked for.
    const HELLO: &[u8] = &[
        22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
        9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0xc0, 0x2b, 0, 0, 0,
    ];
    let (found, _) = answered_with(HELLO).await;
    assert_eq!(found, TlsFailure::OldVersion);
}

#[tokio::test]
async fn a_port_without_tls_is_told_from_one_with_it() {
    let refusal: &[u8] = &[40, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for bytes in [refusal, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16", b"\x00"] {
        let (found, told) = answered_with(bytes).await;
        match bytes {
            b"\x16" => assert_eq!(found, TlsFailure::Ended),
            _ => {
                assert_eq!(found, TlsFailure::NotTls);
                assert!(told.contains("does not speak TLS: use tcp://"), "{told}");
            }
        }
    }
    let (found, told) = answered_with(b"").await;
    assert_eq!(found, TlsFailure::Ended);
    assert!(told.contains("is it the port of a tls:// listener?"), "{told}");
}

#[tokio::test]
async fn a_client_in_the_clear_is_told_where_it_is_in_its_own_language() {
    let authority = Authority::new();
    let mut listener = listen(&authority.server(&authority.broker(&["127.0.0.1"]))).await;
    let address = address(&listener);
    let talking = async {
        let mut link = connect_tcp(&address).await.expect("connects");
        let hello = frame_bytes(Header::new(Kind::Hello, 0, 0), &[1; 300]);
        link.try_write(&[hello]).expect("there is room");
        let mut decoder = Decoder::for_handshake();
        let frame = next_frame(&mut *link, &mut decoder).await.expect("a frame");
        assert_eq!(frame.header.kind, Kind::Refuse);
        let told = control::decode_failure(Kind::Refuse, &frame.body).expect("a failure");
        assert_eq!(told.text(), "this port speaks TLS: use tls://");
        next_frame(&mut *link, &mut decoder).await.expect_err("nothing follows it");
    };
    let listening = async {
        let mut link = listener.accept().await.expect("accepts");
        let result = hear(&mut *link, b"hello").await.map(|()| link);
        failure(result)
    };
    let ((), (found, told)) = tokio::join!(talking, listening);
    assert_eq!(found, TlsFailure::NotTls);
    assert!(told.contains("does not speak TLS") && told.contains("tls://"), "{told}");
}

#[tokio::test]
async fn junk_costs_its_sender_the_connection_and_nothing_else() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as u8
    };
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..300).map(|_| next()).collect();
        match round % 3 {
            // As it comes.
            0 => bytes[0] |= 0x80,
            // Behind the header of a record.
            1 => bytes[..5].copy_from_slice(&[22, 3, 1, 1, 0x27]),
            // A good message with a byte that is not.
            _ => {
                let place = usize::from(bytes[0]);
                let value = bytes[1];
                bytes = old_hello();
                let length = bytes.len();
                bytes[5 + place % (length - 5)] = value;
            }
        }
        let mut longer = bytes.clone();
        // So that no message is waited for to its end.
        longer.extend([22, 3, 3, 0x7f, 0xff].repeat(4000));
        drop(opened_with(longer).await);
    }
}

#[tokio::test]
async fn a_handshake_without_end_is_ended() {
    // A ClientHello that claims 64,000 bytes, in records of 1,000.
    let mut bytes = Vec::new();
    for record in 0..60 {
        bytes.extend([22, 3, 1, 0x03, 0xe8]);
        bytes.extend([3; 1000]);
        if record == 0 {
            bytes[5..9].copy_from_slice(&[1, 0, 0xfa, 0]);
        }
    }
    let (found, told, _) = opened_with(bytes).await;
    assert_eq!(found, TlsFailure::TooLong { bytes_max: 4166 });
    assert!(told.contains("more than 4166 bytes"), "{told}");
}
