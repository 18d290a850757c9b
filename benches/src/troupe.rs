//! A cast of children in one run: all become ready, all start together, all report, all leave.
//!
//! Every wait has a deadline and ends at once when any child fails or dies,
//! naming it; the run then fails and the children are killed.
//! Invariant: after `dismiss` or `drop` no child of the cast is left.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cell::Order;
use crate::child::Outcome;
use crate::machine;
use crate::process::{Child, Event, Report};

/// Reports that wait to be heard; a child that says more than it should has to wait.
const REPORTS_MAX: usize = 64;

/// The children of one run, in the order of the cast.
pub struct Troupe {
    members: Vec<Member>,
    reports: mpsc::Receiver<Report>,
}

struct Member {
    child: Child,
    ready: Option<String>,
    outcome: Option<Outcome>,
}

impl Troupe {
    /// Starts a child for each order and waits until all are ready.
    pub fn assemble(orders: &[Order], patience: Duration) -> Result<Troupe> {
        let (sender, reports) = mpsc::sync_channel(REPORTS_MAX);
        let mut troupe = Troupe { members: Vec::with_capacity(orders.len()), reports };
        for (place, order) in orders.iter().enumerate() {
            // A failure drops the troupe so far, which ends those already started.
            let child = Child::worker(order, place, sender.clone())?;
            troupe.members.push(Member { child, ready: None, outcome: None });
        }
        troupe.listen_until("ready", patience, |member| member.ready.is_some())?;
        Ok(troupe)
    }

    /// Gives all the same start and lets them go.
    pub fn go(&mut self) -> Result<()> {
        let line = format!("GO {}", machine::monotonic_ns());
        self.members.iter_mut().try_for_each(|member| member.child.tell(&line))
    }

    /// Waits for all results; they come in the order of the cast.
    pub fn results(&mut self, patience: Duration) -> Result<Vec<Outcome>> {
        self.listen_until("done", patience, |member| member.outcome.is_some())?;
        Ok(self.members.iter_mut().filter_map(|member| member.outcome.take()).collect())
    }

    /// Lets all leave, then sees each one out.
    pub fn dismiss(mut self) {
        for member in &mut self.members {
            member.child.unleash();
        }
        // Now `drop` of each child waits for it, and kills only one that stays.
        self.members.clear();
    }

    /// The only child, for casts of one.
    pub fn into_only(mut self) -> Result<(Child, String)> {
        match (self.members.pop(), self.members.is_empty()) {
            (Some(member), true) => Ok((member.child, member.ready.unwrap_or_default())),
            _ => bail!("the cast is not of one"),
        }
    }

    /// The process ids, in the order of the cast.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.child.pid()).collect()
    }

    fn listen_until(
        &mut self,
        state: &str,
        patience: Duration,
        reached: impl Fn(&Member) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut missing = self.members.iter().filter(|member| !reached(member)).count();
        while missing > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let (place, event) = match self.reports.recv_timeout(left) {
                Ok(report) => report,
                Err(RecvTimeoutError::Disconnected) => bail!("all children are gone"),
                Err(RecvTimeoutError::Timeout) => {
                    let names = self.members.iter().filter(|member| !reached(member));
                    let names: Vec<_> = names.map(|member| member.child.label()).collect();
                    bail!("not {state} after {patience:?}: {}", names.join(", "));
                }
            };
            let member = &mut self.members[place];
            let before = reached(member);
            member.hear(event)?;
            missing -= usize::from(!before && reached(member));
        }
        Ok(())
    }
}

impl Drop for Troupe {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.child.give_up();
        }
    }
}

impl Member {
    fn hear(&mut self, event: Event) -> Result<()> {
        let label = self.child.label();
        let Event::Line(line) = event else { bail!("{label} ended without a result") };
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "READY" => self.ready = Some(rest.to_owned()),
            "RESULT" => self.outcome = Some(serde_json::from_str(rest)?),
            "ERROR" => bail!("{label}: {rest}"),
            _ => bail!("{label} said {line:?}"),
        }
        Ok(())
    }
}
