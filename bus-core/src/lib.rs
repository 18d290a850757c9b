//! The core of Busbar.
//!
//! Without features this crate is pure: no async, no clock, no socket, no environment and no
//! randomness. Events and the time go in, effects come out, so the same inputs always give
//! the same outputs. The feature `net` adds the transports.

mod arena;
mod error;
mod frame;
mod group_name;
mod intersection;
mod limits;
mod message;
mod message_type;
mod name;
mod runs;
mod selector;
mod sequence;
#[cfg(all(feature = "shm", target_os = "linux"))]
mod sync;
mod time;
mod token;
mod trace_context;
mod url;
mod user_name;
mod words;

pub mod bridge;
pub mod router;
pub mod session;
#[cfg(feature = "shm")]
#[cfg_attr(not(target_os = "linux"), path = "shm/absent.rs")]
pub mod shm;
#[cfg(feature = "net")]
pub mod sys;
#[cfg(feature = "net")]
pub mod transport;

pub use arena::{Arena, Id};
pub use error::{ErrorKind, Failure};
pub use frame::{
    Answer, Arrival, Buffers, Decoder, FLAG_AUTO, FLAG_HEADERS, FLAG_RECEIPT, FLAG_REDELIVERED,
    FLAG_TRY, Frame, FrameError, Header, Incoming, Kind, Notice, Parcel, Run, Stretch, View,
    control,
};
pub use group_name::{GroupName, InvalidGroupName};
pub use limits::*;
pub use message::{Headers, InvalidHeader, Message, Sender};
pub use message_type::MessageType;
pub use name::{InvalidName, Name, Pattern, RESERVED};
pub use selector::Selector;
pub use sequence::Sequence;
pub use time::Time;
pub use token::{InvalidToken, Token};
pub use trace_context::{
    InvalidTraceContext, TRACEPARENT, TRACESTATE, TRACESTATE_BYTES_MAX, TraceContext,
};
pub use url::{BusUrl, InvalidUrl};
pub use user_name::{ANONYMOUS, InvalidUserName, UserName};
