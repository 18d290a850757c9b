//! The child's side of a run: READY, wait for GO, do the part, RESULT, stay until dismissed.
//!
//! Each line on standard output is a word and, after RESULT, an `Outcome` as JSON, or
//! after ERROR a sentence. `GO` carries the start on the monotonic clock, which all
//! processes share. The workloads' role functions are chosen here and nowhere else.
//! Invariant: a child keeps its port open until its standard input ends, so that no
//! peer sees it leave in the middle of the work.

use std::future::Future;
use std::io::{BufRead, Write};
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;

use crate::cell::{Order, Role};
use crate::contender::{Connector, Contender};
use crate::workloads::{flow, publish_cost, round_trip, shared};
use crate::{machine, process};

/// What a child found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A pinger's round trips, in nanoseconds.
    Latency(Latency),
    /// A sender's number of messages, the last aside.
    Sent(u64),
    /// A receiver's count.
    Received(Count),
    /// A member's part of what a group shares.
    Shared(shared::Part),
    /// What a publisher's messages took.
    Published(Published),
    /// The part is played; there is nothing to tell.
    Done,
}

/// Distribution of round trips.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Round trips measured, after the warm-up.
    pub count: u64,
    /// Half were at most this long.
    pub p50_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// 999 of 1,000.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// What a receiver counted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Count {
    /// All messages, warm-up and rest included.
    pub total: u64,
    /// Messages in the window.
    pub window_messages: u64,
    /// Length of the window.
    pub window_ns: u64,
}

/// What handing messages over took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Messages in all, warm-up and rest included, the last aside.
    pub total: u64,
    /// For each message, in nanoseconds: half of the bursts took at most this.
    pub p50_ns: f64,
    /// 99 of 100 bursts.
    pub p99_ns: f64,
    /// The same as the first, with the turn that what runs beside the sender has afterwards.
    pub with_turn_ns: f64,
}

/// The hidden `role` command.
pub fn main(order_json: &str, contenders: &[Box<dyn Contender>]) -> Result<()> {
    let order: Order = serde_json::from_str(order_json).context("reading the order")?;
    if order.role != Role::Keeper {
        process::die_with_parent()?;
    }
    if let Some(core) = order.core {
        machine::pin_current_thread(core)?;
    }
    if matches!(order.role, Role::Hub | Role::Crowd) {
        machine::raise_descriptor_limit()?;
    }
    let contender = crate::contenders::named(&order.contender, contenders)?;
    let result = contender.run_role(&order);
    if let Err(error) = &result {
        say(&format!("ERROR {error:#}"))?;
    }
    result
}

/// Plays a part whose port never awaits, without any runtime.
pub fn run_blocking<C: Connector>(connector: C, order: &Order) -> Result<()> {
    let mut part = pin!(perform(connector, BlockingLeash, order));
    match part.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => bail!("a blocking contender awaited something"),
    }
}

/// Plays a part on a current-thread runtime, which also turns while the child waits for orders.
pub fn run_tokio<C: Connector>(connector: C, order: &Order) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let leash = TokioLeash::new()?;
        perform(connector, leash, order).await
    })
}

/// Says READY and returns the start on the monotonic clock that GO tells.
async fn ready<L: Leash>(leash: &mut L) -> Result<u64> {
    say("READY")?;
    let Some(line) = leash.line().await? else { bail!("dismissed before the start") };
    let start = line.strip_prefix("GO ").and_then(|start| start.parse().ok());
    start.with_context(|| format!("expected GO and a time, got {line:?}"))
}

/// Says RESULT and waits until the parent lets go.
async fn conclude<L: Leash>(leash: &mut L, outcome: &Outcome) -> Result<()> {
    say(&format!("RESULT {}", serde_json::to_string(outcome)?))?;
    until_dismissed(leash).await
}

async fn until_dismissed<L: Leash>(leash: &mut L) -> Result<()> {
    while leash.line().await?.is_some() {}
    Ok(())
}

/// Says READY and holds on until the parent lets go. For keepers, which have no port.
pub fn hold_until_dismissed(ready_line: &str) -> Result<()> {
    say(ready_line)?;
    for line in std::io::stdin().lines() {
        line?;
    }
    Ok(())
}

async fn perform<C: Connector, L: Leash>(
    mut connector: C,
    mut leash: L,
    order: &Order,
) -> Result<()> {
    match order.role {
        Role::Hub => {
            connector.listen(order).await?;
            ready(&mut leash).await?;
            connector.accept(order).await?;
            conclude(&mut leash, &Outcome::Done).await
        }
        Role::Crowd => {
            connector.gather(order).await?;
            ready(&mut leash).await?;
            conclude(&mut leash, &Outcome::Done).await
        }
        Role::Idler => {
            let _port = connector.open(order).await?;
            say("READY")?;
            until_dismissed(&mut leash).await
        }
        Role::Keeper => bail!("a keeper has no port"),
        Role::Pinger
        | Role::Echo
        | Role::Sender
        | Role::Receiver
        | Role::Member
        | Role::Publisher => {
            let mut port = connector.open(order).await?;
            let start = ready(&mut leash).await?;
            let outcome = match order.role {
                Role::Pinger => round_trip::ping(&mut port, order, start).await?,
                Role::Echo => round_trip::echo(&mut port, order).await?,
                Role::Sender => flow::send(&mut port, order, start).await?,
                Role::Receiver => flow::receive(&mut port, order, start).await?,
                Role::Member => shared::take(&mut port, order, start).await?,
                Role::Publisher => publish_cost::publish(&mut port, order, start).await?,
                _ => Outcome::Done,
            };
            conclude(&mut leash, &outcome).await
        }
    }
}

/// Where orders come from; `None` is the dismissal.
trait Leash {
    async fn line(&mut self) -> Result<Option<String>>;
}

struct BlockingLeash;

impl Leash for BlockingLeash {
    async fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let length = std::io::stdin().lock().read_line(&mut line)?;
        Ok((length > 0).then(|| line.trim_end().to_owned()))
    }
}

/// Reads the pipe through the reactor, so that no second thread is needed, which an
/// idle client would pay for in memory.
struct TokioLeash {
    pipe: BufReader<pipe::Receiver>,
}

impl TokioLeash {
    fn new() -> Result<TokioLeash> {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let pipe = BufReader::with_capacity(64, pipe::Receiver::from_owned_fd(input)?);
        Ok(TokioLeash { pipe })
    }
}

impl Leash for TokioLeash {
    async fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let length = self.pipe.read_line(&mut line).await?;
        Ok((length > 0).then(|| line.trim_end().to_owned()))
    }
}

fn say(line: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()?;
    Ok(())
}
