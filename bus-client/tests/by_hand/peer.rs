//! A broker played by hand: it says what a test tells it to, and nothing else.

use bus_client::{Client, ClientOptions};
use bus_core::router::{Answer, Command};
use bus_core::session::{SessionLimits, VERSION, Welcome};
use bus_core::transport::{
    Link, MemListener, mem_listener, mem_pair, next_frame, register_mem, write_frame,
};
use bus_core::{Decoder, ErrorKind, Failure, Frame, Header, Kind, control};
use bytes::Bytes;
use std::time::Duration;

use crate::holding::Holding;

/// The broker's end of a connection.
pub struct Peer {
    link: Box<dyn Link>,
    decoder: Decoder,
}

impl Peer {
    /// A client, and the broker that it is connected to.
    pub async fn with_client() -> (Peer, Client) {
        let (near, far) = mem_pair();
        let client = Client::over_link(near, ClientOptions::default());
        let (peer, client) = tokio::join!(Peer::greet(far, 1), client);
        (peer, client.expect("connects"))
    }

    /// The same, over a link that holds back for a while what the client writes.
    pub async fn with_holding_client() -> (Peer, Client) {
        let (near, far) = mem_pair();
        let near = Box::new(Holding::new(near));
        let client = Client::over_link(near, ClientOptions::default());
        let (peer, client) = tokio::join!(Peer::greet(far, 1), client);
        (peer, client.expect("connects"))
    }

    /// A client that connects again, and where it connects to.
    pub async fn with_listener(options: ClientOptions) -> (Peer, MemListener, Client) {
        let (connector, mut listener) = mem_listener();
        let url = register_mem(connector);
        let client = Client::connect_with(&url, options);
        let (peer, client) = tokio::join!(Peer::accept(&mut listener, 1), client);
        (peer, listener, client.expect("connects"))
    }

    /// Waits for a client, and shakes hands.
    pub async fn accept(listener: &mut MemListener, epoch: u64) -> Peer {
        let link = listener.accept().await.expect("a client");
        Peer::greet(link, epoch).await
    }

    /// Shakes hands as the broker of this epoch, whose session is always a new one.
    pub async fn greet(mut link: Box<dyn Link>, epoch: u64) -> Peer {
        let mut decoder = Decoder::for_handshake();
        let hello = next_frame(&mut *link, &mut decoder).await.expect("a Hello");
        assert_eq!(hello.header.kind, Kind::Hello);
        let welcome = Welcome {
            version: VERSION,
            epoch,
            session: 1,
            token: Bytes::from_static(&[7; 16]),
            resumed: false,
            received: 0,
            grace: Duration::from_secs(10),
            limits: SessionLimits::default(),
            broker: "by hand".into(),
            pid: 1,
            not_resumed: String::new(),
            lane_bytes: 0,
            no_lanes: String::new(),
            rings: false,
        };
        let mut peer = Peer { link, decoder };
        peer.say(Header::new(Kind::Welcome, 0, 0), &control::encode_welcome(&welcome)).await;
        peer.decoder.establish();
        peer
    }

    /// Says something.
    pub async fn say(&mut self, header: Header, body: &[u8]) {
        write_frame(&mut *self.link, header, body).await.expect("the client is there");
    }

    /// The next frame.
    pub async fn hear_any(&mut self) -> Frame {
        next_frame(&mut *self.link, &mut self.decoder).await.expect("a frame")
    }

    /// The next frame that is not about the connection itself.
    pub async fn hear(&mut self) -> Frame {
        loop {
            let frame = self.hear_any().await;
            if frame.header.kind.is_sequenced() {
                return frame;
            }
        }
    }

    /// The kind of the last frame before the connection ends.
    pub async fn last(&mut self) -> Option<Kind> {
        let mut last = None;
        while let Ok(frame) = next_frame(&mut *self.link, &mut self.decoder).await {
            last = Some(frame.header.kind);
        }
        last
    }

    /// What is asked next.
    pub async fn asked(&mut self) -> Command {
        let frame = self.hear().await;
        assert_eq!(frame.header.kind, Kind::Request);
        control::decode_request(&frame.body).expect("well formed")
    }

    /// Answers what is asked next.
    pub async fn answer(&mut self, answer: Answer) -> Command {
        let command = self.asked().await;
        self.reply(&command, Ok(answer)).await;
        command
    }

    /// Refuses what is asked next.
    pub async fn refuse(&mut self, kind: ErrorKind) {
        let command = self.asked().await;
        self.reply(&command, Err(Failure::new(kind, "no"))).await;
    }

    async fn reply(&mut self, command: &Command, result: Result<Answer, Failure>) {
        let request = match command {
            Command::OpenQueue { request, .. }
            | Command::OpenPublisher { request, .. }
            | Command::OpenService { request, .. }
            | Command::Subscribe { request, .. }
            | Command::Declare { request, .. }
            | Command::Broker { request } => *request,
            other => panic!("no answer to {other:?}"),
        };
        let body = control::encode_reply(request, &result);
        self.say(Header::new(Kind::Reply, 0, 0), &body).await;
    }
}

/// What a client hears when a channel is open.
pub fn opened() -> Answer {
    Answer::Opened { id: 1, created: true, hosted: false }
}
