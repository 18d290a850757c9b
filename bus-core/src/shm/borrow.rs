//! Frames shown where they stand, without a copy, to whoever trusts the writer.
//!
//! A hostile writer could change the bytes under the reader's eyes, which no reference allows:
//! so this is for processes of one user, which could reach into each other anyway.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;

use super::layout::{COMMIT_BYTES, Geometry};
use super::reader::{Found, LaneReader, Tampered};

/// The word that a lane's writer can be trusted: it is of this process's own user.
#[derive(Clone, Copy, Debug)]
pub struct SameUser(());

impl SameUser {
    /// Asks the kernel who is at the other end of a socket: `None` when it is somebody else. The
    /// lane must be the one that was handed over by that socket.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn of_peer(socket: BorrowedFd<'_>) -> io::Result<Option<SameUser>> {
        let peer = rustix::net::sockopt::socket_peercred(socket)?;
        Ok((peer.uid == rustix::process::geteuid()).then_some(SameUser(())))
    }

    /// Takes it for granted.
    ///
    /// # Safety
    /// Whatever writes to the lanes that this is used for must obey the protocol: it never
    /// stores to a frame that was committed before the reader's cursor has passed it. Nothing
    /// but the obedience of that process keeps the borrowed bytes as they are.
    pub unsafe fn assume() -> SameUser {
        SameUser(())
    }
}

/// Frames that are borrowed from a lane. They stay where they are until this is dropped; then
/// the writer gets the room of those that were taken.
#[derive(Debug)]
pub struct FrameBatch<'a> {
    reader: &'a mut LaneReader,
    cursor: Cell<u64>,
    /// How many bytes of the next one were read before.
    offset: Cell<usize>,
}

impl LaneReader {
    /// The frames that are there, and those that come while it lives, without a copy.
    pub fn batch(&mut self, trust: SameUser) -> FrameBatch<'_> {
        let SameUser(()) = trust;
        let (cursor, offset) = (Cell::new(self.cursor), Cell::new(self.offset));
        FrameBatch { reader: self, cursor, offset }
    }

    /// Shows the next frame, or what [`LaneReader::read_into`] has left of it, without a copy;
    /// then the writer has its room back. `None` when there is none now. For whoever waits for
    /// one frame at a time: it looks once at a word, where a batch looks for the next frame too,
    /// and a frame of few lines comes from the writer's core in about the time of one.
    ///
    /// If `visit` panics, the frame is still there.
    ///
    /// # Errors
    /// As [`LaneReader::has_frame`].
    #[inline]
    pub fn show_frame<R>(
        &mut self,
        trust: SameUser,
        visit: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, Tampered> {
        let SameUser(()) = trust;
        let Found::Frame(length) = self.look()? else { return Ok(None) };
        let (start, count) = (self.unread(), length - self.offset);
        // Whoever looks at the frame comes to its later lines late: each would be a journey of
        // its own.
        self.lane.expect_reads(start, count);
        let bytes = self.lane.bytes(start, count);
        // SAFETY: the bytes lie within the ring, which lives as long as the reader. They were
        // written before their commit word, and whoever made the `SameUser` says that the writer
        // does not store there before the cursor has passed, which is below: after the borrow.
        let visited = visit(unsafe { std::slice::from_raw_parts(bytes, count) });
        self.pass(length, count);
        self.release();
        Ok(Some(visited))
    }
}

impl FrameBatch<'_> {
    /// The next frame; or what [`LaneReader::read_into`] has left of it. `None` when there is
    /// none now; or a word that cannot be, which [`LaneReader::has_frame`] tells afterwards.
    #[inline]
    pub fn next_frame(&self) -> Option<&[u8]> {
        let found = self.reader.look_from(self.cursor.get(), self.offset.get());
        let Ok((cursor, Found::Frame(length))) = found else { return None };
        let offset = self.offset.replace(0);
        self.cursor.set(cursor + Geometry::frame_bytes(length));
        let start = cursor + (COMMIT_BYTES + offset) as u64;
        let bytes = self.reader.lane.bytes(start, length - offset);
        // SAFETY: the bytes lie within the ring, which lives as long as the reader. They were
        // written before their commit word, and whoever made the `SameUser` says that the writer
        // does not store there before the cursor has passed, which is when this batch is
        // dropped: after the borrow.
        Some(unsafe { std::slice::from_raw_parts(bytes, length - offset) })
    }
}

impl<'b> Iterator for &'b FrameBatch<'_> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        self.next_frame()
    }
}

impl Drop for FrameBatch<'_> {
    fn drop(&mut self) {
        self.reader.cursor = self.cursor.get();
        self.reader.offset = self.offset.get();
        self.reader.release();
    }
}
