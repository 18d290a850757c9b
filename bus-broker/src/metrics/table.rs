//! A part of a table: filtered, sorted and cut where the figures are, so that whoever looks at a few rows of a thousand is
//! sent a few. Pure.
//!
//! Invariants: what is not known stands last, whichever way it is sorted; what is equal stays in the order of names.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::counted::Rates;
use super::request::pairs;

/// Rows at a time, unless more are asked for.
const ROWS: usize = 50;
/// Rows at a time at the most.
const ROWS_MAX: usize = 1000;

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words, to be read from the left.
    Text,
    /// How many.
    Count,
    /// How many bytes.
    Bytes,
    /// How many in a second.
    Rate,
    /// How many bytes in a second.
    ByteRate,
    /// Hundredths.
    Percent,
    /// How long, in milliseconds.
    Age,
    /// How long, in microseconds.
    Micros,
}

/// A column: its key, its title, what kind of thing stands in it, what that means, and the thing.
pub(super) type Column<T> =
    (&'static str, &'static str, Kind, &'static str, fn(&T, &Rates) -> Value);

/// What a row is of.
pub(super) trait Row {
    /// The same at each look. Those that have one key stand side by side.
    fn key(&self) -> String;
    /// What it is filtered by.
    fn label(&self) -> String;
}

/// The part of a table that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Which one.
    pub table: String,
    sort: String,
    down: bool,
    filter: String,
    from: usize,
    rows: usize,
}

impl Wanted {
    /// As a query has it.
    ///
    /// # Errors
    /// When something in it is not known.
    pub fn parse(query: &str) -> Result<Wanted, &'static str> {
        let (rows, table) = (ROWS, "queues".to_owned());
        let (sort, filter) = Default::default();
        let mut wanted = Wanted { table, sort, down: true, filter, from: 0, rows };
        let number = |text: &str| text.parse().map_err(|_| "400 Bad Request");
        for (key, value) in pairs(query).ok_or("400 Bad Request")? {
            match key.as_str() {
                "table" => wanted.table = value,
                "sort" => wanted.sort = value,
                "down" => wanted.down = value == "1",
                "filter" => wanted.filter = value.to_lowercase(),
                "from" => wanted.from = number(&value)?,
                "rows" => wanted.rows = number(&value)?.min(ROWS_MAX),
                _ => return Err("400 Bad Request"),
            }
        }
        Ok(wanted)
    }

    /// That part of these rows, each with the word for how it fares. Sorted by the second column if none is said.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn part<T: Row>(
        &self,
        all: &[T],
        mark: impl Fn(&T) -> &'static str,
        columns: &[Column<T>],
        rates: &Rates,
    ) -> Result<Value, &'static str> {
        let said = columns.iter().find(|(key, ..)| self.sort == *key);
        let by = match self.sort.is_empty() {
            true => columns.get(1).or(columns.first()),
            false => said,
        };
        let (sort, .., value) = by.ok_or("400 Bad Request")?;
        let has =
            |row: &T| self.filter.is_empty() || row.label().to_lowercase().contains(&self.filter);
        let rows = all.iter().enumerate().filter(|(_, row)| has(row));
        let mut matching: Vec<(Value, usize)> =
            rows.map(|(place, row)| (value(row, rates), place)).collect();
        matching.sort_by(|(one, _), (other, _)| compare(one, other, self.down));
        // As far down as there is something.
        let from = self.from.min(matching.len().saturating_sub(1) / self.rows.max(1) * self.rows);
        let shown = matching.iter().skip(from).take(self.rows).map(|(_, place)| {
            let row = &all[*place];
            let cells = columns.iter().map(|(.., value)| value(row, rates)).collect::<Vec<_>>();
            json!({ "key": key(all, *place), "mark": mark(row), "cells": cells })
        });
        let heads = columns.iter().map(|(key, title, kind, help, _)| {
            json!({ "key": key, "title": title, "kind": kind.word(), "help": help })
        });
        Ok(json!({
            "table": self.table,
            "columns": heads.collect::<Vec<_>>(),
            "sort": sort,
            "down": self.down,
            "matching": matching.len(),
            "from": from,
            "rows": shown.collect::<Vec<_>>(),
        }))
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Count => "count",
            Kind::Bytes => "bytes",
            Kind::Rate => "rate",
            Kind::ByteRate => "byte_rate",
            Kind::Percent => "percent",
            Kind::Age => "age",
            Kind::Micros => "micros",
        }
    }
}

/// A key that no other row has: of those side by side that have the same one, the later ones are numbered.
fn key<T: Row>(all: &[T], place: usize) -> String {
    let key = all[place].key();
    match all[..place].iter().rev().take_while(|it| it.key() == key).count() {
        0 => key,
        before => format!("{key}.{before}"),
    }
}

fn compare(one: &Value, other: &Value, down: bool) -> Ordering {
    let order = match (one, other) {
        (Value::Null, Value::Null) => return Ordering::Equal,
        (Value::Null, _) => return Ordering::Greater,
        (_, Value::Null) => return Ordering::Less,
        (Value::String(one), Value::String(other)) => one.cmp(other),
        _ => {
            let number = |it: &Value| it.as_f64().unwrap_or_default();
            number(one).total_cmp(&number(other))
        }
    };
    if down { order.reverse() } else { order }
}

#[cfg(test)]
mod tests {
    use super::super::counted::Rates;
    use super::*;

    struct Thing(&'static str, Option<u64>);

    impl Row for Thing {
        fn key(&self) -> String {
            self.0.into()
        }
        fn label(&self) -> String {
            self.0.into()
        }
    }

    const COLUMNS: &[Column<Thing>] = &[
        ("name", "Name", Kind::Text, "", |it, _| json!(it.0)),
        ("size", "Size", Kind::Count, "", |it, _| json!(it.1)),
    ];

    fn shown(query: &str) -> Result<String, &'static str> {
        let all = [("a.x", Some(3)), ("b.y", None), ("c.x", Some(10)), ("d", Some(3))]
            .map(|it| Thing(it.0, it.1));
        let part = Wanted::parse(query)?.part(&all, |_| "", COLUMNS, &Rates::none())?;
        let rows = part["rows"].as_array().expect("rows").iter();
        let keys = rows.map(|row| row["key"].as_str().expect("a key").to_owned());
        Ok(format!("{} of {}", keys.collect::<Vec<_>>().join(" "), part["matching"]))
    }

    #[test]
    fn rows_are_filtered_sorted_and_cut() {
        for (query, expected) in [
            ("", "c.x a.x d b.y of 4"),
            ("down=0", "a.x d c.x b.y of 4"),
            ("sort=name&down=0", "a.x b.y c.x d of 4"),
            ("filter=X", "c.x a.x of 2"),
            ("rows=2", "c.x a.x of 4"),
            ("rows=2&from=2", "d b.y of 4"),
            ("rows=3&from=99", "b.y of 4"),
            ("rows=0", " of 4"),
            ("filter=nothing", " of 0"),
        ] {
            assert_eq!(shown(query).as_deref(), Ok(expected), "{query}");
        }
    }

    #[test]
    fn rows_of_one_key_are_told_apart_however_they_are_sorted() {
        let all = [("a", 1), ("b", 2), ("b", 9), ("c", 5)].map(|it| Thing(it.0, Some(it.1)));
        for (query, expected) in [("", "b.1 c b a"), ("down=0", "a b c b.1"), ("filter=b", "b.1 b")]
        {
            let wanted = Wanted::parse(query).expect("a query");
            let part = wanted.part(&all, |_| "", COLUMNS, &Rates::none()).expect("a column");
            let rows = part["rows"].as_array().expect("rows").iter();
            let keys: Vec<_> = rows.map(|row| row["key"].as_str().expect("a key")).collect();
            assert_eq!(keys.join(" "), expected, "{query}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in ["sort=colour", "rows=many", "rows=-1", "what=1", "filter=%zz", "from=1.5"] {
            assert_eq!(shown(query), Err("400 Bad Request"), "{query}");
        }
    }
}
