//! What a client must not be able to make of the broker's side of its session.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::frame::Decoder;
use crate::limits::ORIGINS_MAX;
use crate::message::Message;
use crate::router::{Channel, HostedTell};

fn from(session: u64) -> Arc<Sender> {
    Arc::new(Sender { session, ..Sender::default() })
}

fn leased(session: &mut ServerSession, channel: Channel, by: u64) {
    let (lease, message) = (session.last_lease + 1, Message::from("x"));
    let (sender, attempt, auto_ack) = (from(by), 0, false);
    session.output(Output::Lease { channel, lease, attempt, auto_ack, sender, message });
}

/// Who each delivery is from, as a client understands it.
fn understood(session: &mut ServerSession) -> Vec<u64> {
    let mut slices = Vec::new();
    session.outbound.unsent(usize::MAX, usize::MAX, &mut slices);
    let mut decoder = Decoder::for_handshake();
    decoder.establish();
    slices.iter().for_each(|slice| decoder.buffer().extend_from_slice(slice));
    let (mut origins, mut channels) = (BTreeMap::new(), BTreeMap::new());
    let mut senders = Vec::new();
    while let Some(frame) = decoder.next_frame().expect("well formed") {
        let header = frame.header;
        if header.kind == Kind::Notice {
            if let Notice::Origin { origin, sender, .. } =
                Notice::decode(&frame.body).expect("well formed")
            {
                origins.insert(origin, sender.session);
            }
            continue;
        }
        if header.origin != 0 {
            channels.insert(header.channel, header.origin);
        }
        senders.push(origins[&channels[&header.channel]]);
    }
    senders
}

#[test]
fn a_delivery_names_its_sender_however_many_others_were_named() {
    let mut session = ServerSession::default();
    let mut expected = Vec::new();
    let mut deliver = |session: &mut ServerSession, channel, by| {
        leased(session, channel, by);
        expected.push(by);
    };
    deliver(&mut session, 1, 7);
    for other in 0..3 * ORIGINS_MAX as u64 {
        deliver(&mut session, 2, 1000 + other);
        if other % 1000 == 0 {
            deliver(&mut session, 1, 7);
        }
    }
    deliver(&mut session, 1, 7);
    assert_eq!(understood(&mut session), expected);
}

fn ack(session: &mut ServerSession, first: Lease, more: u32) -> Result<(), FrameError> {
    let frame = Frame { header: Header::new(Kind::Ack, more, first), body: Bytes::new() };
    session.frame(frame).map(|_| ())
}

#[test]
fn leases_are_acknowledged_no_more_often_than_given() {
    let mut session = ServerSession::default();
    for _ in 0..10 {
        leased(&mut session, 1, 7);
    }
    ack(&mut session, 1, 4).expect("five of ten");
    ack(&mut session, 6, 4).expect("and the others");
    assert!(matches!(ack(&mut session, 1, 0), Err(FrameError::Violation(_))));
    assert!(matches!(ack(&mut session, 1, u32::MAX), Err(FrameError::Violation(_))));
}

/// A message from the home of a hosted queue names its sender, and only one that was named.
#[test]
fn home_of_a_hosted_queue_names_senders_first() {
    let mut session = ServerSession::default();
    let frame = |origin| {
        let mut header = Header::new(Kind::HomeLease, 1, 1);
        (header.origin, header.sequence, header.message_id) = (origin, 5, 9);
        Frame { header, body: Bytes::from_static(b"x") }
    };
    assert!(matches!(session.frame(frame(3)), Err(FrameError::Violation(_))));
    assert!(session.name_sender(3, Sender { session: 77, ..Sender::default() }).is_ok());
    let Ok(Action::Command(Command::Bridge(command))) = session.frame(frame(3)) else {
        panic!("it was named");
    };
    let BridgeCommand::Hosted { channel: 1, tell } = command else { panic!() };
    let HostedTell::Lease { receiver: 5, lease: 9, sender, .. } = tell else { panic!("{tell:?}") };
    assert_eq!(sender.session, 77);
    let mut last = frame(3);
    last.header.message_id = u64::MAX;
    assert!(matches!(session.frame(last), Err(FrameError::Violation(_))));
    let many = 2 * ORIGINS_MAX as u32;
    assert!(session.name_sender(many, Sender::default()).is_ok());
    assert!(session.name_sender(many + 1, Sender::default()).is_err());
    assert!(session.name_sender(0, Sender::default()).is_err());
}
