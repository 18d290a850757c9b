//! Other processes: this test's own program, started again as another user, or to be killed.
//!
//! A child is told by its environment what to do, and answers in lines that begin with a mark.
//! In an ordinary run its test finds nothing to do.

use std::process::Stdio;

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, Error, Object, Queue, QueueChange, QueueOptions, Selector};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::bus::soon;

const TASK: &str = "BUS_CONTRACT_TASK";
const MARK: &str = "child says: ";

/// The user that a child shall be, if not the same.
#[derive(Clone, Copy, Default)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// A supplementary group.
    pub group: Option<u32>,
}

/// A running child.
pub struct Process {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one with this task; `None` if this user may not, or cannot, do that.
    pub fn start(user: Option<User>, task: &str) -> Option<Process> {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = match user {
            Some(User { uid, gid, group: Some(group) }) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
                command.arg(format!("--groups={group}")).arg("--").arg(program);
                command
            }
            Some(User { uid, gid, group: None }) => {
                let mut command = Command::new(program);
                command.uid(uid).gid(gid);
                command
            }
            None => Command::new(program),
        };
        command.args(["--exact", "child::child_process", "--nocapture"]).env(TASK, task);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) => {
                eprintln!("skipped: no process of another user can be started: {error}");
                return None;
            }
        };
        let stdout = process.stdout.take().expect("it is piped");
        Some(Process { process, lines: BufReader::new(stdout).lines() })
    }

    /// Ends it as nothing else would: it has no time for a word.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("it runs");
    }

    /// What it says next; `None` when it has ended.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            let line = soon(self.lines.next_line()).await.expect("it can be read")?;
            // The harness may have begun the line.
            if let Some((_, said)) = line.split_once(MARK) {
                return Some(said.to_owned());
            }
        }
    }

    /// All that it says until its end.
    pub async fn answers(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.line().await {
            all.push(line);
        }
        all
    }
}

/// Whether other users' processes can be started; says so if not.
pub fn may_become_others() -> bool {
    let root = bus_core::sys::effective_uid() == 0;
    if !root {
        eprintln!("skipped: only root can start processes of other users");
    }
    root
}

#[test]
fn child_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(carry_out(&task));
}

fn say(word: &str) {
    println!("{MARK}{word}");
}

fn say_result<T>(result: Result<T, Error>) {
    say(match &result {
        Ok(_) => "ok",
        Err(error) => error.kind().word(),
    });
}

/// `serve URL`, or `URL QUEUE ACTION...`, where each action says how it went.
async fn carry_out(task: &str) {
    let mut words = task.split(' ');
    let (url, name) = (words.next().expect("a URL"), words.next().expect("a name"));
    if url == "serve" {
        let config = BrokerConfig::default().listen(name.parse().expect("a URL"));
        let _broker = Broker::start(config).await.expect("it is its own folder");
        say("serving");
        return std::future::pending().await;
    }
    let client = match Client::connect(url).await {
        Ok(client) => client,
        Err(error) => return say(error.kind().word()),
    };
    let mut queue = None;
    for action in words {
        if let Some(mode) = action.strip_prefix("create=") {
            let mode = u16::from_str_radix(mode, 8).expect("an octal mode");
            let opened = client.queue_with(name, QueueOptions::default().exclusive().mode(mode));
            queue = opened.await.map_err(|error| say(error.kind().word())).ok();
            if queue.is_some() {
                say("ok");
            }
            continue;
        }
        if queue.is_none() {
            match client.queue_with(name, QueueOptions::default().must_exist()).await {
                Ok(opened) => queue = Some(opened),
                Err(error) => return say(error.kind().word()),
            }
        }
        act(&client, queue.as_ref().expect("it is open"), action).await;
    }
}

async fn act(client: &Client, queue: &Queue, action: &str) {
    let name = queue.name().as_str();
    match action {
        "open" => say("ok"),
        "send" => say_result(queue.try_send("from a child").await),
        "receive" => match queue.try_receive(Selector::Any).await {
            Ok(delivery) => say_result(delivery.ack().await),
            Err(error) => say(error.kind().word()),
        },
        "wait" => {
            say("waiting");
            say_result(queue.receive(Selector::Any).await);
        }
        "purge" => say_result(client.admin().purge(Object::Queue, name).await),
        "chown" => {
            let change = QueueChange { owner: Some(0), ..QueueChange::default() };
            say_result(client.admin().set_queue(name, change).await);
        }
        "hold" => {
            let mut consumer = queue.consumer(Selector::Any, 2).await.expect("consumes");
            let _held = consumer.next().await.expect("goes on").expect("a delivery");
            // What was taken is known to the broker before this is answered.
            client.ping().await.expect("answers");
            say("holding");
            std::future::pending().await
        }
        other => panic!("no such action: {other}"),
    }
}
