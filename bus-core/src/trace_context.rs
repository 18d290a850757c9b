//! Which trace a message belongs to: the headers `traceparent` and `tracestate` of the W3C.
//!
//! The bus carries them as it carries every header, and decides nothing by them. Here they are
//! only written and read. What is read has been checked: a trace context cannot be wrong.
//!
//! Source: W3C Recommendation "Trace Context", version 00 of the format.

use std::fmt;
use std::str::FromStr;

use crate::message::{Headers, InvalidHeader, Message};

/// Key of the header that says which trace, and which span of it.
pub const TRACEPARENT: &str = "traceparent";

/// Key of the header in which each system of a trace keeps words of its own.
pub const TRACESTATE: &str = "tracestate";

/// Longest `tracestate` that is kept, in bytes. A longer one is left out, as the recommendation allows.
pub const TRACESTATE_BYTES_MAX: usize = 512;

/// Flag: whoever sent this records the trace.
const SAMPLED: u8 = 1;

/// `00-` and the three fields with a dash between each.
const TRACEPARENT_BYTES: usize = 55;

/// Where in a trace a message was sent: trace, span, flags, and the state of others.
///
/// ```
/// use bus_core::{Message, TraceContext};
///
/// let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = given.parse().unwrap();
/// let message = Message::from("a job").with_trace_context(&context).unwrap();
/// assert_eq!(message.trace_context().unwrap(), Some(context));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Never all zero.
    trace: [u8; 16],
    /// Never all zero.
    parent: [u8; 8],
    flags: u8,
    /// Printable ASCII, at most [`TRACESTATE_BYTES_MAX`].
    state: String,
}

/// Why a `traceparent` is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no traceparent (00-TRACE-SPAN-FLAGS, in lower-case hexadecimal): {reason}")]
pub struct InvalidTraceContext {
    given: String,
    reason: &'static str,
}

impl TraceContext {
    /// A place in a trace; `None` when one of the two ids is all zero, which names nothing.
    pub fn new(trace: [u8; 16], parent: [u8; 8], flags: u8) -> Option<TraceContext> {
        let is_named = trace != [0; 16] && parent != [0; 8];
        is_named.then_some(TraceContext { trace, parent, flags, state: String::new() })
    }

    /// The same place with the `tracestate` of others. One that is longer than
    /// [`TRACESTATE_BYTES_MAX`], or is not printable ASCII, is left out: a trace goes on without it.
    pub fn with_state(mut self, state: &str) -> TraceContext {
        let is_sound = state.len() <= TRACESTATE_BYTES_MAX
            && state.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        self.state = if is_sound { state.to_owned() } else { String::new() };
        self
    }

    /// Which trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace
    }

    /// The span in which the message was sent.
    pub fn parent_id(&self) -> [u8; 8] {
        self.parent
    }

    /// The flags, of which the lowest is [`TraceContext::is_sampled`].
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the sender records this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `tracestate`; empty when there is none.
    pub fn state(&self) -> &str {
        &self.state
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// Reads a `traceparent`. Of a later version than 00 what is known of it is taken.
    fn from_str(given: &str) -> Result<TraceContext, InvalidTraceContext> {
        let refuse =
            |reason| InvalidTraceContext { given: given.chars().take(80).collect(), reason };
        let bytes = given.as_bytes();
        let Some((known, more)) = bytes.split_at_checked(TRACEPARENT_BYTES) else {
            return Err(refuse("it is too short"));
        };
        if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return Err(refuse("a dash is not where it belongs"));
        }
        let mut version = [0];
        let (mut trace, mut parent, mut flags) = ([0; 16], [0; 8], [0]);
        let is_hexadecimal = from_hexadecimal(&known[..2], &mut version)
            && from_hexadecimal(&known[3..35], &mut trace)
            && from_hexadecimal(&known[36..52], &mut parent)
            && from_hexadecimal(&known[53..], &mut flags);
        if !is_hexadecimal {
            return Err(refuse("a digit is no lower-case hexadecimal one"));
        }
        match (version[0], more) {
            (0xff, _) => return Err(refuse("version ff is none")),
            (0, [_, ..]) => return Err(refuse("it is too long")),
            (_, [other, ..]) if *other != b'-' => return Err(refuse("it is too long")),
            _ => {}
        }
        TraceContext::new(trace, parent, flags[0])
            .ok_or_else(|| refuse("an id of zeros names nothing"))
    }
}

impl fmt::Display for TraceContext {
    /// As the value of `traceparent`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("00-")?;
        self.trace.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        out.write_str("-")?;
        self.parent.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        write!(out, "-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TraceContext({self}; {:?})", self.state)
    }
}

impl Message {
    /// The same message in this trace: its headers `traceparent` and `tracestate` are these, whatever
    /// they were.
    ///
    /// # Errors
    /// When a limit of the headers is passed.
    pub fn with_trace_context(self, context: &TraceContext) -> Result<Message, InvalidHeader> {
        let is_kept = |key: &str| key != TRACEPARENT && key != TRACESTATE;
        let headers = self
            .headers()
            .iter()
            .filter(|(key, _)| is_kept(key))
            .try_fold(Headers::default(), |headers, (key, value)| headers.with(key, value))?;
        let mut headers = headers.with(TRACEPARENT, context.to_string().as_bytes())?;
        if !context.state.is_empty() {
            headers = headers.with(TRACESTATE, context.state.as_bytes())?;
        }
        Ok(self.with_headers(headers))
    }

    /// Which trace it was sent in, by its headers; `None` when they do not say.
    ///
    /// # Errors
    /// When its `traceparent` is none. Go on without a trace then, as one does when there is none.
    pub fn trace_context(&self) -> Result<Option<TraceContext>, InvalidTraceContext> {
        let Some(parent) = self.headers().get(TRACEPARENT) else { return Ok(None) };
        let context: TraceContext = String::from_utf8_lossy(parent).parse()?;
        let state = self.headers().get(TRACESTATE).unwrap_or_default();
        Ok(Some(context.with_state(&String::from_utf8_lossy(state))))
    }
}

/// Reads two lower-case digits for each byte; the lengths fit each other.
fn from_hexadecimal(digits: &[u8], bytes: &mut [u8]) -> bool {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    digits.chunks_exact(2).zip(bytes).all(|(pair, byte)| {
        let read = value(pair[0]).zip(value(pair[1]));
        read.map(|(high, low)| *byte = high << 4 | low).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_written_is_what_was_read() {
        let context: TraceContext = GIVEN.parse().unwrap();
        assert_eq!(context.to_string(), GIVEN);
        assert!(context.is_sampled());
        assert_eq!(context.parent_id(), [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        let unsampled: TraceContext = GIVEN.replace("-01", "-00").parse().unwrap();
        assert!(!unsampled.is_sampled());
    }

    #[test]
    fn what_the_recommendation_calls_invalid_is_refused() {
        let refused = |given: &str| given.parse::<TraceContext>().unwrap_err().reason;
        assert_eq!(refused(""), "it is too short");
        assert_eq!(refused(&GIVEN[..54]), "it is too short");
        assert_eq!(refused(&GIVEN.to_uppercase()), "a digit is no lower-case hexadecimal one");
        assert_eq!(
            refused(&GIVEN.replace("4bf92f", "4bf92g")),
            "a digit is no lower-case hexadecimal one"
        );
        assert_eq!(refused(&GIVEN.replacen('-', "_", 1)), "a dash is not where it belongs");
        assert_eq!(refused(&format!("{GIVEN}-more")), "it is too long");
        assert_eq!(refused(&GIVEN.replacen("00-", "ff-", 1)), "version ff is none");
        assert_eq!(refused(&format!("{}.", GIVEN.replacen("00-", "01-", 1))), "it is too long");
        assert_eq!(
            refused(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))),
            "an id of zeros names nothing"
        );
        assert_eq!(
            refused(&GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16))),
            "an id of zeros names nothing"
        );
        // Letters of more bytes than one, cut through their middle.
        assert_eq!(refused(&"é".repeat(40)), "a dash is not where it belongs");
    }

    #[test]
    fn of_a_later_version_what_is_known_is_taken() {
        let later: TraceContext =
            format!("{}-more", GIVEN.replacen("00-", "01-", 1)).parse().unwrap();
        assert_eq!(later.to_string(), GIVEN);
    }

    #[test]
    fn a_message_bears_one_trace_and_keeps_its_other_headers() {
        let first: TraceContext = GIVEN.parse().unwrap();
        let second = TraceContext::new([7; 16], [8; 8], 0).unwrap().with_state("a=1,b=2");
        let message = Message::from("a job").with_header("key", "value").unwrap();
        let message = message.with_trace_context(&second).unwrap();
        assert_eq!(message.trace_context(), Ok(Some(second)));
        let message = message.with_trace_context(&first).unwrap();
        assert_eq!(message.trace_context(), Ok(Some(first)));
        assert_eq!(message.headers().len(), 2, "{message:?}");
        assert_eq!(message.headers().get("key"), Some(&b"value"[..]));
    }

    #[test]
    fn a_bad_parent_is_an_error_and_a_bad_state_is_left_out() {
        let message = Message::from("").with_header(TRACEPARENT, "rubbish").unwrap();
        assert!(message.trace_context().is_err());
        assert_eq!(Message::from("").trace_context(), Ok(None));
        let message = Message::from("").with_header(TRACEPARENT, GIVEN).unwrap();
        for state in ["a=\u{7}".to_owned(), "x".repeat(TRACESTATE_BYTES_MAX + 1), "é".to_owned()] {
            let message = message.clone().with_header(TRACESTATE, &state).unwrap();
            assert_eq!(message.trace_context().unwrap().unwrap().state(), "");
        }
    }
}
