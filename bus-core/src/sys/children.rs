//! Processes that this one starts, and their end.
//!
//! By their numbers, which are theirs as long as nobody has waited for them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A command line for the shell, whose processes are a group of their own.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).process_group(0);
    command
}

/// Ends all processes of a group that was begun with [`shell`]. As long as one of them runs the number is theirs.
pub fn kill_group(leader: u32) {
    if let Some(leader) = number(leader) {
        // They may have ended by themselves.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

/// Asks a child to end. Whether it was told.
pub fn ask_to_end(child: u32) -> bool {
    number(child).is_some_and(|child| kill_process(child, Signal::TERM).is_ok())
}

/// Has the kernel end this process when its parent ends.
///
/// # Errors
/// When the kernel refuses.
#[cfg(target_os = "linux")]
pub fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?)
}

/// Has the kernel end this process when its parent ends.
///
/// # Errors
/// `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn end_with_parent() -> io::Result<()> {
    Err(super::not_available("an end together with the parent process"))
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
