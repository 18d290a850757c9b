//! What `bench` found, as a table or JSON.

use serde_json::{Value, json};

use crate::exit::{Exit, Problem};
use crate::table::pairs;
use crate::value::{show_bytes, show_count};

/// Everything.
pub struct Report {
    pub url: String,
    /// Whether the broker was started for this.
    pub own_broker: bool,
    pub size: usize,
    pub round_trip: RoundTrip,
    pub one_way: OneWay,
}

/// Round trips between two processes.
pub struct RoundTrip {
    transport: String,
    trips: u64,
    wrong: u64,
    mean_ns: u64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

/// Messages from one process to another.
pub struct OneWay {
    messages: u64,
    published: u64,
    wrong: u64,
    bytes: u64,
    seconds: f64,
}

impl From<&Value> for RoundTrip {
    fn from(value: &Value) -> RoundTrip {
        RoundTrip {
            transport: value["transport"].as_str().unwrap_or_default().into(),
            trips: number(value, "trips"),
            wrong: number(value, "wrong"),
            mean_ns: number(value, "mean_ns"),
            p50_ns: number(value, "p50_ns"),
            p99_ns: number(value, "p99_ns"),
            p999_ns: number(value, "p999_ns"),
            max_ns: number(value, "max_ns"),
        }
    }
}

impl From<&Value> for OneWay {
    fn from(value: &Value) -> OneWay {
        OneWay {
            messages: number(value, "messages"),
            published: number(value, "published"),
            wrong: number(value, "wrong"),
            bytes: number(value, "bytes"),
            seconds: value["seconds"].as_f64().unwrap_or_default(),
        }
    }
}

impl OneWay {
    fn per_second(&self, count: u64) -> u64 {
        if self.seconds > 0.0 { (count as f64 / self.seconds) as u64 } else { 0 }
    }

    /// Messages that were published and did not come.
    fn lost(&self) -> u64 {
        self.published.saturating_sub(self.messages)
    }
}

impl Report {
    /// For people.
    pub fn table(&self) -> String {
        let (trip, flow) = (&self.round_trip, &self.one_way);
        let own = if self.own_broker { " (a broker of its own)" } else { "" };
        let verdict = match self.wrong() {
            0 => "nothing lost, nothing out of order".into(),
            _ => self.complaint(),
        };
        pairs(&[
            ("broker", format!("{}{own}", self.url)),
            ("transport", trip.transport.clone()),
            ("payload", show_bytes(self.size as u64)),
            (
                "round trip",
                format!(
                    "p50 {}, p99 {}, p99.9 {}, max {} ({} trips)",
                    micros(trip.p50_ns),
                    micros(trip.p99_ns),
                    micros(trip.p999_ns),
                    micros(trip.max_ns),
                    show_count(trip.trips)
                ),
            ),
            (
                "one way",
                format!(
                    "{} messages/s, {}/s ({} messages in {:.2} s)",
                    show_count(flow.per_second(flow.messages)),
                    show_bytes(flow.per_second(flow.bytes)),
                    show_count(flow.messages),
                    flow.seconds
                ),
            ),
            ("checked", verdict),
        ])
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let (trip, flow) = (&self.round_trip, &self.one_way);
        json!({
            "url": self.url,
            "own_broker": self.own_broker,
            "transport": trip.transport,
            "size_bytes": self.size,
            "round_trip": {
                "trips": trip.trips,
                "mean_ns": trip.mean_ns,
                "p50_ns": trip.p50_ns,
                "p99_ns": trip.p99_ns,
                "p999_ns": trip.p999_ns,
                "max_ns": trip.max_ns,
                "out_of_order": trip.wrong,
            },
            "one_way": {
                "messages": flow.messages,
                "seconds": flow.seconds,
                "messages_per_second": flow.per_second(flow.messages),
                "bytes_per_second": flow.per_second(flow.bytes),
                "lost": flow.lost(),
                "out_of_order": flow.wrong,
            },
        })
    }

    /// Fails if anything was lost or out of order.
    pub fn check(&self) -> Result<(), Problem> {
        match self.wrong() {
            0 => Ok(()),
            _ => Err(Problem::new(Exit::Lost, self.complaint())),
        }
    }

    fn wrong(&self) -> u64 {
        self.round_trip.wrong + self.one_way.wrong + self.one_way.lost()
    }

    fn complaint(&self) -> String {
        format!(
            "{} messages lost, {} out of order",
            self.one_way.lost(),
            self.round_trip.wrong + self.one_way.wrong
        )
    }
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn micros(nanos: u64) -> String {
    format!("{:.1} us", nanos as f64 / 1e3)
}
