//! What happened: counted always, told in full for whoever repeats one seed.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bus_core::Time;

/// Lines that are kept, and letters of each.
const KEPT: usize = 100_000;
const LETTERS: usize = 240;

/// The things that happened; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log(Rc<RefCell<Told>>);

#[derive(Debug, Default)]
struct Told {
    listening: bool,
    now: Time,
    lines: VecDeque<String>,
    counts: BTreeMap<String, u64>,
}

impl Log {
    /// One that listens.
    pub fn listening() -> Log {
        let log = Log::default();
        log.0.borrow_mut().listening = true;
        log
    }

    /// What follows happens at this moment.
    pub fn at(&self, now: Time) {
        self.0.borrow_mut().now = now;
    }

    pub fn say(&self, line: impl FnOnce() -> String) {
        let mut told = self.0.borrow_mut();
        if !told.listening {
            return;
        }
        if told.lines.len() == KEPT {
            told.lines.pop_front();
        }
        let text: String = line().chars().take(LETTERS).collect();
        let line = format!("{:>13} {text}", told.now.as_nanos());
        told.lines.push_back(line);
    }

    /// Counts something that must happen now and then, or the run is not worth much.
    pub fn count(&self, what: &str) {
        let mut told = self.0.borrow_mut();
        match told.counts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(told.counts.insert(what.to_owned(), 1)),
        }
    }

    /// How often each thing has happened.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.borrow().counts.clone()
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        Vec::from(self.0.borrow().lines.clone()).join("\n")
    }
}
