//! Where payloads come from that a client wants to own: a fresh allocation for each, but large ones
//! are used again when the client has let go of them. The bus's own contenders do the same.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// See the module.
pub struct Buffers {
    length: usize,
    used: VecDeque<Bytes>,
    used_max: usize,
}

impl Buffers {
    /// Payloads of this length.
    pub fn new(length: usize) -> Buffers {
        const LARGE_BYTES: usize = 16 << 10;
        const USED_BYTES: usize = 16 << 20;
        let used_max = if length < LARGE_BYTES { 0 } else { USED_BYTES / length };
        Buffers { length, used: VecDeque::with_capacity(used_max), used_max }
    }

    /// The next payload, all of it written by `fill`.
    #[inline]
    pub fn payload(&mut self, fill: impl FnOnce(&mut [u8])) -> Bytes {
        let mut payload = match self.used.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(free)) => free,
            Some(Err(busy)) => {
                self.used.push_front(busy);
                BytesMut::zeroed(self.length)
            }
            None => BytesMut::zeroed(self.length),
        };
        fill(&mut payload);
        let payload = payload.freeze();
        if self.used.len() < self.used_max {
            self.used.push_back(payload.clone());
        }
        payload
    }
}
