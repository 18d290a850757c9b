//! What is to be written over TLS, cut into records.
//!
//! Slices share a record as far as they go, and nothing is copied here: a record is a list of places. None
//! has more plain bytes than TLS allows, and none is empty.

use bytes::Bytes;

/// Plain bytes of one record, at most.
pub(super) const RECORD_BYTES: usize = 16 * 1024;
/// Places that share a record, at most.
const PLACES_MAX: usize = 64;

/// Slices that are to be written.
pub(super) struct Source<'a> {
    slices: std::slice::Iter<'a, Bytes>,
    current: &'a [u8],
    places: [&'a [u8]; PLACES_MAX],
    /// How much was given out.
    taken: usize,
}

impl<'a> Source<'a> {
    /// Of these slices.
    pub fn new(slices: &'a [Bytes]) -> Source<'a> {
        Source { slices: slices.iter(), current: &[], places: [&[]; PLACES_MAX], taken: 0 }
    }

    /// How many bytes were given out.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The places of the next record, one after the other.
    pub fn next_record(&mut self) -> Option<&[&'a [u8]]> {
        let (mut count, mut room) = (0, RECORD_BYTES);
        while count < PLACES_MAX && room > 0 {
            let Some(current) = self.current() else { break };
            let (part, rest) = current.split_at(current.len().min(room));
            self.places[count] = part;
            self.current = rest;
            count += 1;
            room -= part.len();
        }
        self.taken += RECORD_BYTES - room;
        (count > 0).then(|| &self.places[..count])
    }

    /// What comes next, and is not empty.
    fn current(&mut self) -> Option<&'a [u8]> {
        while self.current.is_empty() {
            self.current = self.slices.next()?;
        }
        Some(self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lengths: &[usize]) -> Vec<usize> {
        let slices: Vec<Bytes> =
            lengths.iter().map(|length| Bytes::from(vec![7; *length])).collect();
        let mut source = Source::new(&slices);
        let mut found = Vec::new();
        while let Some(places) = source.next_record() {
            assert!(places.iter().all(|place| !place.is_empty()));
            found.push(places.iter().map(|place| place.len()).sum());
        }
        assert_eq!(source.taken(), lengths.iter().sum::<usize>());
        found
    }

    #[test]
    fn slices_share_records_and_long_ones_fill_them() {
        assert_eq!(records(&[]), [0_usize; 0]);
        assert_eq!(records(&[0, 0]), [0_usize; 0]);
        assert_eq!(records(&[16, 64, 0, 16, 64]), [160]);
        assert_eq!(records(&[RECORD_BYTES + 1]), [RECORD_BYTES, 1]);
        assert_eq!(
            records(&[16, 3 * RECORD_BYTES]),
            [RECORD_BYTES, RECORD_BYTES, RECORD_BYTES, 16]
        );
        assert_eq!(records(&[100_000; 2]).iter().sum::<usize>(), 200_000);
    }

    #[test]
    fn more_places_than_a_record_has_begin_another_one() {
        assert_eq!(records(&[10; PLACES_MAX + 3]), [10 * PLACES_MAX, 30]);
    }
}
