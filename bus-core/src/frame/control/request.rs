//! Requests: the commands that travel as control messages.
//!
//! One table says how each command is laid out, for both directions. Decoding looks at the
//! limits first (see `bounds`), so a command that comes out of here may be carried out.

use bus_proto::v1;
use bus_proto::v1::request::Command as Wire;
use bytes::Bytes;

use super::convert::Convert;
use super::{FrameError, Kind, bounds, bridge, encode, hosted, parse};
use crate::error::{ErrorKind, Failure};
use crate::limits::REQUEST_BYTES_MAX;
use crate::name::Pattern;
use crate::router::{
    Channel, Command, ConsumeOptions, QueueChange, RequestId, SubscribeOptions, TopicChange,
};

/// Why there is no command in a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not a request at all: the connection ends.
    #[error(transparent)]
    Malformed(#[from] FrameError),
    /// It asks for something that there cannot be: that is its answer.
    #[error("{failure}")]
    Invalid {
        /// The request to answer; 0 asks for no answer.
        request: RequestId,
        /// The answer.
        failure: Failure,
    },
}

/// Leases that one `Return` can always hold, however large their numbers are.
pub const RETURN_LEASES_MAX: usize = (REQUEST_BYTES_MAX - 64) / 10;

/// The body of the Request frame for a command; `None` if it has a frame of its own.
pub fn encode_request(command: &Command) -> Option<Bytes> {
    let (request, command) = to_wire(command)?;
    Some(encode(&v1::Request { request, command: Some(command) }))
}

/// The command in the body of a Request frame.
///
/// # Errors
/// When the body is malformed, or the command is not within the limits.
pub fn decode_request(body: &[u8]) -> Result<Command, RequestError> {
    if body.len() > REQUEST_BYTES_MAX {
        let (kind, length) = (Kind::Request, body.len());
        return Err(FrameError::TooLong { kind, length, limit: REQUEST_BYTES_MAX }.into());
    }
    let v1::Request { request, command } = parse(Kind::Request, body)?;
    let command = command.ok_or_else(unknown_command);
    command
        .and_then(|given| bounds::check(&given).map(|()| given))
        .and_then(|given| from_wire(request, given))
        .map_err(|failure| RequestError::Invalid { request, failure })
}

/// For each command: fields of the same name, fields of another one, `+` the options whose
/// fields lie in the same message, `-` a field that is not used.
macro_rules! commands {
    ($($name:ident {
        $($same:ident),* $(; $field:ident: $other:ident)*
    } $(+ $nested:ident: $options:ident {
        $($inner:ident),* $(; $inner_field:ident: $inner_other:ident)*
    })? $(- $unused:ident)?)*) => {
        fn to_wire(command: &Command) -> Option<(RequestId, Wire)> {
            Some(match command {
                $(Command::$name { request, $($same,)* $($field,)* $($nested)? } => {
                    (*request, Wire::$name(v1::$name {
                        $($same: $same.to_wire(),)*
                        $($other: $field.to_wire(),)*
                        $($($inner: $nested.$inner.to_wire(),)*)?
                        $($($inner_other: $nested.$inner_field.to_wire(),)*)?
                        $($unused: Default::default(),)?
                    }))
                })*
                Command::Consume { request, channel, queue, options } => {
                    (*request, Wire::Consume(consume_to_wire(*channel, *queue, options)))
                }
                Command::Return { leases } => {
                    (0, Wire::Return(v1::Return { leases: leases.clone() }))
                }
                Command::Broker { request } => (*request, Wire::Broker(v1::Broker {})),
                Command::Forsake(forsaken) => (0, Wire::Forsake(hosted::forsake(forsaken))),
                Command::Bridge(command) => bridge::to_wire(command)?,
                Command::Publish { .. } | Command::Consumed { .. } | Command::Send { .. }
                | Command::Offer { .. } | Command::Granted { .. } | Command::Withdraw { .. }
                | Command::Taken { .. } | Command::Ack { .. } | Command::Call { .. }
                | Command::CallReply { .. } => return None,
            })
        }

        fn from_wire(request: RequestId, given: Wire) -> Result<Command, Failure> {
            Ok(match given {
                $(Wire::$name(given) => Command::$name {
                    request,
                    $($same: Convert::from_wire(given.$same, stringify!($same))?,)*
                    $($field: Convert::from_wire(given.$other, stringify!($other))?,)*
                    $($nested: $options {
                        $($inner: Convert::from_wire(given.$inner, stringify!($inner))?,)*
                        $($inner_field:
                            Convert::from_wire(given.$inner_other, stringify!($inner_other))?,)*
                    },)?
                },)*
                Wire::Consume(given) => consume_from_wire(request, given)?,
                Wire::Return(given) => Command::Return { leases: given.leases },
                Wire::Broker(_) => Command::Broker { request },
                Wire::OpenRelay(given) => bridge::open_relay(request, given)?,
                Wire::Skip(given) => bridge::skip(&given),
                Wire::SubscribeBeyond(given) => bridge::subscribe_beyond(request, given)?,
                Wire::ChangeBeyond(given) => bridge::change_beyond(request, given)?,
                Wire::HoldBeyond(given) => bridge::hold_beyond(request, given)?,
                Wire::WatchInterest(given) => bridge::watch_interest(request, &given),
                Wire::ServeBeyond(given) => bridge::serve_beyond(request, given)?,
                Wire::OpenCaller(given) => bridge::open_caller(request, given)?,
                Wire::WatchServices(given) => bridge::watch_services(request, given)?,
                Wire::AskPermit(given) => bridge::ask_permit(request, given)?,
                Wire::Forsake(given) => Command::Forsake(hosted::forsaken(given)),
                Wire::OpenHome(given) => hosted::open_home(request, given)?,
                Wire::HostQueue(given) => hosted::host_queue(request, given)?,
                Wire::NameSender(given) => hosted::name_sender(given)?,
                Wire::HomeSays(given) => hosted::says_from_wire(given)?,
            })
        }
    };
}

commands! {
    OpenQueue { channel, name, open, options }
    OpenPublisher { channel, topic, options; exclusive: create_only }
    Subscribe { channel, pattern } + options: SubscribeOptions {
        selector, policy, window_bytes, backlog_bytes, group
    }
    OpenService { channel, name }
    Serve { channel, name, credit, mode }
    Close { channel }
    Flush { channel }
    WatchMatching { channel }
    Nack { lease; delay: delay_ms }
    Extend { lease; by: by_ms }
    Reject { lease, reason }
    Peek { queue, selector, index }
    Declare { name; kind: r#type }
    Admin { name, action; object: kind } - new_owner
    SetQueue { name } + change: QueueChange {
        bytes_max, count_max, deliveries_max, mode, owner, group, dead_letter; lease: lease_ms
    }
    SetTopic { name } + change: TopicChange {
        keep_last, mode, owner, group; hold: hold_ms
    }
    List { pattern, after; object: kind }
}

/// What a subscription is for, and how.
pub(super) fn subscribe_options(
    given: v1::Subscribe,
) -> Result<(Channel, Pattern, SubscribeOptions), Failure> {
    match from_wire(0, Wire::Subscribe(given))? {
        Command::Subscribe { channel, pattern, options, .. } => Ok((channel, pattern, options)),
        other => Err(Failure::new(ErrorKind::Protocol, format!("{other:?} is no subscription"))),
    }
}

/// No limit travels as 0; a limit of 0 becomes one of 1, which is the nearest there is.
pub(super) fn consume_to_wire(
    channel: Channel,
    queue: Channel,
    options: &ConsumeOptions,
) -> v1::Consume {
    let ConsumeOptions { selector, credit, once, wait, auto_ack, bytes_max } = *options;
    let bytes_max = if bytes_max == u64::MAX { 0 } else { bytes_max.max(1) };
    let selector = selector.to_wire();
    v1::Consume { channel, queue, selector, credit, once, wait, auto_ack, bytes_max }
}

fn consume_from_wire(request: RequestId, given: v1::Consume) -> Result<Command, Failure> {
    let (channel, queue) = (given.channel, given.queue);
    let options = consume_options(given)?;
    Ok(Command::Consume { request, channel, queue, options })
}

/// How is taken from a queue.
pub(super) fn consume_options(given: v1::Consume) -> Result<ConsumeOptions, Failure> {
    let v1::Consume { credit, once, wait, auto_ack, .. } = given;
    let bytes_max = if given.bytes_max == 0 { u64::MAX } else { given.bytes_max };
    let selector = Convert::from_wire(given.selector, "selector")?;
    Ok(ConsumeOptions { selector, credit, once, wait, auto_ack, bytes_max })
}

fn unknown_command() -> Failure {
    Failure::new(
        ErrorKind::Unsupported,
        "the request has no command, or one unknown in this version: update the broker",
    )
}
