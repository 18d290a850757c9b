//! A client that does everything about lanes by hand: it makes its regions, shakes hands, and
//! stores into its lane what no library would.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bus_core::session::{Hello, VERSION, Welcome};
use bus_core::transport::frame_bytes;
use bus_core::{Decoder, Header, Kind, control};
use memmap2::MmapOptions;
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::net::{SendFlags, send};

use crate::bare_memory::Scratch;
use crate::descriptors::{Door, receive_with, send_with, wait_at};
use crate::layout::{
    CAPACITY_AT, CURSOR_AT, CURSOR_BYTES, CURSOR_MAGIC, LANE_MAGIC, MAGIC_AT, RING_AT, WAKE_AT,
    commit_word,
};

/// Bytes of the rings here.
pub const CAPACITY: usize = 64 * 1024;
pub const LANE_BYTES: usize = RING_AT + CAPACITY;

/// Which pages a region has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    All,
    None,
    /// As many as it should have, behind its end.
    Beyond,
}

/// All seals that a region must have.
pub fn all_seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL
}

/// A region by hand, which it can write until its end.
pub struct Region {
    pub file: OwnedFd,
    pub memory: Scratch,
}

impl Region {
    pub fn new(
        name: &str,
        bytes: usize,
        pages: Pages,
        flags: MemfdFlags,
        seals: SealFlags,
        words: &[(usize, u64)],
    ) -> io::Result<Region> {
        let file = memfd_create(name, MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC | flags)?;
        ftruncate(&file, bytes as u64)?;
        let memory = MmapOptions::new().len(bytes).map_raw(file.as_raw_fd())?;
        let region = Region { memory: Scratch::new(memory), file };
        match pages {
            Pages::All => (0..bytes).step_by(4096).for_each(|at| region.memory.store(at, 0)),
            Pages::None => {}
            Pages::Beyond => {
                let length = bytes as u64;
                fallocate(&region.file, FallocateFlags::KEEP_SIZE, length, length)?;
            }
        }
        if pages == Pages::All {
            words.iter().for_each(|(at, word)| region.memory.store(*at, *word));
        }
        fcntl_add_seals(&region.file, seals)?;
        Ok(region)
    }

    /// A good lane, with a ring of so many bytes.
    pub fn lane(name: &str, capacity: usize) -> io::Result<Region> {
        let words = [(MAGIC_AT, LANE_MAGIC), (CAPACITY_AT, capacity as u64)];
        Region::new(name, RING_AT + capacity, Pages::All, MemfdFlags::empty(), all_seals(), &words)
    }

    /// A good reader's region.
    pub fn cursor(name: &str) -> io::Result<Region> {
        let words = [(MAGIC_AT, CURSOR_MAGIC)];
        Region::new(name, CURSOR_BYTES, Pages::All, MemfdFlags::empty(), all_seals(), &words)
    }
}

/// What the broker says to a Hello.
pub enum Answer {
    Welcome(Box<Welcome>, Vec<OwnedFd>),
    Ended,
}

/// What it says with its Hello.
pub fn hello(lane_bytes: u64) -> Vec<u8> {
    let hello = Hello {
        version_min: VERSION,
        version_max: VERSION,
        name: "hostile".into(),
        grace: std::time::Duration::ZERO,
        resume: None,
        lane_bytes,
        rings: false,
        credential: None,
    };
    frame_bytes(Header::new(Kind::Hello, 0, 0), &control::encode_hello(&hello)).to_vec()
}

/// Opens a connection with these descriptors.
pub fn open(
    path: &Path,
    lane_bytes: u64,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<(UnixStream, Answer)> {
    let socket = UnixStream::connect(path)?;
    send_with(&socket, &hello(lane_bytes), descriptors)?;
    let mut decoder = Decoder::for_handshake();
    let mut files = Vec::new();
    loop {
        let Ok((bytes, more)) = receive_with(&socket, 4096) else {
            return Ok((socket, Answer::Ended));
        };
        files.extend(more);
        if bytes.is_empty() {
            return Ok((socket, Answer::Ended));
        }
        decoder.buffer().extend_from_slice(&bytes);
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            if frame.header.kind != Kind::Welcome {
                return Ok((socket, Answer::Ended));
            }
            let welcome = control::decode_welcome(&frame.body).map_err(io::Error::other)?;
            return Ok((socket, Answer::Welcome(Box::new(welcome), files)));
        }
    }
}

/// A connection over lanes, as the hostile side has it.
pub struct Lanes {
    pub socket: UnixStream,
    /// What it writes, and its cursor in what the broker writes.
    pub lane: Region,
    pub cursor: Region,
    /// What the broker has handed over: its lane, and its cursor in the other one.
    pub theirs: [File; 2],
    capacity: usize,
    head: u64,
    /// For which tail it has rung last: who rings without being asked may ring itself deaf.
    rung: Cell<u64>,
}

impl Lanes {
    pub fn open(path: &Path) -> io::Result<Lanes> {
        Lanes::with_ring(path, CAPACITY)
    }

    /// With a ring of so many bytes.
    pub fn with_ring(path: &Path, capacity: usize) -> io::Result<Lanes> {
        let lane = Region::lane("hostile-lane", capacity)?;
        let cursor = Region::cursor("hostile-cursor")?;
        let own = [lane.file.as_fd(), cursor.file.as_fd()];
        match open(path, capacity as u64, &own)? {
            (socket, Answer::Welcome(_, files)) => {
                let theirs = <[OwnedFd; 2]>::try_from(files);
                let theirs = theirs.map_err(|files| {
                    io::Error::other(format!("{} descriptors came", files.len()))
                })?;
                Ok(Lanes {
                    socket,
                    lane,
                    cursor,
                    theirs: theirs.map(File::from),
                    capacity,
                    head: 0,
                    rung: Cell::new(0),
                })
            }
            _ => Err(io::Error::other("the broker does not take good lanes")),
        }
    }

    /// Where in its region a position of its lane is.
    pub fn place(&self, position: u64) -> usize {
        RING_AT + (position as usize & (self.capacity - 1))
    }

    /// The commit word of a frame there.
    pub fn commit_word(&self, position: u64, length: usize) -> u64 {
        commit_word(position, length as u64, self.capacity as u64)
    }

    /// Commits one frame, which must not be broken by the ring's end; waits for room as an
    /// honest client would. `false`: the broker has ended the connection.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let whole = (bytes.len() as u64 + 15) & !7;
        let capacity = self.capacity as u64;
        assert!(self.head % capacity + whole <= capacity, "no frame has a break");
        while self.head + whole + 8 > self.theirs_at()? + capacity {
            if self.turn()? == Door::Gone {
                return Ok(false);
            }
        }
        let start = self.head;
        self.head += whole;
        self.lane.memory.store(self.place(self.head), 0);
        for (index, byte) in bytes.iter().enumerate() {
            self.lane.memory.store_byte(self.place(start + 8) + index, *byte);
        }
        self.lane.memory.store(self.place(start), self.commit_word(start, bytes.len()));
        Ok(true)
    }

    /// Rings if the broker has asked for it, once, and looks whether it is still there.
    pub fn turn(&self) -> io::Result<Door> {
        let wake_at = self.theirs_word(WAKE_AT)?;
        let asked = (1..=self.head).contains(&wake_at);
        if asked && self.rung.replace(wake_at) != wake_at && self.ring(&[1]).is_err() {
            return Ok(Door::Gone);
        }
        crate::descriptors::look_at(&self.socket)
    }

    /// Sends bytes over the socket. Full is fine.
    pub fn ring(&self, bytes: &[u8]) -> io::Result<()> {
        match send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How far the broker has read.
    fn theirs_at(&self) -> io::Result<u64> {
        self.theirs_word(CURSOR_AT)
    }

    fn theirs_word(&self, at: usize) -> io::Result<u64> {
        let mut bytes = [0; 8];
        rustix::io::pread(&self.theirs[1], &mut bytes, at as u64)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Waits until the broker has ended the connection.
    pub fn ends(&self) -> io::Result<()> {
        loop {
            // Whoever has found nothing wrong yet looks again.
            match self.ring(&[1]) {
                Ok(()) => {}
                Err(_) => return Ok(()),
            }
            match wait_at(&self.socket)? {
                Door::Gone => return Ok(()),
                Door::Rung => {}
                Door::Silent => return Err(io::Error::other("the broker keeps the connection")),
            }
        }
    }
}
