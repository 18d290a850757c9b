//! Numbers that follow each other, told in one frame: receipts and settled leases.

/// A run of numbers that waits to be told in one frame.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub first: u64,
    pub count: u32,
}

impl Span {
    /// Adds the number, or gives the run back if it does not go on with it.
    pub fn add(&mut self, number: u64) -> Option<Span> {
        if self.count > 0 && self.first + u64::from(self.count) == number && self.count < 0xffff {
            self.count += 1;
            return None;
        }
        Some(std::mem::replace(self, Span { first: number, count: 1 }))
    }
}
