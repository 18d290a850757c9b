//! Planted bugs: what the tests of the router must be able to catch.
//!
//! They act only with the feature `faults`, which no product enables.

/// A bug that can be planted in a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message that should wait in a queue is accepted and forgotten.
    LoseMessage,
    /// A message taken from a queue stays there too.
    DuplicateMessage,
    /// A message is put before the last one of its type.
    SwapOrder,
    /// Of several waiting receivers the last one gets the message.
    WrongWaiter,
    /// A delivery that is returned by a cancelled receive vanishes.
    CancelEatsMessage,
    /// An acknowledged delivery does not give its credit back.
    UnredeemedCredit,
    /// A blocked send stalls the later sends of its session to other queues.
    BlockedSendStalls,
}

impl Fault {
    /// Every planted bug.
    pub const ALL: &'static [Fault] = &[
        Fault::LoseMessage,
        Fault::DuplicateMessage,
        Fault::SwapOrder,
        Fault::WrongWaiter,
        Fault::CancelEatsMessage,
        Fault::UnredeemedCredit,
        Fault::BlockedSendStalls,
    ];
}
