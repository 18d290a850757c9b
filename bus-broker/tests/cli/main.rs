//! The `bus` command as a user meets it: the real program, its output and its exit codes.
//!
//! Every test has a directory and a broker of its own, and waits for conditions, not for times.

mod away;
mod bad_input;
mod bridge;
mod bridge_file;
mod bridge_words;
mod lines;
mod operate;
mod serve;
mod show;
mod stage;
mod stopped;
mod tls;
mod users;
