//! A client and a broker's listener that try to say a word to each other.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bus_core::transport::{
    Link, TlsClient, TlsError, TlsFailure, TlsListener, TlsServer, connect_tls,
};
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

/// What became of it on both sides.
pub struct Outcome {
    pub client: io::Result<Box<dyn Link>>,
    pub broker: io::Result<Box<dyn Link>>,
}

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Lets them meet: the client says a word, as with its Hello, and waits for the answer.
pub async fn meet(server: &TlsServer, client: &TlsClient) -> Outcome {
    let mut listener = listen(server).await;
    let address = address(&listener);
    let connecting = async {
        let mut link = connect_tls(&address, client).await?;
        say(&mut *link, b"hello").await?;
        hear(&mut *link, b"welcome").await?;
        Ok(link)
    };
    let accepting = async {
        let mut link = listener.accept().await?;
        hear(&mut *link, b"hello").await?;
        link.establish();
        say(&mut *link, b"welcome").await?;
        Ok(link)
    };
    let both = async { tokio::join!(connecting, accepting) };
    let (client, broker) = timeout(LIMIT, both).await.expect("an end");
    Outcome { client, broker }
}

pub async fn listen(server: &TlsServer) -> TlsListener {
    TlsListener::bind("127.0.0.1:0", server.clone()).await.expect("a port")
}

pub fn address(listener: &TlsListener) -> String {
    listener.local_addr().expect("an address").to_string()
}

pub async fn say(link: &mut dyn Link, word: &'static [u8]) -> io::Result<()> {
    let mut rest = Bytes::from_static(word);
    while !rest.is_empty() {
        poll_fn(|cx| link.poll_writable(cx)).await?;
        match link.try_write(std::slice::from_ref(&rest)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => drop(rest.split_to(written?)),
        }
    }
    poll_fn(|cx| link.poll_flush(cx)).await
}

/// Reads until as much as this word has come, which it must be.
pub async fn hear(link: &mut dyn Link, word: &[u8]) -> io::Result<()> {
    let mut heard = BytesMut::new();
    while heard.len() < word.len() {
        match read(link, &mut heard).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => assert!(word.starts_with(&heard), "{heard:?}"),
        }
    }
    Ok(())
}

pub async fn read(link: &mut dyn Link, into: &mut BytesMut) -> io::Result<usize> {
    loop {
        poll_fn(|cx| link.poll_readable(cx)).await?;
        match link.try_read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// The failure of one side, and its sentence.
pub fn failure(result: io::Result<Box<dyn Link>>) -> (TlsFailure, String) {
    let error = match result {
        Ok(_) => panic!("it must fail"),
        Err(error) => error,
    };
    let found = TlsFailure::of(&error).unwrap_or_else(|| panic!("no failure of TLS: {error:?}"));
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    assert_eq!(inner.map(TlsError::failure), Some(found));
    (found.clone(), error.to_string())
}
