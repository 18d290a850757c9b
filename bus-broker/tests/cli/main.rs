//! The `bus` command as a user meets it: the real program, its output and its exit codes.
//!
//! Every test has a directory and a broker of its own, and waits for conditions, not for times.

mod activator;
mod archives;
mod away;
mod bad_input;
mod bridge;
mod bridge_file;
mod bridge_words;
mod completions;
mod contexts;
mod descriptors;
mod doctor;
mod events;
mod lease;
mod lines;
mod matching;
mod operate;
mod page;
mod reload;
mod restart;
mod serve;
mod service;
mod show;
mod stage;
mod stopped;
mod streams;
mod subscribers;
mod tls;
mod top;
mod units;
mod users;
