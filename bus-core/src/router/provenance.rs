//! Where a message or call comes from that other brokers have passed on.
//!
//! A broker is named by its epoch, a number that each boot rolls anew; its name is for people.
//! Invariant: the hops of a provenance begin with its origin, name nobody twice, and are at most
//! [`HOPS_MAX`].

use std::fmt;
use std::sync::Arc;

use crate::error::{ErrorKind, Failure};
use crate::limits::HOPS_MAX;
use crate::message::SharedSender;

use super::effect::Source;

/// A boot of a broker.
pub type Epoch = u64;

/// The origin of relayed messages, and the brokers that they have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Where they were published first.
    pub epoch: Epoch,
    /// What people call that broker.
    pub broker: Arc<str>,
    /// The key of their source there: it names the publisher and the topic. Of calls, the session.
    pub publisher: u64,
    /// Who published, as that broker says.
    pub sender: SharedSender,
    /// The brokers passed, the origin first.
    pub hops: Vec<Epoch>,
}

impl Provenance {
    /// Whether a broker of this epoch may take such messages.
    ///
    /// # Errors
    /// When they have been there already (a loop), or the hops are none.
    pub fn check_for(&self, own: Epoch) -> Result<(), Failure> {
        if self.hops.contains(&own) || self.epoch == own {
            return Err(Failure::new(
                ErrorKind::Loop,
                format!(
                    "what {self} published has passed this broker already: the bridges form a loop, and it goes no further here"
                ),
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        if self.hops.first() != Some(&self.epoch) || !self.hops.iter().all(|hop| seen.insert(*hop))
        {
            return Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!("the hops of {self} must begin with it and name nobody twice"),
            ));
        }
        if self.hops.len() > HOPS_MAX {
            return Err(Failure::new(
                ErrorKind::QuotaExceeded,
                format!("what {self} published has passed {HOPS_MAX} brokers, no more are allowed"),
            ));
        }
        Ok(())
    }
}

impl Provenance {
    /// That of what a broker of this epoch and name passes on: it has it from this publisher or
    /// caller, or from another broker.
    pub fn passed_on(
        before: Option<&Provenance>,
        publisher: u64,
        sender: &SharedSender,
        own: Epoch,
        broker: &Arc<str>,
    ) -> Provenance {
        match before {
            None => Provenance {
                epoch: own,
                broker: broker.clone(),
                publisher,
                sender: sender.clone(),
                hops: vec![own],
            },
            Some(origin) => {
                let mut passed = origin.clone();
                passed.hops.push(own);
                passed
            }
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "publisher {} of broker `{}` ({:016x})",
            self.publisher, self.broker, self.epoch
        )
    }
}

impl Source {
    /// The provenance under which a broker of this epoch and name passes on what it has from
    /// this source.
    pub fn passed_on(&self, own: Epoch, broker: &Arc<str>) -> Provenance {
        let before = self.provenance.as_deref();
        Provenance::passed_on(before, self.key, &self.sender, own, broker)
    }
}
