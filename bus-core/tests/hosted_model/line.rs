//! A session of the bridge: both sides of its protocol, joined by a line that can be cut.

use std::time::Duration;

use bus_core::router::{Identity, Output, Router, SessionEnd, SessionId};
use bus_core::session::{
    Action, ClientSession, Established, Event, ServerSession, SessionLimits, VERSION, Welcome,
};
use bus_core::{Arrival, Decoder, Sender, Time};
use bytes::Bytes;

/// The session.
pub struct Line {
    pub client: ClientSession,
    server: ServerSession,
    to_broker: Decoder,
    to_client: Decoder,
    pub session: SessionId,
    epoch: u64,
    pub is_up: bool,
}

fn decoder() -> Decoder {
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    decoder
}

impl Line {
    /// A new session with this broker.
    pub fn open(router: &mut Router, now: Time, epoch: u64, grace: Duration) -> Line {
        let sender = Sender { name: "bridge".into(), uid: Some(0), ..Sender::default() };
        let identity = Identity { sender, admin: true, ..Identity::default() };
        let session = router.open_session(now, identity, grace).expect("far below the limit");
        let mut line = Line {
            client: ClientSession::default(),
            server: ServerSession::default(),
            to_broker: decoder(),
            to_client: decoder(),
            session,
            epoch,
            is_up: true,
        };
        let welcome = line.welcome(false);
        assert!(matches!(line.client.welcome(&welcome), Ok(Established::New)));
        line
    }

    fn welcome(&self, resumed: bool) -> Welcome {
        Welcome {
            version: VERSION,
            epoch: self.epoch,
            session: self.session.serial(),
            token: Bytes::from_static(b"secret"),
            resumed,
            received: self.server.inbound.received(),
            grace: Duration::from_secs(10),
            limits: SessionLimits::default(),
            broker: "test".into(),
            pid: 1,
            not_resumed: String::new(),
            lane_bytes: 0,
            no_lanes: String::new(),
            rings: false,
        }
    }

    /// What the broker tells the session.
    pub fn output(&mut self, output: Output) {
        self.server.output(output);
    }

    /// Carries what the bridge says to its broker. Whether that was anything.
    pub fn push(&mut self, router: &mut Router, now: Time) -> bool {
        if !self.is_up {
            return false;
        }
        self.client.seal();
        let mut slices = Vec::new();
        self.client.outbound.unsent(usize::MAX, usize::MAX, &mut slices);
        let length = slices.iter().map(Bytes::len).sum();
        self.client.outbound.advance(length);
        slices.iter().for_each(|slice| self.to_broker.buffer().extend_from_slice(slice));
        while let Some(arrival) = self.to_broker.next_arrival().expect("the bridge is honest") {
            match arrival {
                Arrival::Frame(frame) => {
                    let action = self.server.frame(frame).expect("the bridge is honest");
                    if let Action::Command(command) = action {
                        router.handle(now, self.session, command);
                    }
                }
                Arrival::Sends { channel, parcel } => {
                    let first = self.server.note_sends(&parcel);
                    router.send_parcel(now, self.session, channel, first, parcel);
                }
                Arrival::Parcel { .. } => panic!("nobody publishes"),
            }
        }
        length > 0
    }

    /// Carries what the broker says to the bridge.
    pub fn pull(&mut self) -> Vec<Event> {
        if !self.is_up {
            return Vec::new();
        }
        self.server.seal();
        let mut slices = Vec::new();
        self.server.outbound.unsent(usize::MAX, usize::MAX, &mut slices);
        let length = slices.iter().map(Bytes::len).sum();
        self.server.outbound.advance(length);
        slices.iter().for_each(|slice| self.to_client.buffer().extend_from_slice(slice));
        let mut events = Vec::new();
        while let Some(incoming) = self.to_client.next_incoming().expect("the broker is honest") {
            events.extend(self.client.incoming(incoming).expect("the broker is honest"));
        }
        events
    }

    /// The connection is cut: what was written and has not arrived is lost.
    pub fn cut(&mut self, router: &mut Router, now: Time, loses: bool) {
        if loses {
            // Written, and on its way.
            for outbound in [&mut self.client.outbound, &mut self.server.outbound] {
                let mut slices = Vec::new();
                outbound.unsent(usize::MAX, usize::MAX, &mut slices);
                outbound.advance(slices.iter().map(Bytes::len).sum());
            }
        }
        self.is_up = false;
        (self.to_broker, self.to_client) = (decoder(), decoder());
        router.suspend(now, self.session);
    }

    /// There is a connection again, and the session goes on.
    pub fn resume(&mut self, router: &mut Router, now: Time) {
        self.is_up = true;
        let hello = self.client.hello("bridge", Duration::from_secs(10));
        let received = hello.resume.expect("it was established").received;
        assert!(self.server.outbound.rewind(received));
        let welcome = self.welcome(true);
        assert!(matches!(self.client.welcome(&welcome), Ok(Established::Resumed)));
        router.resume(now, self.session);
    }

    /// The session is lost at its broker.
    pub fn lose(&mut self, router: &mut Router, now: Time) {
        self.is_up = false;
        router.close_session(now, self.session, SessionEnd::Lost);
    }
}
