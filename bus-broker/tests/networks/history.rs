//! What writers have published and readers have seen, and what must be true of it.
//!
//! Each message comes to each reader once, and in the order of its writer; what was accepted has
//! come, or the reader was told of a loss at that place and of enough of them. Whoever checks gets
//! what is wrong as values, so that a test can see that it is found.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::record::Mark;

/// Something that a reader has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Message(Mark),
    /// It was told that so many messages are lost here.
    Lost(u64),
    /// It was told that its session is lost, and messages with it: nobody knows how many.
    Gap,
}

/// What one writer knows of its messages, which are numbered from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// It has handed over so many.
    pub count: u64,
    /// Of these it was told that nobody knows whether they were accepted.
    pub unknown: Vec<Range<u64>>,
    /// Its session was lost with its broker, and another one began, at these numbers.
    pub restarts: Vec<u64>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub writers: BTreeMap<u64, Written>,
    /// By their names.
    pub readers: BTreeMap<String, Vec<Seen>>,
    /// The highest number of each writer that a reader has seen.
    pub latest: BTreeMap<(String, u64), u64>,
    /// Where what a reader has of a writer begins, if not with the first message: somebody on another
    /// host hears nothing until it is known there that he wants something.
    pub beginnings: BTreeMap<(String, u64), u64>,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It has come before.
    Twice { reader: String, mark: Mark },
    /// A later one of its writer has come before.
    Swapped { reader: String, mark: Mark, after: u64 },
    /// Nobody has published it.
    Unpublished { reader: String, mark: Mark },
    /// These have not come, and the reader was told of no loss where they should have.
    Missing { reader: String, writer: u64, numbers: Range<u64> },
    /// Fewer losses were told than there are.
    Uncounted { reader: String, missing: u64, told: u64 },
}

/// What a history comes to in which nothing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Messages that have come, over all readers.
    pub arrived: u64,
    /// That were accepted and are told to be lost.
    pub lost: u64,
    /// That have not come, and of which the writer was told that nobody knows.
    pub unknown: u64,
    /// That have not come, and went with the broker of their writer: it was told that its session is
    /// lost, and nobody beyond could know.
    pub gone: u64,
}

impl Written {
    fn is_unknown(&self, number: u64) -> bool {
        self.unknown.iter().any(|range| range.contains(&number))
    }

    /// Whether these stand where a broker went and took along what it had.
    fn went_with_broker(&self, numbers: &Range<u64>) -> bool {
        self.restarts.iter().any(|at| (numbers.start..=numbers.end).contains(at))
    }
}

impl History {
    /// A reader, which has begun, has seen this.
    pub fn see(&mut self, reader: &str, seen: Seen) {
        if let Seen::Message(mark) = seen {
            let latest = self.latest.entry((reader.to_owned(), mark.writer)).or_default();
            *latest = mark.number.max(*latest);
        }
        self.readers.entry(reader.to_owned()).or_default().push(seen);
    }

    /// Whatever comes before the first message that a reader has of a writer by now is no concern of
    /// his.
    pub fn begin_where_readers_are(&mut self) {
        for (name, seen) in &self.readers {
            for seen in seen {
                if let Seen::Message(mark) = seen {
                    let key = (name.clone(), mark.writer);
                    self.beginnings.entry(key).or_insert(mark.number);
                }
            }
        }
    }

    /// What is wrong with it, or what it comes to.
    pub fn check(&self) -> Result<Sum, Vec<Wrong>> {
        let (mut sum, mut wrong) = (Sum::default(), Vec::new());
        for (name, seen) in &self.readers {
            self.check_reader(name, seen, &mut sum, &mut wrong);
        }
        match wrong.is_empty() {
            true => Ok(sum),
            false => Err(wrong),
        }
    }

    fn check_reader(&self, name: &str, seen: &[Seen], sum: &mut Sum, wrong: &mut Vec<Wrong>) {
        let begins = |writer: u64| self.beginnings.get(&(name.to_owned(), writer)).copied();
        let row = |writer: u64| Row { next: begins(writer).unwrap_or(0), ..Row::default() };
        let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
        let (mut told, mut missing, mut gaps) = (0, 0, false);
        for (place, seen) in seen.iter().enumerate() {
            match *seen {
                Seen::Lost(count) => told += count,
                Seen::Gap => gaps = true,
                Seen::Message(mark) => {
                    sum.arrived += 1;
                    let row = rows.entry(mark.writer).or_insert_with(|| row(mark.writer));
                    let published = self.writers.get(&mark.writer).map_or(0, |it| it.count);
                    wrong.extend(row.take(name, mark, place, published));
                }
            }
        }
        for (writer, written) in &self.writers {
            let mut row = rows.remove(writer).unwrap_or_else(|| row(*writer));
            row.holes.push((row.next..written.count, row.place, seen.len()));
            for (numbers, after, before) in row.holes {
                let known = numbers.clone().filter(|number| !written.is_unknown(*number)).count();
                let known = known as u64;
                sum.unknown += numbers.end.saturating_sub(numbers.start) - known;
                if known > 0 && written.went_with_broker(&numbers) {
                    sum.gone += known;
                    continue;
                }
                missing += known;
                let is_told = seen[after..before].iter().any(|it| !matches!(it, Seen::Message(_)));
                if known > 0 && !is_told {
                    wrong.push(Wrong::Missing { reader: name.into(), writer: *writer, numbers });
                }
            }
        }
        sum.lost += missing;
        if missing > told && !gaps {
            wrong.push(Wrong::Uncounted { reader: name.into(), missing, told });
        }
    }
}

/// What one reader has of one writer.
#[derive(Default)]
struct Row {
    /// The number after the highest one that has come.
    next: u64,
    /// Behind where that came.
    place: usize,
    /// Numbers that were passed over, and between which places.
    holes: Vec<(Range<u64>, usize, usize)>,
}

impl Row {
    fn take(&mut self, name: &str, mark: Mark, place: usize, published: u64) -> Option<Wrong> {
        let reader = name.to_owned();
        if mark.number >= published {
            return Some(Wrong::Unpublished { reader, mark });
        }
        if mark.number < self.next {
            let late = self.holes.iter().position(|(hole, ..)| hole.contains(&mark.number));
            let Some(late) = late else { return Some(Wrong::Twice { reader, mark }) };
            // It is there after all, at the wrong place; what is left of the hole stays one.
            let (hole, after, before) = self.holes.swap_remove(late);
            self.holes.push((hole.start..mark.number, after, before));
            self.holes.push((mark.number + 1..hole.end, after, before));
            return Some(Wrong::Swapped { reader, mark, after: self.next - 1 });
        }
        if mark.number > self.next {
            self.holes.push((self.next..mark.number, self.place, place));
        }
        (self.next, self.place) = (mark.number + 1, place + 1);
        None
    }
}

#[cfg(test)]
mod tests;
