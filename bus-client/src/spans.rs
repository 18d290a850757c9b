//! Spans of OpenTelemetry for what is sent, and the trace that goes with each message.
//!
//! Only what is done within a span of the application is traced: no other message pays more than a
//! look at a thread's own word. A trace never keeps a message from being sent: where its headers have no
//! room left, the message goes without.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions for messaging.

use bus_core::{Message, Name, TRACEPARENT, TraceContext};
use opentelemetry::global::{self, BoxedSpan};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use tracing::debug;

use crate::error::Error;

/// Name of the scope that the spans bear.
const SCOPE: &str = "busbar";

/// What is done with a message.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    Publish,
    Send,
    Call,
    Process,
    Serve,
}

/// The span of something under way; it ends when it is dropped.
pub(crate) struct Span(Option<BoxedSpan>);

impl Span {
    /// What it came to.
    pub(crate) fn note<T>(&mut self, result: &Result<T, Error>) {
        if let (Some(span), Err(error)) = (&mut self.0, result) {
            span.set_attribute(KeyValue::new("error.type", error.kind().word()));
            span.set_status(Status::error(error.to_string()));
        }
    }
}

/// Whether something that is sent now belongs to a trace.
pub(crate) fn are_wanted() -> bool {
    Context::map_current(|context| {
        context.has_active_span() && context.span().span_context().is_valid()
    })
}

/// Begins the span of sending this, and puts it into the message. One that says already to which trace
/// it belongs is not touched: it is handed on for somebody else.
pub(crate) fn begin(act: Act, name: &Name, message: Message) -> (Message, Span) {
    if !are_wanted() || message.headers().get(TRACEPARENT).is_some() {
        return (message, Span(None));
    }
    let span = act.span(name.as_str(), &message, &Context::current());
    let Some(context) = to_headers(span.span_context()) else { return (message, Span(Some(span))) };
    let message = match message.clone().with_trace_context(&context) {
        Ok(traced) => traced,
        Err(error) => {
            debug!(%name, %error, "a message goes without its trace");
            message
        }
    };
    (message, Span(Some(span)))
}

/// The sender's span by a message's headers, as a parent for spans; an empty context if the headers
/// say none, or nonsense.
pub fn remote_context(message: &Message) -> Context {
    let given =
        message.trace_context().inspect_err(|error| debug!(%error, "no trace")).ok().flatten();
    given.map_or_else(Context::new, |given| {
        Context::new().with_remote_span_context(from_headers(&given))
    })
}

/// A span for working on a message of this queue or topic, below the sender's. It ends when the last
/// clone of the context is dropped.
///
/// ```
/// use opentelemetry::trace::FutureExt;
///
/// # async fn work(_: &bus_client::Delivery) -> Result<(), bus_client::Error> { Ok(()) }
/// # async fn example(delivery: bus_client::Delivery) -> Result<(), bus_client::Error> {
/// let context = bus_client::telemetry::process(delivery.message(), "jobs");
/// work(&delivery).with_context(context).await?;
/// delivery.ack().await
/// # }
/// ```
pub fn process(message: &Message, destination: &str) -> Context {
    within(Act::Process, message, destination)
}

/// A span for answering a call of this service, below the caller's.
pub fn serve(message: &Message, service: &str) -> Context {
    within(Act::Serve, message, service)
}

fn within(act: Act, message: &Message, name: &str) -> Context {
    let parent = remote_context(message);
    let span = act.span(name, message, &parent);
    parent.with_span(span)
}

impl Act {
    fn span(self, name: &str, message: &Message, parent: &Context) -> BoxedSpan {
        let (verb, kind, operation) = match self {
            Act::Publish => ("publish", SpanKind::Producer, "send"),
            Act::Send => ("send", SpanKind::Producer, "send"),
            Act::Call => ("call", SpanKind::Client, "send"),
            Act::Process => ("process", SpanKind::Consumer, "process"),
            Act::Serve => ("serve", SpanKind::Server, "process"),
        };
        let bytes = i64::try_from(message.payload().len()).unwrap_or(i64::MAX);
        let attributes = [
            KeyValue::new("messaging.system", SCOPE),
            KeyValue::new("messaging.operation.name", verb),
            KeyValue::new("messaging.operation.type", operation),
            KeyValue::new("messaging.destination.name", name.to_owned()),
            KeyValue::new("messaging.message.body.size", bytes),
            KeyValue::new("busbar.message.type", message.kind().to_string()),
        ];
        SpanBuilder::from_name(format!("{verb} {name}"))
            .with_kind(kind)
            .with_attributes(attributes)
            .start_with_context(&global::tracer(SCOPE), parent)
    }
}

fn to_headers(span: &SpanContext) -> Option<TraceContext> {
    let (trace, parent) = (span.trace_id().to_bytes(), span.span_id().to_bytes());
    let context = TraceContext::new(trace, parent, span.trace_flags().to_u8())?;
    Some(context.with_state(&span.trace_state().header()))
}

fn from_headers(context: &TraceContext) -> SpanContext {
    let trace = TraceId::from_bytes(context.trace_id());
    let parent = SpanId::from_bytes(context.parent_id());
    // A state that means nothing to this library is left out, as the recommendation says.
    let state = context.state().parse::<TraceState>().unwrap_or_default();
    SpanContext::new(trace, parent, TraceFlags::new(context.flags()), true, state)
}
