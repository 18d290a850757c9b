//! Whether this process made something itself, or is a child that fork has made since.
//!
//! A child has a copy of all memory, locks that nobody there will release among it, and the same
//! descriptors as its parent: what it does with a connection it does to its parent's. So whoever
//! uses one asks first. Asking is one load: the kernel wipes a page in the child.

#![allow(unsafe_code)]

use std::fmt;

use memmap2::{MmapOptions, MmapRaw};

/// What is wiped in a child; a page is the least that the kernel wipes.
const PAGE_BYTES: usize = 4096;
/// What stands in the page until then.
const HERE: u8 = 1;

/// The process in which it was made. It costs a page.
pub struct Birth(Mark);

enum Mark {
    /// Private memory, which begins with [`HERE`] in this process, and with 0 in its children. Nobody
    /// writes it after it was made.
    Page(MmapRaw),
    /// Where the kernel wipes nothing: the number of the process.
    Number(u32),
}

impl Birth {
    /// This process.
    pub fn here() -> Birth {
        Birth(match wiped_page() {
            Some(page) => Mark::Page(page),
            None => Mark::Number(std::process::id()),
        })
    }

    /// Whether this process is a child of that one, made by fork since.
    #[inline]
    pub fn is_elsewhere(&self) -> bool {
        match &self.0 {
            Mark::Page(page) => {
                // SAFETY: the page is mapped for reading as long as its owner lives, in a child too,
                // and nobody writes it. The load is volatile, since the kernel changes it at a fork.
                let mark = unsafe { page.as_ptr().read_volatile() };
                mark != HERE
            }
            Mark::Number(number) => *number != std::process::id(),
        }
    }
}

impl fmt::Debug for Birth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_elsewhere() { "Birth(elsewhere)" } else { "Birth(here)" })
    }
}

fn wiped_page() -> Option<MmapRaw> {
    let page = MmapRaw::from(MmapOptions::new().len(PAGE_BYTES).map_anon().ok()?);
    // SAFETY: the range is this mapping, which is private and anonymous, and whose owner is here.
    let wiped =
        unsafe { libc::madvise(page.as_mut_ptr().cast(), PAGE_BYTES, libc::MADV_WIPEONFORK) };
    if wiped != 0 {
        return None;
    }
    // SAFETY: the page is mapped for writing, and nobody else knows it yet.
    unsafe { page.as_mut_ptr().write(HERE) };
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forks; gives what the child finds.
    fn in_a_child(finds: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child takes no lock, and ends without returning.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "it forks");
        if child == 0 {
            let found = i32::from(finds());
            // SAFETY: it ends the child, and nothing of it is needed any more.
            unsafe { libc::_exit(found) };
        }
        let mut status = 0;
        // SAFETY: the status is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "it ends by itself");
        libc::WEXITSTATUS(status) == 1
    }

    #[test]
    fn child_is_elsewhere_and_its_parent_is_not() {
        let by_page = Birth::here();
        assert!(matches!(by_page.0, Mark::Page(_)), "this kernel wipes pages");
        for birth in [by_page, Birth(Mark::Number(std::process::id()))] {
            assert!(!birth.is_elsewhere());
            assert!(in_a_child(|| birth.is_elsewhere()));
            assert!(!birth.is_elsewhere());
            assert!(in_a_child(|| !Birth::here().is_elsewhere()), "a child has one of its own");
        }
    }

    #[test]
    fn memory_that_is_not_wiped_would_say_that_the_child_is_its_parent() {
        let page = MmapRaw::from(MmapOptions::new().len(PAGE_BYTES).map_anon().expect("memory"));
        // SAFETY: the page is mapped for writing, and nobody else knows it.
        unsafe { page.as_mut_ptr().write(HERE) };
        let kept = Birth(Mark::Page(page));
        assert!(!in_a_child(|| kept.is_elsewhere()));
    }
}
