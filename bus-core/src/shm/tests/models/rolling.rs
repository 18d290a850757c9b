//! A writer that goes on in another lane, and a reader that follows.

use bytes::BytesMut;
use loom::sync::Notify;
use loom::thread;

use super::{Bell, explore, send};
use crate::shm::LaneReader;
use crate::shm::fault::Fault;
use crate::shm::heap::parts::Lane;

/// Takes so many numbers, which must come in order, from one lane and then from the next.
fn take(mut reader: LaneReader, next: &Lane, count: u64, bell: &Bell, room: &Bell) {
    let mut expected = 1;
    while expected <= count {
        let mut buffer = BytesMut::with_capacity(16);
        reader.read_into(&mut buffer).expect("an honest writer");
        for number in buffer.chunks(8) {
            assert_eq!(number, expected.to_le_bytes(), "a torn or lost frame");
            expected += 1;
        }
        if reader.wants_wake() {
            room.notify();
        }
        if reader.has_moved().expect("an honest writer") {
            next.follow(&mut reader).expect("it begins where the other was left");
        } else if buffer.is_empty() && reader.wait().expect("an honest writer") {
            bell.wait();
        }
    }
}

/// One frame in the first lane, and all others in the next one, which fills up and wraps while
/// the reader may still be in the first.
#[test]
fn following() {
    let bugs = [Fault::UnorderedMove, Fault::ForgetsBase];
    explore("rolling::following", &bugs, |fault| {
        const FRAMES: u64 = 4;
        let (lane, next) = (Lane::new(64), Lane::new(64));
        let mut writer = lane.writer();
        let reader = lane.reader(&mut writer);
        fault.into_iter().for_each(|fault| writer.planted.plant(fault));
        let (bell, room) = (Bell::new(Notify::new()), Bell::new(Notify::new()));
        let (lane, bells, rooms) = (next.clone(), [bell.clone()], room.clone());
        let reading = thread::spawn(move || take(reader, &lane, FRAMES, &bell, &room));
        let writing = thread::spawn(move || {
            send(&mut writer, 1..=1, &bells, &rooms);
            writer.roll_over(next.next());
            send(&mut writer, 2..=FRAMES, &bells, &rooms);
        });
        writing.join().expect("it ends");
        reading.join().expect("it ends");
    });
}
