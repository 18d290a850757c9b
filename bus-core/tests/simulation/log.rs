//! What happened, for whoever repeats one seed. Costs nothing while nobody listens.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bus_core::Time;

/// Lines that are kept, and letters of each.
const KEPT: usize = 6000000;
const LETTERS: usize = 240;

/// The last things that happened; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log(Option<Rc<RefCell<Lines>>>);

#[derive(Debug, Default)]
struct Lines {
    now: Time,
    lines: VecDeque<String>,
}

impl Log {
    /// One that listens.
    pub fn listening() -> Log {
        Log(Some(Rc::default()))
    }

    /// What follows happens at this moment.
    pub fn at(&self, now: Time) {
        if let Some(lines) = &self.0 {
            lines.borrow_mut().now = now;
        }
    }

    pub fn say(&self, line: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let mut lines = lines.borrow_mut();
        if lines.lines.len() == KEPT {
            lines.lines.pop_front();
        }
        let text: String = line().chars().take(LETTERS).collect();
        let line = format!("{:>13} {text}", lines.now.as_nanos());
        lines.lines.push_back(line);
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        let lines = self.0.as_ref().map(|lines| Vec::from(lines.borrow().lines.clone()));
        lines.unwrap_or_default().join("\n")
    }
}
