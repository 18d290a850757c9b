//! Histories with a mistake planted into them, each of which must be found.

use super::*;

const WRITER: u64 = 7;

fn message(number: u64) -> Seen {
    Seen::Message(Mark { writer: WRITER, number })
}

/// One reader that has seen this of a writer of ten messages.
fn history(seen: impl IntoIterator<Item = Seen>) -> History {
    let mut history = History::default();
    history.writers.insert(WRITER, Written { count: 10, unknown: Vec::new() });
    history.readers.insert("reader".into(), seen.into_iter().collect());
    history
}

fn all_but(left_out: &[u64]) -> Vec<Seen> {
    (0..10).filter(|number| !left_out.contains(number)).map(message).collect()
}

#[track_caller]
fn check(seen: impl IntoIterator<Item = Seen>, wrong: &[Wrong]) {
    let found = history(seen).check().err().unwrap_or_default();
    assert_eq!(found, wrong);
}

fn reader() -> String {
    "reader".into()
}

fn missing(numbers: Range<u64>) -> Wrong {
    Wrong::Missing { reader: reader(), writer: WRITER, numbers }
}

fn uncounted(missing: u64, told: u64) -> Wrong {
    Wrong::Uncounted { reader: reader(), missing, told }
}

#[test]
fn whole_history_is_right() {
    let sum = history(all_but(&[])).check().expect("it is right");
    assert_eq!(sum, Sum { arrived: 10, ..Sum::default() });
}

#[test]
fn lost_message_is_found_wherever_it_was() {
    check(all_but(&[0]), &[missing(0..1), uncounted(1, 0)]);
    check(all_but(&[4]), &[missing(4..5), uncounted(1, 0)]);
    check(all_but(&[8, 9]), &[missing(8..10), uncounted(2, 0)]);
    check([], &[missing(0..10), uncounted(10, 0)]);
}

#[test]
fn message_that_comes_twice_is_found() {
    let twice = Wrong::Twice { reader: reader(), mark: Mark { writer: WRITER, number: 3 } };
    for place in [4, 7, 10] {
        let mut seen = all_but(&[]);
        seen.insert(place, message(3));
        check(seen, std::slice::from_ref(&twice));
    }
}

#[test]
fn messages_that_have_changed_places_are_found() {
    let mut seen = all_but(&[]);
    seen.swap(3, 4);
    let mark = Mark { writer: WRITER, number: 3 };
    check(seen, &[Wrong::Swapped { reader: reader(), mark, after: 4 }]);
}

#[test]
fn message_that_nobody_has_published_is_found() {
    let mut seen = all_but(&[]);
    seen.push(message(10));
    let mark = Mark { writer: WRITER, number: 10 };
    check(seen, &[Wrong::Unpublished { reader: reader(), mark }]);
}

#[test]
fn loss_that_is_told_at_its_place_and_counted_is_right() {
    let mut seen = all_but(&[4, 5]);
    seen.insert(4, Seen::Lost(2));
    assert_eq!(history(seen).check().map(|sum| sum.lost), Ok(2));
}

#[test]
fn loss_that_is_told_elsewhere_or_in_part_is_found() {
    let mut seen = all_but(&[4, 5]);
    seen.insert(7, Seen::Lost(2));
    check(seen, &[missing(4..6)]);
    let mut seen = all_but(&[4, 5]);
    seen.insert(4, Seen::Lost(1));
    check(seen, &[uncounted(2, 1)]);
}

#[test]
fn lost_session_covers_what_is_missing_there_and_nothing_else() {
    let mut seen = all_but(&[4, 5, 8]);
    seen.insert(4, Seen::Gap);
    check(seen, &[missing(8..9)]);
}

#[test]
fn message_of_which_its_writer_knows_nothing_may_have_come_or_not() {
    for left_out in [vec![], vec![4], vec![4, 5]] {
        let mut history = history(all_but(&left_out));
        let writer = history.writers.get_mut(&WRITER).expect("it is there");
        writer.unknown.push(4..6);
        let sum = history.check().expect("it is right");
        assert_eq!((sum.unknown, sum.lost), (left_out.len() as u64, 0));
    }
}

#[test]
fn writers_and_readers_are_told_apart() {
    let mut history = history(all_but(&[]));
    history.writers.insert(8, Written { count: 1, unknown: Vec::new() });
    let seen = history.readers.get_mut("reader").expect("it is there");
    seen.insert(5, Seen::Message(Mark { writer: 8, number: 0 }));
    assert!(history.check().is_ok());
    history.readers.insert("other".into(), all_but(&[]));
    let found = history.check().expect_err("the other one lacks a message");
    assert_eq!(found.len(), 2, "{found:?}");
}
