//! The live connections, for whoever wants to look without asking the router.
//!
//! Written by the broker's thread, read from any thread. Counters are exact once the
//! connection has ended, and at most one batch behind before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus_core::Sender;
use bus_core::transport::Transport;
use dashmap::DashMap;

/// What a connection has moved.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub frames_in: AtomicU64,
    pub frames_out: AtomicU64,
}

/// A connected client.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// Who it is.
    pub sender: Sender,
    /// Where it is, for people.
    pub address: String,
    /// How it is connected.
    pub transport: Transport,
    /// Why it has no shared memory, if it has asked for some.
    pub no_lanes: String,
    pub(crate) counters: Arc<Counters>,
}

/// All connected clients, by the number of their session.
#[derive(Clone, Default)]
pub struct Registry(Arc<DashMap<u64, ClientInfo>>);

impl Registry {
    pub(crate) fn insert(&self, session: u64, info: ClientInfo) {
        self.0.insert(session, info);
    }

    pub(crate) fn remove(&self, session: u64) -> Option<ClientInfo> {
        self.0.remove(&session).map(|(_, info)| info)
    }

    /// The client of a session, if it is connected.
    pub fn get(&self, session: u64) -> Option<ClientInfo> {
        self.0.get(&session).map(|entry| entry.value().clone())
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them are other processes: not what this one has of its own, such as its metrics and its bridges.
    pub fn of_others(&self) -> usize {
        self.0.iter().filter(|entry| entry.value().transport != Transport::Mem).count()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of their sessions.
    pub fn all(&self) -> Vec<ClientInfo> {
        let mut all: Vec<ClientInfo> = self.0.iter().map(|entry| entry.value().clone()).collect();
        all.sort_by_key(|info| info.sender.session);
        all
    }
}

impl ClientInfo {
    /// Bytes read from it and written to it.
    pub fn bytes(&self) -> (u64, u64) {
        (
            self.counters.bytes_in.load(Ordering::Relaxed),
            self.counters.bytes_out.load(Ordering::Relaxed),
        )
    }

    /// Frames taken from it, and made for it.
    pub fn frames(&self) -> (u64, u64) {
        (
            self.counters.frames_in.load(Ordering::Relaxed),
            self.counters.frames_out.load(Ordering::Relaxed),
        )
    }
}
