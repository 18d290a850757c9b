//! What happened, for whoever repeats one seed. Costs nothing while nobody listens.

use std::collections::VecDeque;

/// Lines that are kept.
const KEPT: usize = 400;

/// The last things that happened.
#[derive(Debug, Default)]
pub struct Log {
    listening: bool,
    lines: VecDeque<String>,
    pub prefix: String,
}

impl Log {
    pub fn new(listening: bool) -> Log {
        Log { listening, ..Log::default() }
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if self.listening {
            if self.lines.len() == KEPT {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{} {}", self.prefix, line()));
        }
    }

    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        Vec::from(self.lines.clone()).join("\n")
    }
}
