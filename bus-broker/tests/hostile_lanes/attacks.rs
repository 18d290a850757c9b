//! What a hostile client does once it has lanes, again and again until it is killed.
//!
//! Each turn ends with its connection, by the broker's doing or its own, or leaves it be.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use bus_core::transport::frame_bytes;
use bus_core::{Header, Kind};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::by_hand::{Answer, CAPACITY, LANE_BYTES, Lanes, Pages, Region, hello, open};
use crate::descriptors::{AT_ONCE_MAX, Door, look_at, readable_within, send_with};
use crate::dice::Dice;
use crate::layout::{CURSOR_AT, CURSOR_BYTES, RING_AT};
use crate::process::say;

/// An attack: its name, one turn of it, what the broker then says, and how many turns show it.
pub struct Attack {
    pub name: &'static str,
    turn: fn(&Path, u64) -> io::Result<()>,
    /// A part of the reason in the broker's log, if it ends the connection.
    pub reason: Option<&'static str>,
    pub turns: usize,
}

pub const ATTACKS: &[Attack] = &[
    attack("scribbles over its lane", scribble_lane, Some("that cannot be"), 20),
    attack("scribbles over its cursor", scribble_cursor, Some("that cannot be"), 2),
    attack("commits nonsense", commit_nonsense, Some("that cannot be"), 20),
    attack("commits empty frames without end", empty_frames, Some("that cannot be"), 3),
    attack("moves its cursor back", cursor_back, Some("a cursor that cannot be"), 2),
    attack("moves its cursor beyond", cursor_beyond, Some("a cursor that cannot be"), 2),
    attack("closes in the middle", close_in_the_middle, None, 30),
    attack("rings as fast as it can", ring_without_end, None, 3),
    attack("sends descriptors when none is expected", send_descriptors, None, 3),
    attack("writes nothing but noise into its frames", noise, Some("broke the protocol"), 10),
    attack("hands over memory that is refused", unsealed, Some("not sealed"), 10),
    attack("connects and goes without end", connect_and_go, None, 3),
    attack("asks without end", ask_without_end, None, 3),
];

const fn attack(
    name: &'static str,
    turn: fn(&Path, u64) -> io::Result<()>,
    reason: Option<&'static str>,
    turns: usize,
) -> Attack {
    Attack { name, turn, reason, turns }
}

/// Attacks until it is killed.
pub fn go_on(name: &str, path: &Path, seed: u64) -> io::Result<()> {
    let attack = ATTACKS.iter().find(|attack| attack.name == name).expect("it is in the list");
    say("begins");
    for number in 0.. {
        (attack.turn)(path, seed ^ number)?;
        say("turn");
    }
    Ok(())
}

fn scribble(region: &Region, dice: &mut Dice, from: usize, count: usize) {
    let words = (region.memory.bytes() - from) / 8;
    for _ in 0..count {
        region.memory.store(from + 8 * dice.below(words as u64) as usize, dice.next());
    }
}

/// All of its lane, header and ring, while the broker reads it.
fn scribble_lane(path: &Path, seed: u64) -> io::Result<()> {
    let (lanes, mut dice) = (Lanes::open(path)?, Dice::new(seed));
    scribble(&lanes.lane, &mut dice, 0, 200);
    if dice.below(2) == 0 {
        (0..LANE_BYTES).step_by(8).for_each(|at| lanes.lane.memory.store(at, dice.next()));
    }
    lanes.lane.memory.store(RING_AT, dice.next() | 1);
    lanes.ends()
}

/// All of its cursor's region, while it lets the broker write: most numbers are beyond.
fn scribble_cursor(path: &Path, seed: u64) -> io::Result<()> {
    let (mut lanes, mut dice) = (Lanes::open(path)?, Dice::new(seed));
    asks_until(&mut lanes, |lanes| {
        scribble(&lanes.cursor, &mut dice, 0, CURSOR_BYTES / 8);
        lanes.cursor.memory.store(CURSOR_AT, dice.next() | 1 << 62);
    })
}

/// Asks again and again, reads no answer, and does something to its cursor before each
/// question, until the broker has had enough.
fn asks_until(lanes: &mut Lanes, mut before: impl FnMut(&Lanes)) -> io::Result<()> {
    let ping = frame_bytes(Header::new(Kind::Ping, 0, 7), &[]);
    // Sixty-three questions in one frame: with its commit word it is 1 KiB.
    let many: Vec<u8> = std::iter::repeat_n(&ping[..], 63).flatten().copied().collect();
    let many = [&many[..], &ping[..8]].concat();
    let rest = [&ping[8..], &many[..many.len() - 8]].concat();
    for number in 0..4000 {
        before(lanes);
        // Each second frame begins within a question.
        let frame = if number % 2 == 0 { &many } else { &rest };
        if !lanes.write(frame)? || lanes.turn()? == Door::Gone {
            return Ok(());
        }
    }
    lanes.ends()
}

/// Commit words that no honest writer stores.
fn commit_nonsense(path: &Path, seed: u64) -> io::Result<()> {
    let lanes = Lanes::open(path)?;
    let words = [
        lanes.commit_word(0, LANE_BYTES),
        lanes.commit_word(0, 1 << 29),
        7 << 32 | 8,
        u64::MAX,
        1 << 32 | 1 << 31 | 1,
        8,
    ];
    lanes.lane.memory.store(RING_AT, words[seed as usize % words.len()]);
    lanes.ends()
}

/// Frames without a byte, lap for lap, ahead of the broker and heedless of its cursor: a reader
/// that follows them never ends.
fn empty_frames(path: &Path, _seed: u64) -> io::Result<()> {
    let lanes = Lanes::open(path)?;
    for lap in 0..200u64 {
        let start = lap * CAPACITY as u64;
        for at in (RING_AT..LANE_BYTES).step_by(8) {
            lanes.lane.memory.store(at, lanes.commit_word(start, 0));
        }
        if lanes.turn()? == Door::Gone {
            return Ok(());
        }
    }
    lanes.ends()
}

/// A cursor that is good at first, and goes back by a word.
fn cursor_back(path: &Path, _seed: u64) -> io::Result<()> {
    let (mut lanes, mut number) = (Lanes::open(path)?, 0);
    asks_until(&mut lanes, |lanes| {
        number += 1;
        // The broker looks when its ring is full: it believes the first, and not the second.
        let cursor = if number < 400 { 4096 } else { 4088 };
        lanes.cursor.memory.store(CURSOR_AT, cursor);
    })
}

fn cursor_beyond(path: &Path, seed: u64) -> io::Result<()> {
    let mut lanes = Lanes::open(path)?;
    let beyond = [u64::MAX, 1 << 40, 1 << 63][seed as usize % 3];
    asks_until(&mut lanes, |lanes| lanes.cursor.memory.store(CURSOR_AT, beyond))
}

/// Goes away at every point of the handshake, and with a frame that is not committed.
fn close_in_the_middle(path: &Path, seed: u64) -> io::Result<()> {
    let (lane, cursor) =
        (Region::lane("hostile-lane", CAPACITY)?, Region::cursor("hostile-cursor")?);
    let hello = hello(CAPACITY as u64);
    let socket = UnixStream::connect(path)?;
    let length = 1 + seed as usize % hello.len();
    send_with(&socket, &hello[..length], &[lane.file.as_fd(), cursor.file.as_fd()])?;
    drop(socket);
    let mut lanes = Lanes::open(path)?;
    let ping = frame_bytes(Header::new(Kind::Ping, 0, 7), &[]);
    // Half of a frame of the bus in a whole one of the lane; then one without its commit word.
    lanes.write(&[&ping[..8], &ping[..]].concat())?;
    lanes.lane.memory.store(RING_AT + 40, 1);
    lanes.turn().map(drop)
}

/// A million tokens, one by one and many at once.
fn ring_without_end(path: &Path, _seed: u64) -> io::Result<()> {
    let lanes = Lanes::open(path)?;
    for _ in 0..20_000 {
        lanes.ring(&[1])?;
    }
    for _ in 0..250 {
        lanes.ring(&[1; 4096])?;
    }
    match look_at(&lanes.socket)? {
        Door::Gone => Err(io::Error::other("ringing ends no connection")),
        _ => Ok(()),
    }
}

/// Many descriptors with each token, and on a connection without lanes.
fn send_descriptors(path: &Path, _seed: u64) -> io::Result<()> {
    let lanes = Lanes::open(path)?;
    let many = [lanes.lane.file.as_fd(); AT_ONCE_MAX];
    let (plain, _) = open(path, 0, &[])?;
    plain.set_nonblocking(true)?;
    lanes.socket.set_nonblocking(true)?;
    for _ in 0..20 {
        // What does not go is not taken: the broker reads, or has ended it.
        let _ = send_with(&lanes.socket, &[1], &many);
        let _ = send_with(&plain, &[0], &many);
    }
    lanes.turn().map(drop)
}

/// Regions that anybody could resize, again and again.
fn unsealed(path: &Path, _seed: u64) -> io::Result<()> {
    let (flags, seals) = (MemfdFlags::empty(), SealFlags::empty());
    let lane = Region::new("unsafe-lane", LANE_BYTES, Pages::All, flags, seals, &[])?;
    let cursor = Region::cursor("hostile-cursor")?;
    for _ in 0..10 {
        let own = [lane.file.as_fd(), cursor.file.as_fd()];
        if let (_, Answer::Welcome(welcome, _)) = open(path, CAPACITY as u64, &own)? {
            assert_eq!(welcome.lane_bytes, 0, "it is not used");
        }
    }
    Ok(())
}

/// Connections without a word.
fn connect_and_go(path: &Path, _seed: u64) -> io::Result<()> {
    for _ in 0..1000 {
        drop(UnixStream::connect(path)?);
    }
    Ok(())
}

/// Questions over a connection that stays, each answer read: what an honest client may do too.
fn ask_without_end(path: &Path, _seed: u64) -> io::Result<()> {
    let (socket, _) = open(path, 0, &[])?;
    let ping = frame_bytes(Header::new(Kind::Ping, 0, 7), &[]);
    let many: Vec<u8> = std::iter::repeat_n(&ping[..], 100).flatten().copied().collect();
    let mut answers = vec![0; many.len()];
    for _ in 0..1000 {
        (&socket).write_all(&many)?;
        (&socket).read_exact(&mut answers)?;
    }
    Ok(())
}

/// Whole frames of the lane, full of random bytes.
fn noise(path: &Path, seed: u64) -> io::Result<()> {
    let (mut lanes, mut dice) = (Lanes::open(path)?, Dice::new(seed));
    for _ in 0..100 {
        let mut bytes = dice.bytes(1016);
        bytes[4] = 0xff;
        if !lanes.write(&bytes)? || lanes.turn()? == Door::Gone {
            return Ok(());
        }
        if readable_within(&lanes.socket, std::time::Duration::ZERO)? {
            continue;
        }
    }
    lanes.ends()
}
