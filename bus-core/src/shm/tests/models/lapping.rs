//! A reader that may be lapped, beside a writer that never waits.

use bytes::BytesMut;
use loom::thread;

use super::explore;
use crate::shm::fault::Fault;
use crate::shm::heap::parts::Lane;

/// The ring has room for three of these and the word behind them.
const FRAMES: u64 = 5;
const ATTEMPTS: usize = 2;

/// What is copied is one whole frame, whatever is overwritten meanwhile, and none is counted
/// less than was lost.
#[test]
fn dropping_the_oldest() {
    let bugs = [Fault::OverwritesWithoutFence, Fault::CopiesWithoutSecondLook];
    explore("lapping::dropping_the_oldest", &bugs, |fault| {
        let lane = Lane::new(64);
        let mut writer = lane.writer();
        let mut reader = lane.lossy_reader(&mut writer);
        if let Some(fault) = fault {
            writer.planted.plant(fault);
            reader.planted.plant(fault);
        }
        let writing = thread::spawn(move || {
            for number in 1..=FRAMES {
                let mut frame = writer.reserve(8).expect("it waits for nobody");
                frame.put(&number.to_le_bytes());
                frame.commit();
            }
        });
        let reading = thread::spawn(move || {
            let mut last = 0;
            for got in 1..=ATTEMPTS as u64 {
                let mut buffer = BytesMut::new();
                if reader.copy_frame(&mut buffer).expect("an honest writer").is_none() {
                    break;
                }
                let mut word = [0; 8];
                word.copy_from_slice(&buffer);
                let number = u64::from_le_bytes(word);
                assert!(number > last && number <= FRAMES, "{number} after {last}");
                assert_eq!(number, got + reader.lost(), "what is lost is counted");
                assert_eq!(reader.position(), 16 * number, "another frame than stands there");
                last = number;
            }
        });
        writing.join().expect("it ends");
        reading.join().expect("it ends");
    });
}
