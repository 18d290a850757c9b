//! Traces across processes: spans of what is sent and called, and the context that goes along.
//!
//! Needs the feature: `cargo test -p bus-client --features opentelemetry --test traces`.

use std::sync::OnceLock;
use std::time::Duration;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, ErrorKind, Message, QueueOptions, Selector, telemetry};
use opentelemetry::trace::{
    FutureExt, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer, TracerProvider,
};
use opentelemetry::{Context, global};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

const LIMIT: Duration = Duration::from_secs(10);

/// What all tests of this program export to; each looks at the spans of its own trace.
fn exporter() -> &'static (InMemorySpanExporter, SdkTracerProvider) {
    static EXPORTER: OnceLock<(InMemorySpanExporter, SdkTracerProvider)> = OnceLock::new();
    EXPORTER.get_or_init(|| {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        global::set_tracer_provider(provider.clone());
        (exporter, provider)
    })
}

/// A span of the application, as the first of a trace.
fn begin() -> (Context, TraceId) {
    let span = exporter().1.tracer("application").start("order");
    let context = Context::new().with_span(span);
    let trace = context.span().span_context().trace_id();
    (context, trace)
}

fn ended(trace: TraceId) -> Vec<SpanData> {
    let spans = exporter().0.get_finished_spans().expect("kept in memory");
    spans.into_iter().filter(|span| span.span_context.trace_id() == trace).collect()
}

/// The span of that name, its kind, and the span above it.
fn find(spans: &[SpanData], name: &str) -> (SpanId, SpanKind, SpanId) {
    let mut named = spans.iter().filter(|span| span.name == name);
    let span = named.next().unwrap_or_else(|| panic!("no `{name}` among {spans:?}"));
    assert!(named.next().is_none(), "`{name}` twice");
    (span.span_context.span_id(), span.span_kind.clone(), span.parent_span_id)
}

async fn two_clients() -> (Broker, Client, Client) {
    let broker = Broker::start(BrokerConfig::default()).await.expect("starts");
    let first = Client::connect(broker.url()).await.expect("connects");
    let second = Client::connect(broker.url()).await.expect("connects");
    (broker, first, second)
}

#[tokio::test]
async fn one_trace_runs_through_a_queue_a_service_and_a_topic() {
    let (_broker, first, second) = two_clients().await;
    let (root, trace) = begin();
    let mut prices = second.serve("prices", 1).await.expect("serves");
    let mut events = first.subscribe("orders.>").await.expect("subscribes");
    let work = async {
        let delivery = second.queue("orders").await?.receive(Selector::Any).await?;
        let context = telemetry::process(delivery.message(), "orders");
        async {
            second.service("prices").await?.call("a pear", LIMIT).await?;
            second.publisher("orders.done").await?.publish("a pear").await
        }
        .with_context(context)
        .await?;
        delivery.ack().await
    };
    let serve = async {
        let call = prices.next().await.expect("goes on")?;
        let context = telemetry::serve(call.message(), "prices");
        let _attached = context.attach();
        call.reply("three")
    };
    let send =
        async { first.queue("orders").await?.send("a pear").await }.with_context(root.clone());
    let (sent, worked, served) = tokio::join!(send, work, serve);
    sent.expect("sent");
    worked.expect("worked");
    served.expect("served");
    let event = events.next().await.expect("goes on").expect("comes");
    drop(telemetry::process(event.message(), "orders.done"));
    drop(root);

    let spans = ended(trace);
    let (order, ..) = find(&spans, "order");
    let (send, kind, above) = find(&spans, "send orders");
    assert_eq!((kind, above), (SpanKind::Producer, order));
    let (process, kind, above) = find(&spans, "process orders");
    assert_eq!((kind, above), (SpanKind::Consumer, send));
    let (call, kind, above) = find(&spans, "call prices");
    assert_eq!((kind, above), (SpanKind::Client, process));
    let (_, kind, above) = find(&spans, "serve prices");
    assert_eq!((kind, above), (SpanKind::Server, call));
    let (publish, kind, above) = find(&spans, "publish orders.done");
    assert_eq!((kind, above), (SpanKind::Producer, process));
    assert_eq!(find(&spans, "process orders.done").2, publish);
    assert_eq!(spans.len(), 7);
}

#[tokio::test]
async fn a_copied_payload_bears_its_trace_too() {
    let (_broker, first, second) = two_clients().await;
    let mut events = second.subscribe("events").await.expect("subscribes");
    let publisher = first.publisher("events").await.expect("opens");
    let (root, trace) = begin();
    let kind = bus_client::MessageType::ONE;
    publisher.publish_slice(kind, b"a slice").with_context(root).await.expect("published");
    let event = events.next().await.expect("goes on").expect("comes");
    let borne = event.message().trace_context().expect("sound").expect("there");
    assert_eq!(TraceId::from_bytes(borne.trace_id()), trace);
    let (publish, ..) = find(&ended(trace), "publish events");
    assert_eq!(SpanId::from_bytes(borne.parent_id()), publish);
}

#[tokio::test]
async fn outside_a_span_a_message_is_left_as_it_is() {
    let (_broker, first, second) = two_clients().await;
    exporter();
    first.queue("jobs").await.expect("opens").send("a job").await.expect("sent");
    let jobs = second.queue("jobs").await.expect("opens");
    let delivery = jobs.receive(Selector::Any).await.expect("comes");
    assert!(delivery.headers().is_empty());
    assert!(!telemetry::remote_context(delivery.message()).has_active_span());
}

#[tokio::test]
async fn a_message_that_bears_a_trace_is_handed_on_with_it() {
    let (_broker, first, _second) = two_clients().await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let message = Message::from("a job").with_trace_context(&given.parse().expect("sound"));
    let (root, trace) = begin();
    let jobs = first.queue("jobs").await.expect("opens");
    jobs.send(message.expect("fits")).with_context(root).await.expect("sent");
    let delivery = jobs.receive(Selector::Any).await.expect("comes");
    assert_eq!(delivery.headers().get("traceparent"), Some(given.as_bytes()));
    assert_eq!(ended(trace).len(), 1, "the application's own");
}

#[tokio::test]
async fn headers_without_room_go_without_a_trace_and_nothing_is_lost() {
    let (_broker, first, _second) = two_clients().await;
    let full = Message::from("a job").with_header("key", vec![7; 4080]).expect("just fits");
    let (root, trace) = begin();
    let jobs = first.queue("jobs").await.expect("opens");
    jobs.send(full.clone()).with_context(root).await.expect("sent");
    let delivery = jobs.receive(Selector::Any).await.expect("comes");
    assert_eq!(delivery.message(), &full);
    assert_eq!(ended(trace).len(), 2, "its span is there all the same");
}

#[tokio::test]
async fn what_fails_is_said_in_its_span() {
    let (_broker, first, _second) = two_clients().await;
    let options = QueueOptions::default().count_max(1);
    let jobs = first.queue_with("jobs", options).await.expect("opens");
    jobs.send("the first").await.expect("sent");
    let (root, trace) = begin();
    let refused = jobs.try_send("the second").with_context(root).await.expect_err("is full");
    assert_eq!(refused.kind(), ErrorKind::QueueFull);
    let spans = ended(trace);
    let span = spans.iter().find(|span| span.name == "send jobs").expect("is there");
    assert!(matches!(&span.status, Status::Error { .. }), "{:?}", span.status);
    let why = span.attributes.iter().find(|pair| pair.key.as_str() == "error.type");
    assert_eq!(why.expect("says why").value.as_str(), "queue-full");
}
