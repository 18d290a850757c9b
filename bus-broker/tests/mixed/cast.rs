//! Members of a round: each over one transport at one of the brokers, until it is killed, stopped and
//! killed, or leaves. Then all is looked at.

use std::sync::Arc;
use std::time::Duration;

use bus_client::{Client, ErrorKind, Selector};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::authority;
use crate::broker::{Figures, named_shared_memory};
use crate::brokers::{Brokers, Place};
use crate::dice::Dice;
use crate::ledger::{Fate, PROBE};
use crate::member::{JOBS, NAME, TOPIC, queue_options};
use crate::process::{Process, program};
use crate::record::{Mark, any_length as message};
use crate::survivors::{self, Shared, patient, with};

/// Members at a time.
const AT_A_TIME: usize = 6;
pub const SOON: Duration = Duration::from_secs(180);
/// Buffers that are used again, and marks of publishers that are gone (for an hour), come to be over time: no
/// more memory than so much more than after the first round.
const KEPT_KIB: u64 = 48 * 1024;
pub const ROLES: &[&str] = &["publish", "send", "work", "ask", "watch"];
const SCHEMES: [&str; 4] = ["shm", "unix", "tcp", "tls"];

/// How a member ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Wherever it is: it starts, or shakes hands.
    KilledAtOnce,
    Killed,
    /// It stands still for a while, goes on, and is killed.
    StoppedAndKilled,
    Leaves,
}

/// Everything that goes on.
pub struct Cast {
    brokers: Brokers,
    near: Client,
    far: Client,
    ledger: Shared,
    feeding: watch::Sender<bool>,
    survivors: Vec<JoinHandle<()>>,
    before: Option<[Figures; 2]>,
    named: Vec<String>,
    next_writer: u64,
    pub rounds: u64,
}

impl Cast {
    pub async fn start() -> Cast {
        let brokers = Brokers::start().await;
        let near = brokers.client(Place::Near, "unix").await;
        let far = brokers.client(Place::Far, "unix").await;
        let ledger = Shared::default();
        let (feeding, fed) = watch::channel(false);
        let probes = [
            near.publisher_with(TOPIC, patient()).await.expect("opens"),
            far.publisher_with(TOPIC, patient()).await.expect("opens"),
        ];
        let survivors = survivors::start(&brokers, &ledger, fed).await;
        let deadline = Instant::now() + SOON;
        // Who comes late to a topic misses its beginning, and beyond the bridge somebody wants it only
        // when that is known there.
        while with(&ledger, |ledger| ledger.ready < survivors.len() || ledger.reached.len() < 2) {
            assert!(Instant::now() < deadline, "they do not begin: {}", brokers.state());
            for probe in &probes {
                let bytes = message(Mark { writer: PROBE, number: 0 });
                probe.publish(bytes).await.expect("there is a broker");
            }
            sleep(Duration::from_millis(5)).await;
        }
        for (place, probe) in probes.iter().enumerate() {
            Cast::finds_both(&ledger, probe, place, deadline).await;
        }
        Cast {
            brokers,
            near,
            far,
            ledger: Arc::clone(&ledger),
            feeding,
            survivors,
            before: None,
            named: named_shared_memory(),
            next_writer: 0,
            rounds: 0,
        }
    }

    /// Publishes until both readers are reached from this place alone.
    async fn finds_both(
        ledger: &Shared,
        probe: &bus_client::Publisher,
        place: usize,
        deadline: Instant,
    ) {
        with(ledger, |ledger| ledger.reached.clear());
        while with(ledger, |ledger| ledger.reached.len() < 2) {
            assert!(
                Instant::now() < deadline,
                "broker {place} reaches only {:?}",
                with(ledger, |ledger| ledger.reached.clone())
            );
            let bytes = message(Mark { writer: PROBE, number: 0 });
            probe.publish(bytes).await.expect("there is a broker");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets so many come and go, a few at a time, and looks at what is left of them.
    pub async fn round(&mut self, count: u64, seed: u64, roles: &[&str]) -> Result<(), String> {
        self.rounds += 1;
        with(&self.ledger, |ledger| ledger.jobs.begin());
        self.feeding.send(true).map_err(text)?;
        let first = self.next_writer;
        self.next_writer += count;
        let (mut running, mut fates) = (FuturesUnordered::new(), Vec::new());
        for number in first..first + count {
            let role = roles[number as usize % roles.len()];
            running.push(self.one(number, role.to_owned(), seed));
            if running.len() >= AT_A_TIME {
                fates.extend(running.next().await.transpose()?);
            }
        }
        while let Some(fate) = running.next().await {
            fates.push(fate?);
        }
        drop(running);
        self.feeding.send(false).map_err(text)?;
        self.look(&fates).await
    }

    /// The life of one member.
    async fn one(&self, writer: u64, role: String, seed: u64) -> Result<Fate, String> {
        let mut dice = Dice::new(seed ^ writer << 20);
        let end = match dice.below(8) {
            0 => End::KilledAtOnce,
            1..4 => End::Killed,
            4..6 => End::StoppedAndKilled,
            _ => End::Leaves,
        };
        let place = [Place::Near, Place::Far][dice.below(2) as usize];
        let url = self.brokers.url(place, SCHEMES[dice.below(4) as usize]);
        let count = if end == End::Leaves { 1 + dice.below(60) } else { 0 };
        let task = format!("{role} {writer} {count} {url} {}", authority::file().display());
        let mut process = Process::spawn(program(None, &task)).expect("it is this user's");
        let mut fate = Fate { role, writer, url, ..Fate::default() };
        let told = self.let_it_live(&mut process, &mut fate, end, &mut dice).await;
        told.map_err(|error| format!("{fate:?}, {end:?}: {error}"))?;
        Ok(fate)
    }

    async fn let_it_live(
        &self,
        process: &mut Process,
        fate: &mut Fate,
        end: End,
        dice: &mut Dice,
    ) -> Result<(), String> {
        let lines = async |process: &mut Process, fate: &mut Fate, count: u64| {
            for _ in 0..count {
                let line = process.line().await.ok_or("it has ended by itself")?;
                fate.hear(&line)?;
            }
            Ok::<(), String>(())
        };
        match end {
            // The moment is random, not waited for.
            End::KilledAtOnce => sleep(Duration::from_micros(dice.below(20_000))).await,
            End::Killed => lines(process, fate, 1 + dice.below(60)).await?,
            End::StoppedAndKilled => {
                lines(process, fate, 1 + dice.below(30)).await?;
                let pid = i32::try_from(process.pid()).ok().and_then(Pid::from_raw);
                let pid = pid.ok_or("it has no pid")?;
                kill_process(pid, Signal::STOP).map_err(text)?;
                sleep(Duration::from_millis(dice.below(400))).await;
                kill_process(pid, Signal::CONT).map_err(text)?;
                lines(process, fate, 1 + dice.below(30)).await?;
            }
            End::Leaves => {}
        }
        if end != End::Leaves {
            (0..dice.below(30_000)).for_each(|_| std::hint::spin_loop());
            process.kill().await;
        }
        // What it had said before.
        while let Some(line) = process.line().await {
            fate.hear(&line)?;
        }
        let status = process.status().await;
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        match (end, killed, fate.left && status.success()) {
            (End::Leaves, _, true) => Ok(()),
            (End::Leaves, _, false) => Err(format!("it has not left as it should: {status}")),
            (_, true, _) => Ok(()),
            (_, false, _) => Err(format!("it has found something: {status}")),
        }
    }

    /// Looks at what those who stay have, and what the brokers hold.
    async fn look(&mut self, fates: &[Fate]) -> Result<(), String> {
        let deadline = Instant::now() + SOON;
        loop {
            self.nothing_is_wrong()?;
            let left = self.members().await?;
            let all = with(&self.ledger, |ledger| ledger.has_all_of(fates));
            let queues = self.far.admin().queues(JOBS).await.map_err(text)?;
            let leased: u64 = queues.iter().map(|queue| queue.leased).sum();
            match all {
                Ok(()) if left.is_empty() && leased == 0 => break,
                Err(error) if Instant::now() > deadline => return Err(error),
                _ if Instant::now() > deadline => {
                    return Err(format!("{left:?} are left, and {leased} jobs with them"));
                }
                _ => sleep(Duration::from_millis(1)).await,
            }
        }
        self.drain_jobs().await?;
        with(&self.ledger, |ledger| ledger.settle_jobs(fates))?;
        self.nothing_is_wrong()?;
        self.all_jobs_are_settled().await?;
        self.look_at_figures().await
    }

    fn nothing_is_wrong(&self) -> Result<(), String> {
        if self.survivors.iter().any(JoinHandle::is_finished) {
            return Err("one of those who stay has ended".into());
        }
        with(&self.ledger, |ledger| ledger.wrong.take()).map_or(Ok(()), Err)
    }

    /// The broker says of each job that it was accepted that somebody has acknowledged it: also of those
    /// that a member was killed with.
    async fn all_jobs_are_settled(&self) -> Result<(), String> {
        let queues = self.far.admin().queues(JOBS).await.map_err(text)?;
        let acked: u64 = queues.iter().map(|queue| queue.acked).sum();
        let fed = with(&self.ledger, |ledger| ledger.jobs.fed);
        match acked == fed {
            true => Ok(()),
            false => Err(format!("{acked} of {fed} jobs were acknowledged: {queues:?}")),
        }
    }

    /// Members whose sessions are there.
    async fn members(&self) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for client in [&self.near, &self.far] {
            let clients = client.admin().clients().await.map_err(text)?;
            let all = clients.into_iter().map(|client| client.sender.name.to_string());
            names.extend(all.filter(|name| name.starts_with(NAME)));
        }
        Ok(names)
    }

    /// Takes the jobs that nobody has done, until the feeder has stopped and all are taken.
    async fn drain_jobs(&self) -> Result<(), String> {
        let queue = self.far.queue_with(JOBS, queue_options()).await.map_err(text)?;
        let deadline = Instant::now() + SOON;
        loop {
            self.nothing_is_wrong()?;
            if Instant::now() > deadline {
                return Err("the feeder does not stop".into());
            }
            let last = with(&self.ledger, |ledger| ledger.jobs.are_fed());
            loop {
                match queue.try_receive(Selector::Any).await {
                    Ok(delivery) => {
                        with(&self.ledger, |ledger| ledger.job(delivery.payload()));
                        delivery.ack().await.map_err(text)?;
                    }
                    Err(error) if error.kind() == ErrorKind::Empty => break,
                    Err(error) => return Err(error.to_string()),
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    /// What the brokers hold when nothing has come or gone for a while.
    async fn figures_at_rest(&self) -> [Figures; 2] {
        let (mut last, mut same) = (self.brokers.figures(), 0);
        while same < 20 {
            sleep(Duration::from_millis(10)).await;
            let now = self.brokers.figures();
            let is_same = now.iter().zip(&last).all(|(now, last)| {
                (now.descriptors, &now.mappings) == (last.descriptors, &last.mappings)
            });
            same = if is_same { same + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// The brokers hold what they held after the first round, and nothing has a name.
    async fn look_at_figures(&mut self) -> Result<(), String> {
        let Some(before) = &self.before else {
            // What is made once, on first use, belongs to the baseline.
            self.before = Some(self.figures_at_rest().await);
            return Ok(());
        };
        let deadline = Instant::now() + SOON;
        loop {
            let now = self.brokers.figures();
            let mut told = now.iter().zip(before).map(|(now, before)| {
                // Buffers that are used again, and what the allocator keeps.
                let memory_kib = now.memory_kib.saturating_sub(KEPT_KIB);
                Figures { memory_kib, ..now.clone() }.are_back_at(before)
            });
            match told.find(Result::is_err) {
                None => break,
                Some(told) if Instant::now() > deadline => return told,
                Some(_) => sleep(Duration::from_millis(2)).await,
            }
        }
        match named_shared_memory() == self.named {
            true => Ok(()),
            false => Err(format!("left behind: {:?}", named_shared_memory())),
        }
    }

    /// What has happened so far.
    pub fn sum(&self) -> String {
        let (messages, answers, fed) = with(&self.ledger, |ledger| {
            (ledger.messages() + ledger.news.count, ledger.answers, ledger.jobs.fed)
        });
        format!(
            "{} members in {} rounds, {messages} messages, {fed} jobs, {answers} answers; near and far hold {:?}, after the first round {:?}",
            self.next_writer,
            self.rounds,
            self.brokers.figures(),
            self.before,
        )
    }

    pub fn state(&self) -> String {
        self.brokers.state()
    }

    pub async fn end(self) {
        self.survivors.iter().for_each(JoinHandle::abort);
        drop((self.near, self.far));
        self.brokers.end().await;
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
