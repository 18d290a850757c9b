//! Who is at the other end of a local socket, by the kernel's word.
//!
//! What a peer says of itself is never asked for here.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::watch::watch;

/// The supplementary groups that the peer of a local socket had when it connected
/// (`SO_PEERGROUPS`).
///
/// # Errors
/// When the kernel refuses, as on sockets of another family.
pub fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut length = (groups.len() * size_of::<libc::gid_t>()) as libc::socklen_t;
        // SAFETY: `groups` is writable for `length` bytes, and the kernel writes no more than
        // that; the descriptor is borrowed, so it is open.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &mut length,
            )
        };
        let count = length as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

/// A descriptor that becomes readable when the process at the other end of a local socket has
/// ended, whoever else holds that socket by then (`SO_PEERPIDFD`, or from the number where the
/// kernel has none).
///
/// # Errors
/// When the kernel refuses both.
pub fn peer_process(socket: BorrowedFd<'_>, pid: Option<u32>) -> io::Result<OwnedFd> {
    let mut descriptor: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `descriptor` is writable for `length` bytes, and the kernel writes no more than
    // that; the socket is borrowed, so it is open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut descriptor).cast(),
            &mut length,
        )
    };
    if result == 0 && descriptor >= 0 {
        // SAFETY: the kernel has just opened it for this process, and nobody else knows it.
        return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }
    let pid = pid.and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::NotFound)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK)?)
}

/// Whether a process sees the same processes as this one: its namespace of process numbers is
/// not an inner one. Whoever lives in an inner one can signal none of those outside, whoever its
/// user is. `false` where the kernel does not tell.
pub fn sees_our_processes(pid: u32) -> bool {
    // The numbers that a process has, from this one's namespace inwards. Anybody may read it.
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().count() == 1)
}

/// Of Linux 6.5 and newer.
const SO_PEERPIDFD: libc::c_int = 77;

/// Waits until a process has ended. Cancelling is harmless.
///
/// # Errors
/// When the process cannot be watched.
pub async fn process_ended(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid else { return Err(io::ErrorKind::InvalidInput.into()) };
    let descriptor = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let watched = watch(descriptor, tokio::io::Interest::READABLE)?;
    watched.readable().await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn process_of_an_inner_namespace_does_not_see_ours() {
        assert!(sees_our_processes(std::process::id()));
        assert!(!sees_our_processes(u32::MAX), "there is no such process");
        let mut outer = Command::new("unshare");
        outer.args(["--pid", "--fork", "--kill-child", "sh", "-c", "echo up; read line"]);
        let spawned = outer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut outer) = spawned else { return eprintln!("skipped: there is no unshare here") };
        let mut up = String::new();
        let out = outer.stdout.take().expect("it is piped");
        let read = io::BufRead::read_line(&mut io::BufReader::new(out), &mut up);
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let inner = std::fs::read_to_string(children).unwrap_or_default();
        if read.is_ok() && up.trim() == "up" {
            let inner = inner.trim().parse().expect("its only child");
            assert!(!sees_our_processes(inner), "{inner} is in a namespace of its own");
            assert!(sees_our_processes(outer.id()), "only its child is in the new one");
        } else {
            eprintln!("skipped: no namespace of processes may be made here");
        }
        drop(outer.stdin.take());
        outer.wait().expect("it ends");
    }
}
