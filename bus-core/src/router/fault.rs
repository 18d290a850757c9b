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
    /// What was out when a session was lost is handed out together.
    SuspectsTogether,
    /// Whoever was handed a suspect gets nothing more, settled or not.
    SuspectForEver,
    /// Whoever may not have a suspect is not looked at when another one has it.
    HeldForEver,
    /// Whoever is held back, or keeps a suspect, is never trusted for the time that it takes.
    CautionForEver,
    /// A batch is let in although there is no room for all of it.
    BatchOverRoom,
    /// A batch that is acknowledged does not give its credit back.
    BatchKeepsCredit,
    /// A batch goes before a message that comes first and is let in now.
    BatchOutOfTurn,
    /// Nobody notes that a batch is not with the application yet.
    BatchNotNoted,
    /// Nobody looks at the brokers that a message has passed.
    HopsIgnored,
    /// The mark of a relayed source is forgotten with its last upstream.
    MarkGoesAlong,
    /// What somebody beyond a bridge has wanted once is wanted for ever.
    InterestStays,
    /// A topic that a bridge has stopped once is never resumed.
    StopStays,
    /// A link that is given other settings forgets what it keeps.
    SpoolsDropped,
    /// Every upstream of a relayed source is active.
    TwoActive,
    /// An upstream that becomes active goes on with what comes next, not from the mark.
    NoResume,
    /// A call goes beyond a bridge although somebody serves it here.
    CallsTravel,
    /// What was served once is told as served for ever.
    ServedStays,
    /// An acknowledgement of a delivery from a hosted queue is answered before home has.
    HostedAckEarly,
    /// What a lost receiver of a hosted queue had is not given back to its home.
    HostedKeepsLeases,
    /// Home's verdict on a send to a hosted queue is not passed on.
    HostedVerdictLost,
    /// A receiver of a hosted queue that is gone stays in the line at home.
    HostedDoubleStays,
    /// The last of several deliveries that come together from a hosted queue's home is not noted.
    HostedBatchNotNoted,
    /// Home's verdict on sends that went together is passed on of the first one only.
    HostedBatchVerdictLost,
    /// A message for a group goes to two of its members now and then.
    GroupHandsTwice,
    /// What a member that is gone has not used up is gone with it, though others are there.
    GroupForgetsGone,
    /// Nobody looks at what a member of a group selects.
    GroupIgnoresSelector,
    /// A member of a group is given all of a parcel, however slow it is.
    GroupIgnoresPace,
    /// Nobody is told when the last one who listened is gone.
    MatchingStays,
    /// A list that is cut within a group goes on behind all of it.
    ListForgetsMembers,
    /// A new policy does not act on those who are connected.
    PolicyNotRechecked,
}

impl Fault {
    /// Those of batches. With any other one, those of hosted queues aside, nothing is handled as a batch.
    pub const OF_BATCHES: &'static [Fault] = &[
        Fault::BatchOverRoom,
        Fault::BatchKeepsCredit,
        Fault::BatchOutOfTurn,
        Fault::BatchNotNoted,
    ];

    /// Those of bridges.
    pub const OF_BRIDGES: &'static [Fault] = &[
        Fault::HopsIgnored,
        Fault::MarkGoesAlong,
        Fault::InterestStays,
        Fault::StopStays,
        Fault::SpoolsDropped,
        Fault::TwoActive,
        Fault::NoResume,
    ];

    /// Those of calls over bridges.
    pub const OF_CALLS: &'static [Fault] =
        &[Fault::HopsIgnored, Fault::CallsTravel, Fault::ServedStays];

    /// Those of groups.
    pub const OF_GROUPS: &'static [Fault] =
        &[Fault::GroupHandsTwice, Fault::GroupForgetsGone, Fault::GroupIgnoresSelector];

    /// Those of hosted queues.
    pub const OF_HOSTING: &'static [Fault] = &[
        Fault::HostedAckEarly,
        Fault::HostedKeepsLeases,
        Fault::HostedVerdictLost,
        Fault::HostedDoubleStays,
    ];

    /// Those of batches through hosted queues.
    pub const OF_HOSTED_BATCHES: &'static [Fault] =
        &[Fault::HostedBatchNotNoted, Fault::HostedBatchVerdictLost];

    /// Those that show only where somebody waits for as long as a lease lasts.
    pub const OF_TIME: &'static [Fault] = &[Fault::CautionForEver];

    /// Every other planted bug.
    pub const ALL: &'static [Fault] = &[
        Fault::LoseMessage,
        Fault::DuplicateMessage,
        Fault::SwapOrder,
        Fault::WrongWaiter,
        Fault::CancelEatsMessage,
        Fault::UnredeemedCredit,
        Fault::BlockedSendStalls,
        Fault::SuspectsTogether,
        Fault::SuspectForEver,
        Fault::HeldForEver,
    ];
}
