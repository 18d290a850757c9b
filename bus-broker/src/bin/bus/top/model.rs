//! What `bus top` shows: rates and depths, made of two looks at the counters.
//!
//! Pure. Invariants: a rate is what was counted divided by the time between the looks; what was not
//! there before has none yet; a counter that went back begins anew, as that of a broker that was
//! started again.

use std::collections::{BTreeMap, BTreeSet};

/// What kind of figure stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Count,
    /// As it is, in bytes.
    Bytes,
    /// How much a counter grows in a second.
    Rate,
    /// The same, in bytes.
    ByteRate,
    /// Words.
    Text,
}

/// A column: its title, its key in JSON, and what stands in it.
pub type Column = (&'static str, &'static str, Kind);

/// One of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// Queues.
    Queues,
    /// Topics.
    Topics,
    /// Clients, with their transport: those on lanes say so.
    Clients,
    /// Bridges, each with its directions.
    Bridges,
}

impl Pane {
    /// All, in their order.
    pub const ALL: [Pane; 4] = [Pane::Queues, Pane::Topics, Pane::Clients, Pane::Bridges];

    /// Its title, and its key in JSON.
    pub fn title(self) -> &'static str {
        match self {
            Pane::Queues => "queues",
            Pane::Topics => "topics",
            Pane::Clients => "clients",
            Pane::Bridges => "bridges",
        }
    }

    /// Its columns behind the name.
    pub fn columns(self) -> &'static [Column] {
        use Kind::{ByteRate, Bytes, Count, Rate, Text};
        match self {
            Pane::Queues => &[
                ("DEPTH", "messages", Count),
                ("BYTES", "bytes", Bytes),
                ("IN/s", "accepted_per_s", Rate),
                ("OUT/s", "acked_per_s", Rate),
                ("LEASED", "leased", Count),
                ("BLOCKED", "blocked", Count),
                ("WAITING", "waiting", Count),
            ],
            Pane::Topics => &[
                ("PUB/s", "published_per_s", Rate),
                ("SENT/s", "delivered_per_s", Rate),
                ("LOST/s", "dropped_per_s", Rate),
                ("HELD", "held", Count),
                ("BACKLOG", "backlog_bytes", Bytes),
                ("SUBS", "subscribers", Count),
            ],
            Pane::Clients => &[
                ("OVER", "transport", Text),
                ("IN/s", "in_per_s", ByteRate),
                ("OUT/s", "out_per_s", ByteRate),
                ("LEASES", "leases", Count),
                ("UNSENT", "unsent_bytes", Bytes),
            ],
            Pane::Bridges => &[
                ("STATE", "state", Text),
                ("SENT/s", "sent_per_s", Rate),
                ("LOST/s", "dropped_per_s", Rate),
                ("LAG", "lag_bytes", Bytes),
            ],
        }
    }
}

/// A figure as the broker tells it: counters are sums so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A count or a counter.
    Number(u64),
    /// Words.
    Text(String),
}

/// One thing at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// By which it is known again.
    pub key: String,
    /// Its name.
    pub name: String,
    /// A figure for each column.
    pub raw: Vec<Raw>,
    /// If it is slow, or stuck, or holds others up: why it is marked.
    pub why: Option<String>,
}

/// One look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// When, in microseconds of some clock.
    pub at_us: u64,
    /// A line about the broker.
    pub broker: String,
    /// Items of each pane, in the order of `Pane::ALL`.
    pub items: [Vec<Item>; 4],
}

impl Look {
    /// How many things there are. Of a bridge each way has a row, and it counts once.
    pub fn count(&self, pane: Pane) -> usize {
        let items = &self.items[pane as usize];
        match pane {
            Pane::Bridges => {
                let bridge = |item: &Item| {
                    item.name.rsplit_once(' ').map_or_else(String::new, |(name, _)| name.to_owned())
                };
                items.iter().map(bridge).collect::<BTreeSet<_>>().len()
            }
            _ => items.len(),
        }
    }
}

/// A figure to show. A rate that is not known yet is `None`.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// A count, bytes, or a rate.
    Number(Option<f64>),
    /// Words.
    Text(String),
}

/// One thing, to show.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// A figure for each column.
    pub figures: Vec<Figure>,
    /// Why it is marked, if it is.
    pub why: Option<String>,
}

/// The rows of a pane, of two looks.
pub fn rows(pane: Pane, before: Option<&Look>, now: &Look) -> Vec<Row> {
    let index = pane as usize;
    let seconds = before.map_or(0.0, |before| now.at_us.saturating_sub(before.at_us) as f64 / 1e6);
    let earlier: BTreeMap<&str, &Item> = before
        .map(|before| before.items[index].iter().map(|item| (item.key.as_str(), item)).collect())
        .unwrap_or_default();
    let row = |item: &Item| {
        let old = earlier.get(item.key.as_str());
        let figures = pane.columns().iter().zip(&item.raw).enumerate();
        let figures = figures.map(|(column, ((.., kind), raw))| match (raw, kind) {
            (Raw::Text(text), _) => Figure::Text(text.clone()),
            (Raw::Number(now), Kind::Rate | Kind::ByteRate) => {
                let before = old.and_then(|old| match old.raw.get(column) {
                    Some(Raw::Number(before)) => Some(*before),
                    _ => None,
                });
                Figure::Number(before.and_then(|before| rate(before, *now, seconds)))
            }
            (Raw::Number(now), _) => Figure::Number(Some(*now as f64)),
        });
        Row { name: item.name.clone(), figures: figures.collect(), why: item.why.clone() }
    };
    now.items[index].iter().map(row).collect()
}

/// How much a counter grew in a second; `None` if no time has passed.
pub fn rate(before: u64, now: u64, seconds: f64) -> Option<f64> {
    let grown = now.checked_sub(before).unwrap_or(now);
    (seconds > 0.0).then(|| grown as f64 / seconds)
}

/// Sorts rows by a column (0 is the name), numbers the largest first unless it is turned round; slow ones
/// stay where they fall. Equal ones are in the order of their names.
pub fn sort(rows: &mut [Row], column: usize, turned: bool) {
    rows.sort_by(|a, b| {
        let by_name = a.name.cmp(&b.name);
        let order = match column.checked_sub(1) {
            None => by_name,
            Some(column) => match (a.figures.get(column), b.figures.get(column)) {
                (Some(Figure::Number(a)), Some(Figure::Number(b))) => {
                    b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0))
                }
                (Some(Figure::Text(a)), Some(Figure::Text(b))) => a.cmp(b),
                _ => std::cmp::Ordering::Equal,
            },
        };
        let order = if turned { order.reverse() } else { order };
        order.then(by_name)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_us: u64, queues: &[(&str, u64, u64)]) -> Look {
        let item = |(name, depth, accepted): &(&str, u64, u64)| Item {
            key: (*name).into(),
            name: (*name).into(),
            raw: [*depth, 0, *accepted, 0, 0, 0, 0].map(Raw::Number).to_vec(),
            why: None,
        };
        let items = [queues.iter().map(item).collect(), vec![], vec![], vec![]];
        Look { at_us, broker: String::new(), items }
    }

    fn rate_of(row: &Row) -> Option<f64> {
        match row.figures[2] {
            Figure::Number(rate) => rate,
            Figure::Text(_) => panic!("a number"),
        }
    }

    #[test]
    fn rates_are_what_was_counted_by_the_time_between_two_looks() {
        let before = look(1_000_000, &[("a", 5, 100), ("b", 0, 70)]);
        let now = look(3_000_000, &[("a", 7, 150), ("b", 0, 20), ("new", 1, 9)]);
        let rows = rows(Pane::Queues, Some(&before), &now);
        assert_eq!(rows[0].figures[0], Figure::Number(Some(7.0)), "a depth is as it is");
        assert_eq!(rate_of(&rows[0]), Some(25.0));
        assert_eq!(rate_of(&rows[1]), Some(10.0), "a counter that began anew");
        assert_eq!(rate_of(&rows[2]), None, "what was not there before");
    }

    #[test]
    fn a_bridge_counts_once_and_every_other_row_does() {
        let now = look(0, &[("hq out", 0, 0), ("hq in", 0, 0), ("lab out", 0, 0)]);
        let items = now.items[0].clone();
        let now = Look { items: [items.clone(), vec![], vec![], items], ..now };
        assert_eq!([Pane::Queues, Pane::Topics, Pane::Bridges].map(|it| now.count(it)), [3, 0, 2]);
    }

    #[test]
    fn one_look_and_two_at_one_moment_give_no_rate() {
        let one = look(5, &[("a", 1, 1)]);
        assert_eq!(rate_of(&rows(Pane::Queues, None, &one)[0]), None);
        assert_eq!(rate_of(&rows(Pane::Queues, Some(&one), &one)[0]), None);
    }

    #[test]
    fn rows_are_sorted_by_a_figure_or_by_name() {
        let now = look(0, &[("a", 1, 0), ("c", 9, 0), ("b", 9, 0)]);
        let sorted = |column, turned| {
            let mut rows = rows(Pane::Queues, None, &now);
            sort(&mut rows, column, turned);
            rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(sorted(0, false), ["a", "b", "c"]);
        assert_eq!(sorted(1, false), ["b", "c", "a"]);
        assert_eq!(sorted(1, true), ["a", "b", "c"]);
    }
}
