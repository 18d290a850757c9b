//! A client against a broker that is played by hand: one that does not answer, answers late,
//! or ends connections as no real one would at the moment that a test needs.

mod deadlines;
mod drains;
mod heartbeats;
mod holding;
mod peer;
mod restarts;
