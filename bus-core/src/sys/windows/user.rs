//! For whom a process acts, by the identifier of its user (SID) in its token.
//!
//! An identifier is kept as text (`S-1-5-21-...-1001`); two are the same user when their texts are the same.

#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{HLOCAL, LocalFree};
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::{GetTokenInformation, PSID, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, OpenProcess, OpenProcessToken, PROCESS_QUERY_LIMITED_INFORMATION,
};

/// The system itself, which is here what root is elsewhere.
const SYSTEM: &str = "S-1-5-18";
/// Of whom no number is known.
const UNKNOWN: u32 = u32::MAX;
/// What a token says of its user: a pointer, attributes and an identifier of at most 68 bytes. In words, so that it
/// is aligned.
const USER_WORDS: usize = 32;

/// The user for whom this process acts: 0 for the system, else the last part of the identifier.
pub fn effective_uid() -> u32 {
    own_user().map_or(UNKNOWN, number)
}

/// The same number: groups are not asked for.
pub fn effective_gid() -> u32 {
    effective_uid()
}

/// The identifier of this process's user.
pub(super) fn own_user() -> io::Result<&'static str> {
    static OWN: OnceLock<String> = OnceLock::new();
    if let Some(own) = OWN.get() {
        return Ok(own);
    }
    // SAFETY: it gives a constant, which stands for this process as long as that runs, and is not closed.
    let this = unsafe { BorrowedHandle::borrow_raw(GetCurrentProcess()) };
    let own = user_of(this)?;
    Ok(OWN.get_or_init(|| own))
}

/// The identifier of a process's user.
pub(super) fn user_of_process(pid: u32) -> io::Result<String> {
    // SAFETY: no memory is handed over, and the system checks the number.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has just opened it for this process, and nobody else knows it.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    use std::os::windows::io::AsHandle;
    user_of(process.as_handle())
}

/// Whether that is the system itself.
pub(super) fn is_system(user: &str) -> bool {
    user == SYSTEM
}

/// The number that stands for a user: of this process's own one, or of the system.
pub(super) fn number(user: &str) -> u32 {
    if is_system(user) {
        return 0;
    }
    user.rsplit('-').next().and_then(|last| last.parse().ok()).unwrap_or(UNKNOWN)
}

fn user_of(process: BorrowedHandle<'_>) -> io::Result<String> {
    let mut token = ptr::null_mut();
    // SAFETY: the process's handle is borrowed, so it is open, and `token` is writable.
    if unsafe { OpenProcessToken(process.as_raw_handle(), TOKEN_QUERY, &mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has just opened it for this process, and nobody else knows it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut room = [0_u64; USER_WORDS];
    let (bytes, mut written) = (size_of_val(&room) as u32, 0);
    let start = room.as_mut_ptr();
    // SAFETY: the token is open, and `room` is writable for as many bytes as are said.
    let told = unsafe {
        GetTokenInformation(token.as_raw_handle(), TokenUser, start.cast(), bytes, &mut written)
    };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `room` is aligned for it, longer, and the system has just written one at its start.
    let user = unsafe { start.cast::<TOKEN_USER>().read() };
    text_of(user.User.Sid)
}

/// The text of an identifier that the system has written.
fn text_of(identifier: PSID) -> io::Result<String> {
    let mut text: *mut u16 = ptr::null_mut();
    // SAFETY: it is an identifier, by the caller's word, in memory that is still there; `text` is writable.
    if unsafe { ConvertSidToStringSidW(identifier, &mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = String::new();
    for place in 0.. {
        // SAFETY: the system has written a text that ends with 0, and the loop ends there.
        let place = unsafe { text.add(place) };
        // SAFETY: as above.
        let unit = unsafe { place.read() };
        match char::from_u32(unit.into()) {
            Some('\0') | None => break,
            Some(character) => found.push(character),
        }
    }
    // SAFETY: the system has made it for this call to be freed so, once.
    unsafe { LocalFree(text as HLOCAL) };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_of_the_user_that_its_token_names() {
        let own = own_user().expect("it has a token");
        assert!(own.starts_with("S-1-5-"), "{own}");
        assert_eq!(user_of_process(std::process::id()).expect("it runs"), own);
        assert_eq!(effective_uid(), number(own));
        user_of_process(0).expect_err("it is no process that can be opened");
    }

    #[test]
    fn the_number_of_a_user_is_the_last_one_of_his_identifier() {
        assert_eq!(number("S-1-5-21-1-2-3-1001"), 1001);
        assert_eq!(number(SYSTEM), 0);
        assert_eq!(number("nonsense"), UNKNOWN);
    }
}
