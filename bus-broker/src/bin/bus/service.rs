//! What the service manager (systemd, or another one that speaks its protocol) gives to `bus serve`, and is told.
//!
//! It gives sockets that listen already, an address where it wants to hear how the service stands, and how often a sign of life
//! is due. All of it is taken before anything else is opened, and no child finds it in its environment. Without
//! a service manager nothing here does anything.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, process};

use bus_broker::{Inherited, Surroundings};
use bus_core::sys::{Notify, monotonic_clock, take_inherited, take_words};

use crate::exit::{Exit, Problem, say};

/// Taken by `main`, used by `serve`.
static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

/// What was found in the environment.
#[derive(Default)]
pub struct Taken {
    sockets: Vec<Inherited>,
    manager: Manager,
    watchdog: Option<Duration>,
}

/// Takes what is there. For the first moment of the process.
pub fn take() -> Result<(), Problem> {
    let failed = |error: io::Error| {
        Problem::new(Exit::Other, format!("what the service manager gives cannot be used: {error}"))
    };
    // The descriptors first: whatever is opened from here on has other numbers.
    let sockets = take_inherited().map_err(failed)?;
    let words = take_words(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]).map_err(failed)?;
    let [address, every, pid] = words;
    // A word that was left behind by a service around this process is no reason not to serve.
    let manager = address.map(|address| {
        Manager::at(&address).unwrap_or_else(|error| {
            say(format_args!(
                "NOTIFY_SOCKET={}: {error}; nobody there is told anything",
                address.display()
            ));
            Manager::default()
        })
    });
    let number = |word: Option<std::ffi::OsString>| word?.to_str()?.parse::<u64>().ok();
    let is_mine = pid.is_none() || number(pid) == Some(u64::from(process::id()));
    let watchdog = number(every).filter(|micros| is_mine && *micros > 0).map(Duration::from_micros);
    let taken = Taken { sockets, manager: manager.unwrap_or_default(), watchdog };
    *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
    Ok(())
}

/// What was taken, once.
pub fn taken() -> (Surroundings, Manager) {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Taken { sockets, manager, watchdog } = taken.unwrap_or_default();
    let mut surroundings = Surroundings::default().sockets(sockets);
    if let Some(every) = watchdog {
        let manager = manager.clone();
        // Half of the time that is allowed, as the protocol recommends.
        surroundings = surroundings.beat(every / 2, move || manager.tell(&["WATCHDOG=1"]));
    }
    (surroundings, manager)
}

/// Whoever wants to hear how the service stands; nobody by default.
#[derive(Clone, Default)]
pub struct Manager(Option<Arc<Notify>>);

impl Manager {
    /// The one at this address.
    fn at(address: &OsStr) -> io::Result<Manager> {
        Ok(Manager(Some(Arc::new(Notify::at(address)?))))
    }

    /// It works, and on which addresses.
    pub fn ready(&self, urls: &[String]) {
        self.tell(&["READY=1", &status(&format!("listening on {}", urls.join(", ")))]);
    }

    /// It reads its configuration again.
    pub fn reloading(&self) {
        let since = format!("MONOTONIC_USEC={}", monotonic_clock().as_micros());
        self.tell(&["RELOADING=1", &since, "STATUS=reading the configuration again"]);
    }

    /// It has, and what came of it.
    pub fn reloaded(&self, what: &str) {
        self.tell(&["READY=1", &status(what)]);
    }

    /// It ends.
    pub fn stopping(&self, clients: usize) {
        self.tell(&["STOPPING=1", &status(&format!("ending: {clients} connected"))]);
    }

    /// These assignments, in one message. Whoever does not take them is not waited for.
    fn tell(&self, lines: &[&str]) {
        let Some(socket) = &self.0 else { return };
        let mut text = String::new();
        for line in lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
        }
        let _ = socket.send(text.as_bytes());
    }
}

/// A sentence for people, on one line.
fn status(text: &str) -> String {
    format!("STATUS={}", text.replace('\n', " "))
}
