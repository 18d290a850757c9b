//! A file that hangs whoever opens it, as one of a file system whose server is away does.
//!
//! The kernel makes whoever opens a file wait while another process, which holds a lease on it, has been asked to
//! give it back: for `fs.lease-break-time` seconds at the most, 45 by default. For tests alone.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::stage::PATIENCE;

/// Held until it is dropped.
pub struct Lease {
    _file: File,
    wanted: Signal,
}

impl Lease {
    /// Takes one; `None`, with the reason told, where there are none.
    pub async fn take(path: &Path) -> Option<Lease> {
        // The signal by which a holder is asked ends a process that does not expect it.
        let wanted = signal(SignalKind::io()).expect("signals");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let file = OpenOptions::new().read(true).write(true).open(path).expect("our own file");
            // SAFETY: the call takes two numbers; the descriptor is open as long as `file`.
            let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
            let error = io::Error::last_os_error();
            match taken {
                0 => return Some(Lease { _file: file, wanted }),
                // Somebody has it open at this moment.
                _ if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    drop(file);
                    sleep(Duration::from_millis(5)).await;
                }
                _ => {
                    eprintln!("skipped: no lease can be had here: {error}");
                    return None;
                }
            }
        }
    }

    /// Waits until somebody opens the file, and so hangs.
    pub async fn is_wanted(&mut self) {
        let _ = tokio::time::timeout(PATIENCE, self.wanted.recv()).await.expect("it is opened");
    }

    /// Lets those go on who hang.
    pub fn give_back(self) {}
}
