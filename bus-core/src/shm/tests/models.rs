//! What the model checker explores:
//! `RUSTFLAGS="--cfg busbar_loom" cargo test --release -p bus-core --lib shm::tests::models -- --nocapture`.
//!
//! Every model prints how many executions it saw, and must catch each bug that can be planted
//! in what it is about: a model that explores nothing finds nothing.

mod lapping;
mod rolling;

use std::ops::RangeInclusive;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use loom::sync::Notify;
use loom::thread;

use crate::shm::fault::Fault;
use crate::shm::{LaneReader, LaneWriter, Refused, heap_lane};

/// Switches between threads that they did not ask for, in one execution.
const PREEMPTIONS_MAX: usize = 2;
/// The environment variable that names the bug to plant.
const PLANTED: &str = "BUS_LANE_BUG";

/// Rings for a side that sleeps.
type Bell = loom::sync::Arc<Notify>;

/// Explores a model without a bug; and with each of these in a process of its own, since a
/// model that ends in a deadlock takes its process along.
fn explore(test: &str, bugs: &[Fault], model: fn(Option<Fault>)) {
    let planted = std::env::var(PLANTED).ok();
    let fault = planted.as_ref().map(|name| {
        let named = bugs.iter().find(|bug| format!("{bug:?}") == *name);
        *named.expect("one of this model's bugs")
    });
    let count = Arc::new(Mutex::new(0));
    let counter = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(move || {
        *counter.lock().expect("one at a time") += 1;
        model(fault);
    });
    let count = *count.lock().expect("it has ended");
    println!("{test}: {count} executions");
    assert!(count > 10, "{test} has explored next to nothing");
    if planted.is_some() {
        return;
    }
    for bug in bugs {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program);
        child.args(["--exact", &format!("shm::tests::models::{test}")]);
        let child = child.env(PLANTED, format!("{bug:?}")).stdout(Stdio::piped()).output();
        let caught = !child.expect("it runs").status.success();
        println!("{test}: {bug:?} is {}", if caught { "caught" } else { "not caught" });
        assert!(caught, "{test} does not catch {bug:?}");
    }
}

/// Sends the numbers from one to another, one a frame.
fn send(writer: &mut LaneWriter, numbers: RangeInclusive<u64>, bells: &[Bell], room: &Bell) {
    for number in numbers {
        loop {
            match writer.reserve(8) {
                Ok(mut frame) => {
                    frame.put(&number.to_le_bytes());
                    frame.commit();
                    break;
                }
                Err(Refused::Full) => {
                    if writer.wait_for_room(8).expect("an honest reader") {
                        room.wait();
                    }
                }
                Err(other) => panic!("{other}"),
            }
        }
        writer.sleepers(|reader| bells[reader].notify());
    }
}

/// Takes so many numbers, which must come in order; two at a time, if they are there.
fn take(mut reader: LaneReader, count: u64, bell: Bell, room: Bell) {
    let mut expected = 1;
    while expected <= count {
        let mut buffer = BytesMut::with_capacity(16);
        let got = reader.read_into(&mut buffer).expect("an honest writer");
        for number in buffer.chunks(8) {
            assert_eq!(number, expected.to_le_bytes(), "a torn or lost frame");
            expected += 1;
        }
        if got == 0 && reader.wait().expect("an honest writer") {
            bell.wait();
        }
        if reader.wants_wake() {
            room.notify();
        }
    }
}

fn run(fault: Option<Fault>, frames: u64, readers: usize) {
    let (mut writer, mut all) = heap_lane(64, readers);
    if let Some(fault) = fault {
        writer.planted.plant(fault);
        all.iter_mut().for_each(|reader| reader.planted.plant(fault));
    }
    let room = Bell::new(Notify::new());
    let bells: Vec<Bell> = (0..readers).map(|_| Bell::new(Notify::new())).collect();
    let mut threads = Vec::new();
    for (reader, bell) in all.into_iter().zip(&bells) {
        let (bell, room) = (bell.clone(), room.clone());
        threads.push(thread::spawn(move || take(reader, frames, bell, room)));
    }
    threads.push(thread::spawn(move || send(&mut writer, 1..=frames, &bells, &room)));
    for thread in threads {
        thread.join().expect("it ends");
    }
}

/// A reader that sleeps is woken for every frame; what it reads is whole.
#[test]
fn waking_the_reader() {
    let bugs = [Fault::UnorderedCommit, Fault::SleepsWithoutLooking, Fault::AsksWithoutFence];
    explore("waking_the_reader", &bugs, |fault| run(fault, 2, 1));
}

/// Through a ring that is too small for all frames: it wraps, fills up, and wakes the writer.
#[test]
fn waking_the_writer() {
    let bugs = [Fault::WaitsWithoutLooking, Fault::FreesWithoutFence];
    explore("waking_the_writer", &bugs, |fault| run(fault, 5, 1));
}

/// What was read is overwritten only afterwards. Nobody sleeps or wakes here: the fences of that
/// would order more than the cursor does.
#[test]
fn freeing_the_ring() {
    explore("freeing_the_ring", &[Fault::UnorderedCursor], |fault| {
        let (mut writer, mut all) = heap_lane(64, 1);
        let mut reader = all.remove(0);
        fault.into_iter().for_each(|fault| reader.planted.plant(fault));
        let there = Bell::new(Notify::new());
        let bell = there.clone();
        let reading = thread::spawn(move || {
            let mut buffer = BytesMut::with_capacity(24);
            while buffer.len() < 24 {
                // It may return without a reason.
                bell.wait();
                reader.read_into(&mut buffer).expect("an honest writer");
            }
        });
        let writing = thread::spawn(move || {
            let mut put = |number: u64| match writer.reserve(8) {
                Ok(mut frame) => {
                    frame.put(&number.to_le_bytes());
                    frame.commit();
                    true
                }
                Err(refused) => {
                    assert_eq!(refused, Refused::Full);
                    false
                }
            };
            assert!((1..=3).all(&mut put), "there is room for three");
            there.notify();
            for number in 4..=5 {
                while !put(number) {
                    thread::yield_now();
                }
            }
        });
        writing.join().expect("it ends");
        reading.join().expect("it ends");
    });
}

/// All of a batch is there when its first commit word is; it is shown when room runs out, too.
#[test]
fn batching() {
    explore("batching", &[Fault::UnorderedCommit], |fault| {
        let (mut writer, mut all) = heap_lane(64, 1);
        let mut reader = all.remove(0);
        fault.into_iter().for_each(|fault| writer.planted.plant(fault));
        let writing = thread::spawn(move || {
            let mut batch = writer.batch();
            for number in 1..=4u64 {
                match batch.reserve(8) {
                    Ok(mut frame) => {
                        frame.put(&number.to_le_bytes());
                        frame.commit();
                    }
                    Err(refused) => assert_eq!(refused, Refused::Full),
                }
            }
        });
        let reading = thread::spawn(move || {
            let mut buffer = BytesMut::with_capacity(64);
            let first = reader.read_into(&mut buffer).expect("an honest writer");
            let all = reader.read_into(&mut buffer).expect("an honest writer") + first;
            for (number, bytes) in (1u64..).zip(buffer.chunks(8)) {
                assert_eq!(bytes, number.to_le_bytes(), "a torn frame");
            }
            assert!([0, 24, 32].contains(&first) && [0, 24, 32].contains(&all), "{first}, {all}");
        });
        writing.join().expect("it ends");
        reading.join().expect("it ends");
    });
}

/// Several readers, each by itself.
#[test]
fn several_readers() {
    let bugs = [Fault::UnorderedCommit, Fault::AsksWithoutFence];
    explore("several_readers", &bugs, |fault| run(fault, 2, 2));
}
