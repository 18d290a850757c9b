//! A peer without manners: it speaks over the bare link, and says what a client never would.

#[path = "authority.rs"]
pub mod authority;

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bus_core::session::{Hello, Resume, VERSION, Welcome};
use bus_core::transport::{
    Link, LinkError, connect_local, connect_mem, connect_tcp, connect_tls, frame_bytes, next_frame,
};
use bus_core::{BusUrl, Decoder, Failure, Frame, Header, Kind, control};
use bytes::Bytes;

/// A connection to a broker.
pub struct Raw {
    link: Box<dyn Link>,
    decoder: Decoder,
}

/// Connects a link to a URL.
pub async fn dial(url: &str) -> io::Result<Box<dyn Link>> {
    match url.parse().expect("a URL") {
        BusUrl::Local(Some(path)) | BusUrl::Shm(Some(path)) => connect_local(&path).await,
        BusUrl::Tcp(address) => connect_tcp(&address).await,
        BusUrl::Tls(address) => connect_tls(&address, &authority::bare_client()).await,
        BusUrl::Mem(name) => connect_mem(&name).await,
        other => panic!("no raw peer for {other}"),
    }
}

/// What an honest client would open with.
pub fn honest() -> Hello {
    Hello {
        version_min: VERSION,
        version_max: VERSION,
        name: "raw".into(),
        grace: Duration::ZERO,
        resume: None,
        lane_bytes: 0,
        rings: false,
        credential: None,
    }
}

/// Opens with the wish to go on with somebody's session.
pub fn resuming(welcome: &Welcome) -> Hello {
    let resume = Resume {
        epoch: welcome.epoch,
        session: welcome.session,
        token: welcome.token.clone(),
        received: 0,
    };
    Hello { resume: Some(resume), ..honest() }
}

impl Raw {
    pub async fn connect(url: &str) -> Raw {
        let link = dial(url).await.expect("connects");
        Raw { link, decoder: Decoder::for_handshake() }
    }

    /// Connects and shakes hands.
    pub async fn established(url: &str) -> Raw {
        let mut raw = Raw::connect(url).await;
        raw.hello(&honest()).await.expect("the broker takes it");
        raw
    }

    /// Shakes hands: what the broker says to it.
    pub async fn hello(&mut self, hello: &Hello) -> Result<Welcome, Failure> {
        self.frame(Header::new(Kind::Hello, 0, 0), &control::encode_hello(hello)).await;
        let frame = self.next().await.expect("the broker answers");
        match frame.header.kind {
            Kind::Welcome => {
                self.decoder.establish();
                Ok(control::decode_welcome(&frame.body).expect("well formed"))
            }
            kind => Err(control::decode_failure(kind, &frame.body).expect("a refusal")),
        }
    }

    /// Writes a frame, whatever becomes of it.
    pub async fn frame(&mut self, header: Header, body: &[u8]) {
        self.bytes(frame_bytes(header, body)).await;
    }

    /// Writes bytes until all are out, or the broker has gone.
    pub async fn bytes(&mut self, bytes: impl Into<Bytes>) {
        let mut rest: Bytes = bytes.into();
        while !rest.is_empty() {
            let ready = poll_fn(|cx| self.link.poll_writable(cx)).await;
            match ready.and_then(|()| self.link.try_write(std::slice::from_ref(&rest))) {
                Ok(count) => drop(rest.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> Result<Frame, LinkError> {
        next_frame(&mut *self.link, &mut self.decoder).await
    }

    /// Reads to the end of the connection; gives the kinds of what came.
    pub async fn read_to_end(&mut self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        while let Ok(frame) = self.next().await {
            kinds.push(frame.header.kind);
        }
        kinds
    }
}
