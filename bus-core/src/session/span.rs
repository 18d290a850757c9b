//! Numbers that follow each other, told in one frame: receipts and settled leases.

/// A run of numbers that waits to be told in one frame.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub first: u64,
    pub count: u32,
}

impl Span {
    /// Adds the numbers, at most 2^15 + 2^12, or gives the run back if they do not go on with it.
    pub fn add(&mut self, first: u64, count: u32) -> Option<Span> {
        let goes_on = self.first + u64::from(self.count) == first;
        if self.count > 0 && goes_on && self.count <= 0xffff - count {
            self.count += count;
            return None;
        }
        Some(std::mem::replace(self, Span { first, count }))
    }
}
