//! What is told without being asked: notices of the broker, and failures.

use std::sync::Arc;

use bus_proto::v1;
use bus_proto::v1::notice::Kind as Wire;
use bytes::Bytes;

use super::convert::{Convert, missing};
use super::{FrameError, Kind, accept, bridge, encode, hosted, malformed, parse};
use crate::error::Failure;
use crate::message::Sender;
use crate::name::Name;
use crate::router::{Channel, Epoch, HostedAsk, Interest, Lease, Provenance, RelayState};

/// What a broker tells without being asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Names a source before the first delivery that bears its number.
    Origin {
        /// The number.
        origin: u32,
        /// Who it is.
        sender: Sender,
        /// The topic, if it is a publisher.
        topic: Option<Name>,
        /// The broker's number of the publisher; 0 if it is none.
        publisher: u64,
        /// Where it comes from, if other brokers have passed it on.
        provenance: Option<Arc<Provenance>>,
    },
    /// A channel has ended at the broker.
    Ended {
        /// The channel.
        channel: Channel,
        /// Why.
        failure: Failure,
    },
    /// Somebody else could have this prefetched delivery.
    Recall {
        /// The delivery.
        lease: Lease,
    },
    /// Where a relay stands.
    Relay {
        /// Its channel.
        channel: Channel,
        /// Where.
        state: RelayState,
    },
    /// Something is asked of the home of a hosted queue.
    HomeAsk {
        /// The channel that hosts it.
        channel: Channel,
        /// What.
        ask: HostedAsk,
    },
    /// What is wanted here and beyond, since that was told last.
    Wanted {
        /// The channel that asked for it.
        channel: Channel,
        /// What has come.
        added: Vec<Interest>,
        /// What has gone.
        removed: Vec<Interest>,
        /// So many are not told, since there are too many or they are too far away.
        left_out: u64,
        /// Nothing more of this change follows.
        complete: bool,
    },
    /// Whether somebody listens to a publisher's topic.
    Matching {
        /// The publisher's channel.
        channel: Channel,
        /// Whether.
        matched: bool,
    },
    /// A queue that is open for a bridge comes another way now.
    HomeWay {
        /// The channel on which it is open.
        channel: Channel,
        /// The brokers on the way, its home first.
        hops: Vec<Epoch>,
    },
    /// Nobody waits for a call any more that a bridge has.
    GivenUp {
        /// The call.
        call: u64,
    },
}

impl Notice {
    /// The body of its Notice frame.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Notice::Origin { origin, sender, topic, publisher, provenance } => {
                Wire::Origin(v1::Origin {
                    origin: *origin,
                    sender: sender.to_wire(),
                    topic: topic.to_wire(),
                    publisher: *publisher,
                    provenance: provenance.to_wire(),
                })
            }
            Notice::Ended { channel, failure } => {
                Wire::Ended(v1::Ended { channel: *channel, failure: failure.to_wire() })
            }
            Notice::Recall { lease } => Wire::Recall(v1::Recall { lease: *lease }),
            Notice::Relay { channel, state } => {
                let RelayState { turn, active, mark, known, elsewhere } = *state;
                let channel = *channel;
                Wire::Relay(v1::Relay { channel, turn, active, mark, known, elsewhere })
            }
            Notice::HomeAsk { channel, ask } => match hosted::ask_to_wire(*channel, ask) {
                Some(ask) => Wire::HomeAsk(ask),
                None => return Bytes::new(),
            },
            Notice::Wanted { channel, added, removed, left_out, complete } => {
                Wire::Wanted(v1::Wanted {
                    channel: *channel,
                    added: added.to_wire(),
                    removed: removed.to_wire(),
                    left_out: *left_out,
                    complete: *complete,
                })
            }
            Notice::Matching { channel, matched } => {
                Wire::Matching(v1::Matching { channel: *channel, matched: *matched })
            }
            Notice::HomeWay { channel, hops } => {
                Wire::HomeWay(v1::HomeWay { channel: *channel, hops: hops.clone() })
            }
            Notice::GivenUp { call } => Wire::GivenUp(v1::GivenUp { call: *call }),
        };
        encode(&v1::Notice { kind: Some(kind) })
    }

    /// The notice in the body of a Notice frame.
    ///
    /// # Errors
    /// When the body is malformed.
    pub fn decode(body: &[u8]) -> Result<Notice, FrameError> {
        let v1::Notice { kind } = parse(Kind::Notice, body)?;
        match kind.ok_or_else(|| malformed(Kind::Notice, missing("kind")))? {
            Wire::Origin(given) => {
                // Other brokers have said it: whoever passes it on must not be told more than he
                // may say.
                bridge::check_provenance(given.provenance.as_ref())
                    .map_err(|failure| malformed(Kind::Notice, failure))?;
                Ok(Notice::Origin {
                    origin: given.origin,
                    sender: accept(Kind::Notice, given.sender, "sender")?,
                    topic: accept(Kind::Notice, given.topic, "topic")?,
                    publisher: given.publisher,
                    provenance: accept(Kind::Notice, given.provenance, "provenance")?,
                })
            }
            Wire::Ended(given) => Ok(Notice::Ended {
                channel: given.channel,
                failure: accept(Kind::Notice, given.failure, "failure")?,
            }),
            Wire::Recall(given) => Ok(Notice::Recall { lease: given.lease }),
            Wire::Relay(v1::Relay { channel, turn, active, mark, known, elsewhere }) => {
                let state = RelayState { turn, active, mark, known, elsewhere };
                Ok(Notice::Relay { channel, state })
            }
            Wire::HomeAsk(given) => {
                let asked = hosted::ask_from_wire(given);
                let (channel, ask) = asked.map_err(|failure| malformed(Kind::Notice, failure))?;
                Ok(Notice::HomeAsk { channel, ask })
            }
            Wire::Wanted(given) => Ok(Notice::Wanted {
                channel: given.channel,
                added: accept(Kind::Notice, given.added, "added")?,
                removed: accept(Kind::Notice, given.removed, "removed")?,
                left_out: given.left_out,
                complete: given.complete,
            }),
            Wire::Matching(v1::Matching { channel, matched }) => {
                Ok(Notice::Matching { channel, matched })
            }
            Wire::HomeWay(v1::HomeWay { channel, hops }) => Ok(Notice::HomeWay { channel, hops }),
            Wire::GivenUp(given) => Ok(Notice::GivenUp { call: given.call }),
        }
    }
}

/// The body of a frame that tells a failure.
pub fn encode_failure(failure: &Failure) -> Bytes {
    let failure: v1::Failure = failure.to_wire();
    encode(&failure)
}

/// The failure that a frame of this kind tells.
///
/// # Errors
/// When the body is malformed.
pub fn decode_failure(kind: Kind, body: &[u8]) -> Result<Failure, FrameError> {
    accept(kind, parse::<v1::Failure>(kind, body)?, "failure")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{BROKER_NAME_BYTES_MAX, HOPS_MAX};

    #[test]
    fn an_origin_that_no_broker_may_pass_on_is_refused() {
        let decoded = |hops: usize, broker: &str| {
            let hops = (1..).take(hops).collect();
            let (sender, broker) = (Arc::new(Sender::default()), Arc::from(broker));
            let provenance = Provenance { epoch: 1, broker, publisher: 7, sender, hops };
            let provenance = Some(Arc::new(provenance));
            let (sender, topic) = (Sender::default(), None);
            let origin = Notice::Origin { origin: 1, sender, topic, publisher: 2, provenance };
            Notice::decode(&origin.encode())
        };
        assert!(decoded(HOPS_MAX, &"b".repeat(BROKER_NAME_BYTES_MAX)).is_ok());
        assert!(decoded(HOPS_MAX + 1, "b").is_err());
        assert!(decoded(1, &"b".repeat(BROKER_NAME_BYTES_MAX + 1)).is_err());
        assert!(decoded(1, "b\n").is_err());
    }
}
