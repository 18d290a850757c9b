//! Bugs that a test can plant in a lane, and must catch.
//!
//! Outside of tests none is ever planted, and the compiler leaves the questions out.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The next commit word keeps what an older lap has left there.
    NextNotZeroed,
    /// The commit word does not wait for the payload.
    UnorderedCommit,
    /// The cursor does not wait for the copy.
    UnorderedCursor,
    /// The reader does not look again after it has said that it sleeps.
    SleepsWithoutLooking,
    /// The writer asks who sleeps without a fence.
    AsksWithoutFence,
    /// The writer does not look again after it has said that it waits for room.
    WaitsWithoutLooking,
    /// The reader asks whether the writer waits without a fence.
    FreesWithoutFence,
    /// A batch holds nothing back.
    BatchHoldsNothing,
    /// The floor may be seen later than what is written below it.
    OverwritesWithoutFence,
    /// A reader that may be lapped does not look at the floor after its copy.
    CopiesWithoutSecondLook,
    /// The word that leads to the next lane does not wait for that one's base.
    UnorderedMove,
    /// The writer takes a cursor in an older lane for one in the new ring.
    ForgetsBase,
    /// The reader goes on in a new lane that begins elsewhere.
    FollowsAnywhere,
}

/// What is planted in one half of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Planted {
    #[cfg(test)]
    fault: Option<Fault>,
}

impl Planted {
    #[cfg(test)]
    pub fn plant(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// Whether this bug is planted.
    #[inline]
    pub fn has(self, fault: Fault) -> bool {
        #[cfg(test)]
        return self.fault == Some(fault);
        #[cfg(not(test))]
        {
            let _ = fault;
            false
        }
    }
}
