//! How the system tells a program to end: by Ctrl-C, Ctrl-Break, a window that closes, and the machine's end.
//!
//! There is no signal that asks it to read its files again.

use std::future::pending;
use std::io;

use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlShutdown};
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

/// The events that ask a process to end.
#[derive(Debug)]
pub struct Ending {
    c: CtrlC,
    r#break: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Ending {
    /// Catches them from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Ending> {
        let (close, shutdown) = (ctrl_close()?, ctrl_shutdown()?);
        Ok(Ending { c: ctrl_c()?, r#break: ctrl_break()?, close, shutdown })
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.c.recv() => {}
            _ = self.r#break.recv() => {}
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}

/// The signal that asks a process to read its files again: there is none.
#[derive(Debug)]
pub struct HangUp(());

impl HangUp {
    /// Catches it from now on.
    ///
    /// # Errors
    /// Never: it does not come.
    pub fn new() -> io::Result<HangUp> {
        Ok(HangUp(()))
    }

    /// Leaves it as it was.
    pub fn left_alone() -> HangUp {
        HangUp(())
    }

    /// Waits for one, for ever.
    pub async fn next(&mut self) {
        pending().await
    }
}
