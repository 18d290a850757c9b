//! Shared: one sender, and a group of eight of whom one gets each message, beside one plain receiver.
//!
//! Both are measured in the same run of the same server, one after the other, so that their
//! ratio is what the sharing costs, and seven more processes on the same cores. A member
//! cannot know which numbers come to others: it checks that its own go up, and the
//! sums of all that were sent and received are compared in the end.
//! The sender's last message goes round: who gets it leaves the group, and hands it on to the others.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Figure, SMALL_PAYLOAD_BYTES, Scale, Workload, flow};
use crate::cell::{Cell, Order, Role, WorkloadKind};
use crate::child::{Count, Outcome};
use crate::contender::Port;
use crate::payload::Header;
use crate::stage::Stage;

/// The sender to the group. It has a topic of its own: behind a network the plain receiver's session may outlive
/// its process, and hold back what goes to its topic.
const SENDER: usize = 1;

/// Whether this is the order of the sender to the group.
pub fn is_sender(order: &Order) -> bool {
    order.cell.workload == WorkloadKind::Shared && order.index == SENDER
}

/// See the module.
pub struct Shared;

impl Workload for Shared {
    fn kind(&self) -> WorkloadKind {
        WorkloadKind::Shared
    }

    fn about(&self) -> &'static str {
        "1 sender, a group of 8 receivers who share what comes, beside 1 receiver of all of it"
    }

    fn cells(&self, _: &Scale) -> Vec<Cell> {
        vec![Cell { receivers: 8, ..Cell::new(WorkloadKind::Shared, SMALL_PAYLOAD_BYTES) }]
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Vec<Figure>> {
        let one = stage.play(&[(Role::Sender, 0), (Role::Receiver, 0)])?;
        let one = flow::rate(one, 1)?;
        let members = (0..stage.cell().receivers).map(|index| (Role::Member, index));
        let cast: Vec<_> = std::iter::once((Role::Sender, SENDER)).chain(members).collect();
        let measure_ns = stage.timing().measure_ms * flow::NS_PER_MS;
        let group = Sum::of(stage.play(&cast)?, measure_ns)?;
        Ok(vec![
            Figure::new("group / one", "x", group.per_second / one),
            Figure::new("one receiver", "msg/s", one),
            Figure::new("group", "msg/s", group.per_second),
            Figure::new("least member", "%", group.least_percent),
        ])
    }
}

/// What a member got.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Part {
    /// How much.
    pub count: Count,
    /// The sum of the numbers of its messages.
    pub numbers: u64,
}

/// A member's part: counts what comes to it until the last message does.
pub async fn take<P: Port>(port: &mut P, order: &Order, start_ns: u64) -> Result<Outcome> {
    let mut account = Account::new(order.cell.payload_bytes);
    let mut window = flow::Window::new(order, start_ns);
    let last = loop {
        port.receive(|message| account.accept(message)).await?;
        window.observe(account.received);
        if let Some(last) = account.last {
            break last;
        }
    };
    port.hand_on(|message| last.write(message)).await?;
    // Others may have been so quick that nothing came to this one.
    let count = window.close(account.received).unwrap_or(Count {
        total: account.received,
        window_messages: 0,
        window_ns: 1,
    });
    Ok(Outcome::Shared(Part { count, numbers: account.numbers }))
}

/// A member's account of what came to it.
struct Account {
    payload_bytes: usize,
    /// The least number that may come now.
    next: u64,
    received: u64,
    numbers: u64,
    last: Option<Header>,
}

impl Account {
    fn new(payload_bytes: usize) -> Account {
        Account { payload_bytes, next: 0, received: 0, numbers: 0, last: None }
    }

    /// Takes one message, or says what is wrong with it.
    #[inline]
    fn accept(&mut self, message: &[u8]) -> Result<()> {
        let Some(header) = Header::read(message) else {
            bail!("a message of {} bytes has no header", message.len());
        };
        let (number, next) = (header.sequence, self.next);
        ensure!(header.fits(message, self.payload_bytes), "message {number} is damaged");
        ensure!(self.last.is_none(), "message {number} comes after the last one");
        ensure!(
            number >= next,
            "{number} comes where only {next} or more may (repeated or reordered)"
        );
        if header.last {
            self.last = Some(header);
            return Ok(());
        }
        self.next = number + 1;
        self.received += 1;
        self.numbers = self.numbers.wrapping_add(number);
        Ok(())
    }
}

/// What all of a group got.
struct Sum {
    per_second: f64,
    /// What the member got that got least, of what each would have if all had the same.
    least_percent: f64,
}

impl Sum {
    /// Makes sure that it is what was sent. A member to whom nothing came in most of the window has counted for
    /// a moment only: what it got in that counts as that of the whole window, which has `measure_ns`.
    fn of(outcomes: Vec<Outcome>, measure_ns: u64) -> Result<Sum> {
        let (mut sent, mut received, mut numbers, mut per_second) = (0, 0, 0_u64, 0.0);
        let (mut least, mut members) = (u64::MAX, 0);
        for outcome in outcomes {
            match outcome {
                Outcome::Sent(count) => sent += count,
                Outcome::Shared(Part { count, numbers: of_member }) => {
                    received += count.total;
                    numbers = numbers.wrapping_add(of_member);
                    let window_ns = count.window_ns.max(measure_ns);
                    per_second += flow::per_second(&Count { window_ns, ..count });
                    (least, members) = (least.min(count.total), members + 1);
                }
                other => bail!("{other:?} is neither a sender's nor a member's outcome"),
            }
        }
        ensure!(received == sent, "{sent} sent, but {received} received by all members together");
        let expected = (0..sent).fold(0, u64::wrapping_add);
        ensure!(numbers == expected, "some were lost, and as many came twice");
        let least_percent = 100.0 * (least * members) as f64 / received.max(1) as f64;
        Ok(Sum { per_second, least_percent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(last: bool, sequence: u64) -> Vec<u8> {
        let mut message = vec![0; 64];
        Header { last, sender: 0, sequence }.write(&mut message);
        message
    }

    #[test]
    fn account_of_a_member_takes_numbers_that_go_up_until_the_last() {
        let mut account = Account::new(64);
        for number in [0, 3, 4] {
            account.accept(&message(false, number)).unwrap();
        }
        assert!(account.accept(&message(false, 4)).is_err());
        assert!(account.accept(&message(false, 2)).is_err());
        assert!(account.accept(&message(true, 4)).is_err());
        account.accept(&message(true, 9)).unwrap();
        assert!(account.accept(&message(false, 10)).is_err());
        assert_eq!((account.received, account.numbers), (3, 7));
    }

    #[test]
    fn sum_refuses_what_is_lost_or_comes_twice_or_both() {
        let part = |total, numbers| {
            let count = Count { total, window_messages: total, window_ns: 1 };
            Outcome::Shared(Part { count, numbers })
        };
        let sum = |parts: [Outcome; 2]| {
            Sum::of([Outcome::Sent(4)].into_iter().chain(parts).collect(), 1).map(|_| ())
        };
        sum([part(2, 1), part(2, 5)]).unwrap();
        assert!(sum([part(2, 1), part(1, 2)]).is_err());
        assert!(sum([part(2, 1), part(3, 8)]).is_err());
        assert!(sum([part(2, 1), part(2, 4)]).is_err());
    }

    #[test]
    fn member_that_counted_for_a_moment_was_not_quick() {
        let part = |total, window_ns, numbers| {
            let count = Count { total, window_messages: total, window_ns };
            Outcome::Shared(Part { count, numbers })
        };
        let parts = vec![Outcome::Sent(4), part(2, 1_000, 1), part(2, 1_000_000_000, 5)];
        assert_eq!(Sum::of(parts, 500_000_000).unwrap().per_second, 4.0 + 2.0);
    }
}
