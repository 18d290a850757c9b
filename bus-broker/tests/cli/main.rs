//! The `bus` command as a user meets it: the real program, its output and its exit codes.
//!
//! Every test has a directory and a broker of its own, and waits for conditions, not for times.

mod archives;
mod away;
mod bad_input;
mod bridge;
mod bridge_file;
mod bridge_words;
mod completions;
mod contexts;
mod doctor;
mod events;
mod lines;
mod operate;
mod page;
mod serve;
mod show;
mod stage;
mod stopped;
mod tls;
mod top;
mod users;
