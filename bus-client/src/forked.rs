//! What a client is in a child that fork has made: a state that has ended, and no connection.
//!
//! Whoever asks for the client's state in such a process is given a new one of these instead, and
//! no lock is taken. Invariant: it answers everything with `Forked`, and nothing is left in it.

use bus_core::{ErrorKind, Failure};

use crate::state::State;

const TEXT: &str = "this process was forked after the client had connected, and the connection is its parent's: connect anew, or leave the child a connection when it is started";

impl State {
    /// One of no session: no lease or call belongs to it.
    #[cold]
    pub fn forked() -> State {
        let ended = Some(Failure::new(ErrorKind::Forked, TEXT));
        State { ended, life: u64::MAX, ..State::default() }
    }

    /// What everybody is told, if this is one.
    pub fn fork(&self) -> Option<&Failure> {
        self.ended.as_ref().filter(|failure| failure.kind() == ErrorKind::Forked)
    }
}
