//! A broker, clients that survive, and clients that are killed beside them, all on lanes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus_client::{Client, PublisherOptions, Selector, SlowPolicy, SubscribeOptions};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::broker::{BrokerProcess, Figures, named_shared_memory, open_folder};
use crate::dice::Dice;
use crate::ledger::{Fate, Ledger};
use crate::process::{Process, program};
use crate::record::{Mark, any_length as message};
use crate::victim::{JOBS, NEWS, SENT, TOPIC, queue_options};

/// Victims at a time.
const AT_A_TIME: usize = 4;
const SOON: Duration = Duration::from_secs(180);
pub const ROLES: &[&str] = &["publish", "send", "work", "watch"];

/// Everything that goes on while victims come and go.
pub struct Crowd {
    pub broker: BrokerProcess,
    admin: Client,
    ledger: Shared,
    feeding: watch::Sender<bool>,
    survivors: Vec<JoinHandle<()>>,
    before: Option<Figures>,
    /// Where victims make temporary files, if they do.
    folder: TempDir,
    named: Vec<String>,
    next_writer: u64,
}

impl Crowd {
    pub async fn start() -> Crowd {
        let broker = BrokerProcess::start().await;
        let url = broker.url("shm");
        let admin = Client::connect(&url).await.expect("connects");
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let patient = PublisherOptions::default().hold(Duration::from_secs(60));
        admin.publisher_with(TOPIC, patient).await.expect("opens");
        let (feeding, fed) = watch::channel(false);
        let survivors = vec![
            tokio::spawn(watch_topic(url.clone(), ledger.clone())),
            tokio::spawn(collect(url.clone(), ledger.clone())),
            tokio::spawn(tell_news(url.clone(), ledger.clone())),
            tokio::spawn(feed(url, ledger.clone(), fed)),
        ];
        // Who comes late to a topic misses its beginning.
        let deadline = Instant::now() + SOON;
        while ledger.lock().expect("nobody panicked").ready < survivors.len() {
            assert!(Instant::now() < deadline, "the survivors do not begin");
            tokio::task::yield_now().await;
        }
        Crowd {
            broker,
            admin,
            ledger,
            feeding,
            survivors,
            before: None,
            folder: open_folder(),
            named: named_shared_memory(),
            next_writer: 0,
        }
    }

    /// Kills so many, a few at a time, and looks at what is left of them. Gives how many
    /// messages have come meanwhile.
    pub async fn kill(&mut self, count: u64, seed: u64, roles: &[&str]) -> Result<u64, String> {
        let before = self.messages();
        self.with(|ledger| ledger.jobs.begin());
        self.feeding.send(true).map_err(text)?;
        let first = self.next_writer;
        self.next_writer += count;
        let (mut running, mut fates) = (FuturesUnordered::new(), Vec::new());
        for number in 0..count {
            let role = roles[number as usize % roles.len()];
            running.push(self.one(first + number, role.to_owned(), seed));
            if running.len() >= AT_A_TIME {
                fates.extend(running.next().await.transpose()?);
            }
        }
        while let Some(fate) = running.next().await {
            fates.push(fate?);
        }
        drop(running);
        self.feeding.send(false).map_err(text)?;
        self.look(&fates).await?;
        Ok(self.messages() - before)
    }

    /// The life of one victim.
    async fn one(&self, writer: u64, role: String, seed: u64) -> Result<Fate, String> {
        let mut dice = Dice::new(seed ^ writer << 20);
        let mut command = program(None, &format!("{role} {writer} {}", self.broker.url("shm")));
        command.env("TMPDIR", self.folder.path());
        let mut process = Process::spawn(command).expect("it is this user's");
        let mut fate = Fate { role, writer, ..Fate::default() };
        if dice.below(8) == 0 {
            // Wherever it is: it starts, or shakes hands. The moment is random, not waited for.
            tokio::time::sleep(Duration::from_micros(dice.below(20_000))).await;
        } else {
            for _ in 0..=dice.below(60) {
                match process.line().await {
                    Some(line) => fate.hear(&line)?,
                    None => return Err(format!("{} {writer} has ended by itself", fate.role)),
                }
            }
            (0..dice.below(30_000)).for_each(|_| std::hint::spin_loop());
        }
        process.kill().await;
        let status = process.status().await;
        if std::os::unix::process::ExitStatusExt::signal(&status) != Some(9) {
            return Err(format!("{} {writer} has found something: {status}", fate.role));
        }
        while let Some(line) = process.line().await {
            fate.hear(&line)?;
        }
        Ok(fate)
    }

    /// Looks at what the survivors have, and what the broker holds.
    async fn look(&mut self, fates: &[Fate]) -> Result<(), String> {
        let deadline = Instant::now() + SOON;
        let sessions = self.survivors.len() + 1;
        loop {
            if let Some(wrong) = self.with(|ledger| ledger.wrong.take()) {
                return Err(wrong);
            }
            let connected = self.admin.admin().clients().await.map_err(text)?.len();
            let all = self.with(|ledger| ledger.has_all_of(fates));
            match (connected == sessions, all) {
                (true, Ok(())) => break,
                (_, Err(error)) if Instant::now() > deadline => return Err(error),
                _ if Instant::now() > deadline => return Err(format!("{connected} are left")),
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        self.drain_jobs().await?;
        self.with(|ledger| ledger.settle_jobs(fates))?;
        if let Some(wrong) = self.with(|ledger| ledger.wrong.take()) {
            return Err(wrong);
        }
        if self.survivors.iter().any(JoinHandle::is_finished) {
            return Err("a survivor has ended".into());
        }
        self.look_at_figures().await
    }

    /// Takes the jobs that nobody has done, until the feeder has stopped and all are taken.
    async fn drain_jobs(&self) -> Result<(), String> {
        let queue = self.admin.queue_with(JOBS, queue_options()).await.map_err(text)?;
        loop {
            let last = self.with(|ledger| ledger.jobs.are_fed());
            while let Ok(delivery) = queue.try_receive(Selector::Any).await {
                self.with(|ledger| ledger.job(delivery.payload()));
                delivery.ack().await.map_err(text)?;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// The broker holds what it held after the first ones were dead, and nothing has a name.
    async fn look_at_figures(&mut self) -> Result<(), String> {
        match &self.before {
            Some(before) => self.broker.returns_to(before).await.map(drop)?,
            // What is made once, on first use, belongs to the baseline.
            None => self.before = Some(self.broker.figures()),
        }
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).map_err(text)?.collect();
        match left.is_empty() && named_shared_memory() == self.named {
            true => Ok(()),
            false => Err(format!("left behind: {left:?}, {:?}", named_shared_memory())),
        }
    }

    /// Ends everything, the broker as an operator would. What it held at the first and the
    /// last look.
    pub async fn end(self) -> (Option<Figures>, Figures) {
        let now = self.broker.figures();
        self.survivors.iter().for_each(JoinHandle::abort);
        self.broker.ends_cleanly().await;
        (self.before, now)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.ledger.lock().expect("nobody panicked"))
    }

    fn messages(&self) -> u64 {
        self.with(|ledger| {
            let rows = ledger.published.values().chain(ledger.sent.values());
            rows.map(|row| row.count).sum::<u64>() + ledger.news.count + ledger.jobs.fed
        })
    }
}

type Shared = Arc<Mutex<Ledger>>;

fn with(shared: &Shared, look: impl FnOnce(&mut Ledger)) {
    look(&mut shared.lock().expect("nobody panicked"));
}

/// Survives, and reads what the victims publish.
async fn watch_topic(url: String, ledger: Shared) {
    let client = Client::connect(&url).await.expect("connects");
    let hold = SubscribeOptions::default().policy(SlowPolicy::Hold);
    let mut all = client.subscribe_with(TOPIC, hold).await.expect("subscribes");
    with(&ledger, |ledger| ledger.ready += 1);
    while let Some(found) = all.next().await {
        let found = found.expect("there is a broker");
        with(&ledger, |ledger| ledger.published(found.payload()));
    }
}

/// Survives, and takes what the victims send.
async fn collect(url: String, ledger: Shared) {
    let client = Client::connect(&url).await.expect("connects");
    let queue = client.queue_with(SENT, queue_options()).await.expect("opens");
    let mut consumer = queue.consumer(Selector::Any, 64).await.expect("consumes");
    with(&ledger, |ledger| ledger.ready += 1);
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.expect("there is a broker");
        with(&ledger, |ledger| ledger.sent(delivery.payload(), delivery.attempt()));
        drop(delivery.ack());
    }
}

/// Survives, publishes what the victims read, and reads it beside them.
async fn tell_news(url: String, ledger: Shared) {
    let client = Client::connect(&url).await.expect("connects");
    let patient = PublisherOptions::default().hold(Duration::from_secs(60));
    let publisher = client.publisher_with(NEWS, patient).await.expect("opens");
    let mut own = client.subscribe(NEWS).await.expect("subscribes");
    with(&ledger, |ledger| ledger.ready += 1);
    for number in 0.. {
        let bytes = message(Mark { writer: 0, number });
        publisher.publish(bytes).await.expect("there is a broker");
        let found = timeout(SOON, own.next()).await.expect("it comes soon");
        let found = found.expect("it goes on").expect("there is a broker");
        with(&ledger, |ledger| ledger.news(found.payload()));
    }
}

/// Survives, and sends what the victims take, while it is told to.
async fn feed(url: String, ledger: Shared, mut feeding: watch::Receiver<bool>) {
    let client = Client::connect(&url).await.expect("connects");
    let queue = client.queue_with(JOBS, queue_options()).await.expect("opens");
    with(&ledger, |ledger| ledger.ready += 1);
    for number in 0.. {
        if !*feeding.borrow_and_update() {
            with(&ledger, |ledger| ledger.jobs.stopped_at = number);
            if feeding.wait_for(|feeding| *feeding).await.is_err() {
                return;
            }
        }
        queue.send(message(Mark { writer: 0, number })).await.expect("there is a broker");
        with(&ledger, |ledger| ledger.jobs.fed = number + 1);
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
