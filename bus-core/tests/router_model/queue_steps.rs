//! Random cases for queues: small limits, so that full, blocked and empty are everyday things.

use bus_core::{MessageType, Selector};

use crate::dice::Dice;

/// Sessions in a case.
pub const SLOTS: usize = 3;
/// Queues in a case.
pub const QUEUES: usize = 2;

/// One step: what, by whom, where, and numbers that the step takes as it likes.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub verb: Verb,
    pub slot: usize,
    pub q: usize,
    pub a: u64,
    pub b: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Send,
    TrySend,
    Withdraw,
    Receive,
    TryReceive,
    Consume,
    Credit,
    Close,
    Taken,
    Return,
    Ack,
    Nack,
    Extend,
    Reject,
    Tick,
    Suspend,
    Resume,
    End,
    Purge,
    Remove,
    Limits,
}

const WEIGHTS: &[(u64, Verb)] = &[
    (30, Verb::Send),
    (6, Verb::TrySend),
    (4, Verb::Withdraw),
    (14, Verb::Receive),
    (4, Verb::TryReceive),
    (6, Verb::Consume),
    (4, Verb::Credit),
    (3, Verb::Close),
    (14, Verb::Taken),
    (12, Verb::Return),
    (14, Verb::Ack),
    (7, Verb::Nack),
    (2, Verb::Extend),
    (3, Verb::Reject),
    (6, Verb::Tick),
    (2, Verb::Suspend),
    (4, Verb::Resume),
    (2, Verb::End),
    (1, Verb::Purge),
    (1, Verb::Remove),
    (2, Verb::Limits),
];

/// The case of a seed.
pub fn case(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let count = 40 + dice.below(160);
    (0..count)
        .map(|_| Step {
            verb: dice.weighted(WEIGHTS),
            slot: dice.below(SLOTS as u64) as usize,
            q: dice.below(QUEUES as u64) as usize,
            a: dice.roll() >> 8,
            b: dice.roll() >> 8,
        })
        .collect()
}

/// A selector over the types 1 to 5.
pub fn selector(number: u64) -> Selector {
    let kind = MessageType::new(1 + number / 8 % 5).expect("1 to 5 are types");
    match number % 8 {
        0..=2 => Selector::Any,
        3 | 4 => Selector::Eq(kind),
        5 | 6 => Selector::Upto(kind),
        _ => Selector::Except(kind),
    }
}
