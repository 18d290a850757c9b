//! Named pipes: made for one user alone, and who is at their other end.
//!
//! A name belongs to whoever has made its first instance, as long as one is there. The list of rights of each
//! instance names the user of this process and the system; nobody else, and nobody of another machine, can open it.

#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::windows::io::{AsRawHandle, RawHandle};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeServer, ServerOptions};
use windows_sys::Win32::Foundation::{ERROR_PIPE_BUSY, HLOCAL, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows_sys::Win32::System::Pipes::{GetNamedPipeClientProcessId, GetNamedPipeServerProcessId};

use super::Credentials;
use super::local_stream::{LocalStream, PIPE_BYTES};
use super::user::{is_system, number, own_user, user_of_process};

/// Pause before a client tries again that has found all instances taken.
const PAUSE: Duration = Duration::from_millis(1);

/// Accepts connections on a named pipe.
#[derive(Debug)]
pub(crate) struct PipeListener {
    name: String,
    /// The instance that the next one connects to; none while somebody waits for that one.
    next: Mutex<Option<NamedPipeServer>>,
}

impl PipeListener {
    /// Makes the first instance of this name.
    ///
    /// # Errors
    /// `PermissionDenied` when somebody has one already; else what the system says.
    pub fn bind(name: &str) -> io::Result<PipeListener> {
        let first = instance(name, true)?;
        Ok(PipeListener { name: name.to_owned(), next: Mutex::new(Some(first)) })
    }

    /// The next connection. Cancelling loses none.
    ///
    /// # Errors
    /// When accepting fails. The listener stays usable.
    pub async fn accept(&self) -> io::Result<LocalStream> {
        let waiting = match self.next().take() {
            Some(waiting) => waiting,
            None => instance(&self.name, false)?,
        };
        let mut turn = Turn { listener: self, waiting: Some(waiting) };
        let connected = match &turn.waiting {
            Some(waiting) => waiting.connect().await,
            None => Ok(()),
        };
        // Before the one that is taken can end: there is always one with this name.
        let next = instance(&self.name, false);
        let taken = turn.waiting.take().ok_or(io::ErrorKind::NotConnected)?;
        *self.next() = next.ok();
        connected.map(|()| LocalStream::Server(taken))
    }

    fn next(&self) -> MutexGuard<'_, Option<NamedPipeServer>> {
        // What stands there is whole at all times.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance that somebody waits for: it is put back if he gives up, connected or not.
struct Turn<'a> {
    listener: &'a PipeListener,
    waiting: Option<NamedPipeServer>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            *self.listener.next() = Some(waiting);
        }
    }
}

/// Connects to the pipe of this name. While all its instances are taken it tries again, without end: the caller has
/// the deadline.
///
/// # Errors
/// When there is none, or it is not for this user.
pub(crate) async fn connect_pipe(name: &str) -> io::Result<LocalStream> {
    loop {
        match ClientOptions::new().open(name) {
            Ok(pipe) => return Ok(LocalStream::Client(pipe)),
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY.cast_signed()) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The process and user at the other end.
///
/// # Errors
/// `PermissionDenied` when it is neither this user nor the system; else when the system does not tell.
pub(crate) fn credentials(stream: &LocalStream) -> io::Result<Credentials> {
    let mut pid = 0;
    let told = match stream {
        LocalStream::Server(pipe) => {
            // SAFETY: the pipe's handle is open as long as it is borrowed, and `pid` is writable.
            unsafe { GetNamedPipeClientProcessId(handle(pipe), &mut pid) }
        }
        LocalStream::Client(pipe) => {
            // SAFETY: as above.
            unsafe { GetNamedPipeServerProcessId(handle(pipe), &mut pid) }
        }
    };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    let user = user_of_process(pid)?;
    if user != own_user()? && !is_system(&user) {
        let text = format!("process {pid} at the other end is of another user ({user})");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let uid = number(&user);
    Ok(Credentials { pid: Some(pid), uid, gid: uid, groups: Vec::new() })
}

fn handle(pipe: &impl AsRawHandle) -> RawHandle {
    pipe.as_raw_handle()
}

fn instance(name: &str, first: bool) -> io::Result<NamedPipeServer> {
    let rights = Rights::of_one(own_user()?)?;
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: rights.0,
        bInheritHandle: 0,
    };
    let mut options = ServerOptions::new();
    options.first_pipe_instance(first).reject_remote_clients(true);
    options.in_buffer_size(PIPE_BYTES as u32).out_buffer_size(PIPE_BYTES as u32);
    let attributes = (&raw mut attributes).cast();
    // SAFETY: the attributes, and the rights that they point to, live until the call has ended.
    unsafe { options.create_with_security_attributes_raw(OsStr::new(name), attributes) }
}

/// Who may open something, as the system wants to have it.
struct Rights(PSECURITY_DESCRIPTOR);

impl Rights {
    /// This user and the system, and nothing that is inherited.
    fn of_one(user: &str) -> io::Result<Rights> {
        let text = format!("D:P(A;;GA;;;{user})(A;;GA;;;SY)");
        let text: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let mut made = ptr::null_mut();
        // SAFETY: the text ends with 0, and `made` is writable; its length is not asked for.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &mut made,
                ptr::null_mut(),
            )
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(Rights(made)) }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        // SAFETY: the system has made it to be freed so, and nobody else has it.
        unsafe { LocalFree(self.0 as HLOCAL) };
    }
}
