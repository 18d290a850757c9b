//! What `bus bridge ls` prints: a line for each direction of each bridge.
//!
//! What is shown comes from `$bus.bridge`. Reasons come from another broker, perhaps of strangers:
//! the table lets nothing in them break a line, or move the cursor.

use std::time::Duration;

use serde_json::Value;

use crate::table::table;
use crate::value::{show_bytes, show_count, show_duration};

const HEADER: [&str; 13] = [
    "NAME",
    "URL",
    "WAY",
    "STATE",
    "SINCE",
    "RTT",
    "LAG",
    "BYTES",
    "HELD",
    "SENT",
    "DROPPED",
    "RECONNECTS",
    "LAST ERROR",
];
/// Columns of numbers.
const RIGHT: [bool; 13] =
    [false, false, false, false, true, true, true, true, true, true, true, true, false];
/// Topics, queues and services, each with a line for each way on which something of them goes.
const WAYS: [&str; 6] = ["out", "in", "out_queues", "in_queues", "out_services", "in_services"];
/// What a direction has not delivered, as far as that is known.
const DROPPED: [&str; 5] = ["dropped", "refused", "abandoned", "missed", "failed"];

/// The table, unless there is no bridge.
pub fn render(list: &Value) -> Option<String> {
    let bridges = list["bridges"].as_array()?;
    let rows: Vec<Vec<String>> = bridges
        .iter()
        .flat_map(|bridge| WAYS.map(|way| (bridge, way)))
        .filter(|(bridge, way)| bridge[way].is_object())
        .map(|(bridge, way)| row(bridge, way))
        .collect();
    (!rows.is_empty()).then(|| table(&HEADER, &RIGHT, rows))
}

fn row(bridge: &Value, way: &str) -> Vec<String> {
    let direction = &bridge[way];
    let count = |key: &str| direction[key].as_u64().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let millis = |key: &str| show_duration(Duration::from_millis(count(key)));
    let dropped = DROPPED.iter().fold(0u64, |sum, key| sum.saturating_add(count(key)));
    let round_trip = direction["round_trip_us"].as_u64();
    let last_error = match direction["last_error"].as_str() {
        Some(error) => {
            let over = match direction["last_error_over_ms"].is_u64() {
                true => format!(", over for {}", millis("last_error_over_ms")),
                false => String::new(),
            };
            format!("{} ago{over}: {}", millis("last_error_ms"), error)
        }
        None => "-".into(),
    };
    vec![
        text(&bridge["name"]),
        text(&bridge["url"]),
        way.replace('_', " "),
        text(&direction["state"]),
        millis("since_ms"),
        round_trip.map_or_else(|| "-".into(), |micros| format!("{micros}us")),
        show_count(count("lag_messages") + count("under_way")),
        direction["lag_bytes"].as_u64().map_or_else(|| "-".into(), show_bytes),
        direction["held_topics"].as_u64().map_or_else(|| "-".into(), show_count),
        show_count(count("published") + count("done")),
        show_dropped(dropped, count("unknown")),
        show_count(count("reconnects")),
        last_error,
    ]
}

/// What is lost, and what may be.
fn show_dropped(dropped: u64, unknown: u64) -> String {
    match (dropped, unknown) {
        (dropped, 0) => show_count(dropped),
        (0, unknown) => format!("up to {}", show_count(unknown)),
        _ => format!("{} + up to {}", show_count(dropped), show_count(unknown)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_direction_has_a_line_whatever_the_other_broker_says() {
        let way = json!({
            "state": "connecting", "since_ms": 61_000, "round_trip_us": null, "lag_messages": 1234, "lag_bytes": 2048,
            "published": 5, "dropped": 1, "refused": 2, "unknown": 3, "abandoned": 4, "reconnects": 7, "held_topics": 2,
            "last_error": "no\nroute \u{1b}[2J", "last_error_ms": 2000,
        });
        let bridge = |out: &Value, incoming: &Value| json!({ "name": "b", "url": "tcp://h:1", "out": out, "in": incoming });
        let all = json!({ "bridges": [bridge(&way, &way), bridge(&Value::Null, &way)] });
        let shown = render(&all).expect("a table");
        let lines: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected = "b tcp://h:1 out connecting 1m 1s - 1,234 2.0 KiB 2 5 7 + up to 3 7 2s ago: no\\nroute \\x1b[2J";
        assert_eq!(lines[1], expected.split(' ').collect::<Vec<_>>());
        assert_eq!((lines.len(), lines[3][2]), (4, "in"));
        let mut well_again = way.clone();
        well_again["last_error_over_ms"] = json!(1000);
        let shown_again = render(&json!({ "bridges": [bridge(&well_again, &Value::Null)] }));
        assert!(shown_again.expect("a table").contains("2s ago, over for 1s: no\\nroute"));
        let queues =
            json!({ "state": "connected", "since_ms": 1000, "under_way": 3, "done": 1700 });
        let all = json!({ "bridges": [{ "name": "b", "url": "tcp://h:1", "in_queues": queues }] });
        let shown = render(&all).expect("a table");
        let line = shown.lines().nth(1).expect("a row").split_whitespace();
        let expected = "b tcp://h:1 in queues connected 1s - 3 - - 1,700 0 0 -";
        assert_eq!(line.collect::<Vec<_>>(), expected.split(' ').collect::<Vec<_>>());
        assert_eq!(render(&json!({ "bridges": [] })), None);
        assert_eq!(render(&json!(["garbage"])), None);
    }
}
