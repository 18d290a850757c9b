//! Processes that this one starts, and their end. Windows has neither signals nor groups of processes as Unix has.
//!
//! So nobody is asked to end: callers end a child by its handle, and what that has started goes on.

use std::io;
use std::process::Command;

use super::not_available;

/// A command line for the shell, which is `cmd`.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("cmd");
    command.args(["/C", line]);
    command
}

/// Ends all processes of a group: the shell's own handle ends the shell alone.
pub fn kill_group(_leader: u32) {}

/// Asks a child to end. Whether it was told: it never is.
pub fn ask_to_end(_child: u32) -> bool {
    false
}

/// Has the system end this process when its parent ends.
///
/// # Errors
/// `Unsupported`.
pub fn end_with_parent() -> io::Result<()> {
    Err(not_available("an end together with the parent process"))
}
