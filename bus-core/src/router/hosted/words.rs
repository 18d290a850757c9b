//! What people are told of a hosted queue: who its home is, over which bridge, and why it cannot be
//! used now.
//!
//! Names and reasons are the bridge's word, which may be somebody else's program: they are cut to a
//! length and bear no control characters. Nothing is decided by them, but that a home which has
//! answered that it does not give the queue is believed: who uses the queue has that for an answer.

use crate::error::{ErrorKind, Failure};
use crate::limits::{HOSTED_WORDS_BYTES_MAX, NAME_BYTES_MAX};
use crate::router::ground::Ground;
use crate::router::queue::Queue;
use crate::router::stat::HostedStat;
use crate::words::cut;

use super::Hosting;

/// What people call the home of a queue, and how the bridge to it stands.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The broker, or where one is looked for; empty if that has not been told.
    broker: String,
    /// The bridge; empty if that has not been told.
    bridge: String,
    /// Why the home cannot be reached, by the word of the host.
    away: String,
}

impl Words {
    fn home(&self) -> String {
        match &*self.broker {
            "" => "another broker".to_owned(),
            broker => format!("broker `{broker}`"),
        }
    }
}

impl Hosting {
    /// The bridge as people know it.
    fn bridge(&self, ground: &Ground) -> String {
        if !self.words.bridge.is_empty() {
            return format!("bridge `{}`", self.words.bridge);
        }
        let host = self.host().and_then(|host| ground.sessions.get(host));
        host.map_or_else(|| "a bridge".to_owned(), |entry| format!("`{}`", entry.sender.name))
    }

    /// What is told of where it lives; `trouble` is why it cannot be used.
    fn stat(&self, ground: &Ground, trouble: String) -> HostedStat {
        let host = self.host().and_then(|host| ground.sessions.get(host));
        HostedStat {
            bridge: host.map_or_else(String::new, |entry| entry.sender.name.to_string()),
            home: self.hops.first().copied(),
            reachable: self.is_reachable(ground),
            broker: self.words.broker.clone(),
            trouble,
        }
    }
}

impl Queue {
    /// Whoever hosts it says what people call its home, and the bridge.
    pub(super) fn home_called(&mut self, broker: &str, bridge: &str) {
        if let Some(hosting) = &mut self.hosted {
            hosting.words.broker = cut(broker, NAME_BYTES_MAX);
            hosting.words.bridge = cut(bridge, NAME_BYTES_MAX);
        }
    }

    /// Whoever hosts it says why its home cannot be reached; nothing once it can.
    pub(super) fn home_away(&mut self, reason: &str) {
        if let Some(hosting) = &mut self.hosted {
            hosting.words.away = cut(reason, HOSTED_WORDS_BYTES_MAX);
        }
    }

    /// The failure that says that the home of this queue cannot be reached, or when it was asked last had none.
    pub(in crate::router) fn unreachable(&self, ground: &Ground) -> Failure {
        let Some(hosting) = &self.hosted else { return self.out_of_reach(String::new()) };
        if let Some(failure) = &hosting.denied {
            return failure.clone();
        }
        let bridge = hosting.bridge(ground);
        let host = hosting.host();
        let why = match &*hosting.words.away {
            _ if host.is_none() => return self.given_up(),
            _ if !host.is_some_and(|host| ground.is_connected(host)) => {
                format!(" now: {bridge}, which leads there, is not connected to this broker")
            }
            "" => format!(" over {bridge} now: `bus bridge ls` shows how that stands"),
            away => format!(" over {bridge} now ({away}): `bus bridge ls` shows how that stands"),
        };
        self.out_of_reach(why)
    }

    /// The same of one that nobody hosts any more.
    pub(in crate::router) fn given_up(&self) -> Failure {
        let bridge = self.hosted.as_ref().map_or("", |hosting| &*hosting.words.bridge);
        let bridge = match bridge {
            "" => "the bridge that led there".to_owned(),
            bridge => format!("bridge `{bridge}`, which led there,"),
        };
        self.out_of_reach(format!(" now: {bridge} is gone, and may come back"))
    }

    fn out_of_reach(&self, why: String) -> Failure {
        let home = self.hosted.as_ref().map_or_else(String::new, |hosting| hosting.words.home());
        let text =
            format!("{home}, which is the home of queue `{}`, cannot be reached{why}", self.name);
        Failure::new(ErrorKind::Unreachable, text)
    }

    /// What its home, or the bridge, has said: the same, and whose word it is.
    pub(super) fn at_home(&self, ground: &Ground, failure: Failure) -> Failure {
        let Some(hosting) = &self.hosted else { return failure };
        let (home, bridge) = (hosting.words.home(), hosting.bridge(ground));
        let said = cut(failure.text(), HOSTED_WORDS_BYTES_MAX);
        let text = format!("{said} (at {home}, over {bridge})");
        Failure::new(failure.kind(), text)
    }

    /// Home has answered, again if so, that it does not give the queue: everybody is told who waits now. Whoever
    /// comes later is told at once, or, where there is none at home, when that has been asked again.
    pub(super) fn denied_by_home(&mut self, ground: &mut Ground, failure: Failure) {
        let mut failure = self.at_home(ground, failure);
        if failure.kind() == ErrorKind::NotFound {
            let text = format!("{}: create it there, and it can be used here", failure.text());
            failure = Failure::new(ErrorKind::NotFound, text);
        }
        let Some(hosting) = &mut self.hosted else { return };
        hosting.denied = Some(failure.clone());
        self.end_all_who_wait(ground, &failure);
        self.set_reach(ground, false);
    }

    /// What is told of where it lives, if that is elsewhere.
    pub(in crate::router) fn hosted_stat(&self, ground: &Ground) -> Option<HostedStat> {
        let hosting = self.hosted.as_ref()?;
        let trouble = match self.check_way() {
            Err(failure) => failure.text().to_owned(),
            Ok(()) if hosting.is_reachable(ground) => String::new(),
            Ok(()) => self.unreachable(ground).text().to_owned(),
        };
        Some(hosting.stat(ground, trouble))
    }

    /// Why a send that is taken back has not been accepted, if that is not for want of room in a queue
    /// that lives here.
    pub(in crate::router) fn why_it_waits(&self, ground: &Ground) -> Option<String> {
        let hosting = self.hosted.as_ref()?;
        Some(match hosting.is_reachable(ground) {
            false => self.unreachable(ground).text().to_owned(),
            true => format!(
                "there was no room on the way to {}, which is the home of queue `{}`, over {}",
                hosting.words.home(),
                self.name,
                hosting.bridge(ground)
            ),
        })
    }

    /// The failure that says that something must be done where this queue lives.
    pub(in crate::router) fn lives_elsewhere(&self, ground: &Ground) -> Failure {
        let stat = self.hosted_stat(ground);
        let home = match stat.as_ref().map(|stat| (&*stat.broker, stat.home)) {
            Some((broker, Some(epoch))) => {
                let name = if broker.is_empty() { "the broker" } else { broker };
                format!("at `{name}`, whose epoch is {epoch:016x} (`bus stat` there shows it)")
            }
            _ => "at another broker, which has not been reached yet".to_owned(),
        };
        let host = match stat.map(|stat| stat.bridge).unwrap_or_default() {
            bridge if bridge.is_empty() => "a bridge that is not there now".to_owned(),
            bridge => format!("`{bridge}`"),
        };
        let text = format!(
            "queue `{}` lives {home} and is hosted here by {host}: do that at its home, which `bus bridge ls` shows the way to, or remove the bridge",
            self.name
        );
        Failure::new(ErrorKind::Unsupported, text)
    }
}
