//! The few things that a hostile process does and no safe code can: it stores into mappings,
//! changes their protection, reads another process's memory, and forks.
//!
//! For tests alone. Everything else of the hostile process is ordinary code.

#![allow(unsafe_code)]

use std::io;

use memmap2::MmapRaw;

/// A mapping of its own, which it may write, and which others read.
pub struct Scratch(MmapRaw);

impl Scratch {
    pub fn new(mapping: MmapRaw) -> Scratch {
        Scratch(mapping)
    }

    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Stores one byte, whoever reads it.
    pub fn store_byte(&self, offset: usize, byte: u8) {
        assert!(offset < self.0.len(), "within the mapping");
        // SAFETY: the offset lies within the mapping, by the line above.
        let target = unsafe { self.0.as_mut_ptr().add(offset) };
        // SAFETY: the mapping can be written and lives as long as `self`; nothing refers to it.
        unsafe { target.write_volatile(byte) };
    }

    /// Stores one aligned word, after everything that was stored before.
    pub fn store(&self, offset: usize, word: u64) {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.0.len(), "within the mapping");
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        // SAFETY: the word lies within the mapping, by the line above.
        let target = unsafe { self.0.as_mut_ptr().add(offset) };
        // SAFETY: as for a byte; a mapping begins at a page, so that the word is aligned.
        unsafe { target.cast::<u64>().write_volatile(word) };
    }
}

/// Asks for the right to write to a mapping that was made without it.
pub fn allow_writing(mapping: &MmapRaw) -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the range is one mapping, which stays mapped; nothing refers to its bytes.
    let result = unsafe { libc::mprotect(mapping.as_mut_ptr().cast(), mapping.len(), protection) };
    outcome(result as isize).map(|_| ())
}

/// Asks for the pages of a mapping to be taken away for everybody.
pub fn remove_pages(mapping: &MmapRaw) -> io::Result<()> {
    let (start, length) = (mapping.as_mut_ptr().cast(), mapping.len());
    // SAFETY: the range is one mapping, which stays mapped; nothing refers to its bytes.
    let result = unsafe { libc::madvise(start, length, libc::MADV_REMOVE) };
    outcome(result as isize).map(|_| ())
}

/// Reads another process's memory.
pub fn read_memory_of(pid: u32, address: usize, buffer: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: the local part is writable for so many bytes; the kernel checks the remote one.
    let result = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    outcome(result)
}

/// Takes hold of another process as a debugger would.
pub fn attach_to(pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: no memory of this process is handed over.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, nothing) };
    outcome(result as isize).map(|_| ())
}

/// Forks; the child sees what is mapped in it, and says whether it finds a name there. Gives for
/// each name whether it does.
pub fn fork_and_look_for(names: &[&[u8]]) -> io::Result<Vec<bool>> {
    let mut maps = vec![0u8; 1 << 20];
    let path = c"/proc/self/maps";
    // SAFETY: the child touches what was made before only, calls nothing that takes a lock, and
    // ends without returning.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the path ends with a zero.
        let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) };
        let mut length = 0;
        loop {
            let rest = &mut maps[length..];
            // SAFETY: the rest is writable for as many bytes as are said.
            let count = unsafe { libc::read(file, rest.as_mut_ptr().cast(), rest.len()) };
            match usize::try_from(count) {
                Ok(1..) => length += count as usize,
                _ => break,
            }
        }
        let found = names.iter().enumerate().fold(0, |found, (index, name)| {
            let there = maps[..length].windows(name.len()).any(|part| part == *name);
            found | i32::from(there) << index
        });
        // SAFETY: it ends the child, and nothing of it is needed any more.
        unsafe { libc::_exit(if length == 0 { 255 } else { found }) };
    }
    outcome(child as isize)?;
    let mut status = 0;
    // SAFETY: the status is writable.
    outcome(unsafe { libc::waitpid(child, &mut status, 0) } as isize)?;
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, found) if found != 255 => {
            Ok((0..names.len()).map(|index| found >> index & 1 == 1).collect())
        }
        _ => Err(io::Error::other("the forked child could not look")),
    }
}

/// Forks; the child holds everything that this process has open, and does nothing, for some minutes
/// or until it is killed. Gives its number.
pub fn fork_and_hold() -> io::Result<u32> {
    const SECONDS: libc::c_uint = 300;
    // SAFETY: the child calls nothing that takes a lock, and ends without returning.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it waits for nothing but time, and touches no memory.
        while unsafe { libc::sleep(SECONDS) } > 0 {}
        // SAFETY: it ends the child, and nothing of it is needed any more.
        unsafe { libc::_exit(0) };
    }
    outcome(child as isize)?;
    u32::try_from(child).map_err(io::Error::other)
}

fn outcome(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Forks; gives what the child finds. The child is this process at that moment with one thread: it
/// may do what such a program can, and ends without returning.
#[allow(dead_code, reason = "for the blocking clients' tests, which have this file too")]
pub fn fork_and_ask(find: impl FnOnce() -> u8) -> io::Result<u8> {
    // SAFETY: the child runs on with this thread's stack and a copy of the memory; what it does
    // is the caller's business, and it ends below.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(find)).unwrap_or(255);
        // SAFETY: it ends the child, and nothing of it is needed any more.
        unsafe { libc::_exit(libc::c_int::from(found)) };
    }
    outcome(child as isize)?;
    let mut status = 0;
    // SAFETY: the status is writable.
    outcome(unsafe { libc::waitpid(child, &mut status, 0) } as isize)?;
    match (libc::WIFEXITED(status), u8::try_from(libc::WEXITSTATUS(status))) {
        (true, Ok(found)) if found != 255 => Ok(found),
        _ => Err(io::Error::other("the forked child did not end by itself")),
    }
}
