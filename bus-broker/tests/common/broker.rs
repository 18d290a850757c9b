//! A broker in a process of its own, the real program, and what the kernel says that it holds.

#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);
/// How much memory may stay behind: allocators keep some for later.
const SLACK_KIB: u64 = 8 * 1024;
/// Pages of lanes that stay may be touched later.
const LANES_SLACK_KIB: u64 = 4 * 1024;

/// It runs until it is dropped.
pub struct BrokerProcess {
    child: Child,
    home: TempDir,
    log: TempDir,
}

/// A folder that every user can reach.
pub fn open_folder() -> TempDir {
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(open).tempdir().expect("a temporary folder")
}

impl BrokerProcess {
    pub async fn start() -> BrokerProcess {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bus"));
        command.args(["serve", "--end-with-parent"]);
        BrokerProcess::started_by(command).await.expect("the program starts")
    }

    /// In a namespace of processes of its own, as in a container: it cannot know those outside.
    /// `None`, with the reason told, where this user may not have one.
    pub async fn start_in_a_namespace() -> Option<BrokerProcess> {
        // It ends with the first program, which is killed with this process's handle to it.
        let namespace = ["--pid", "--fork", "--kill-child", "--"];
        let tried = Command::new("unshare").args(namespace).arg("true").output().await;
        match tried {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                eprintln!("skipped: no namespace of processes can be had: {}", text.trim());
                return None;
            }
            Err(error) => {
                eprintln!("skipped: no program that makes namespaces: {error}");
                return None;
            }
        }
        let mut command = Command::new("unshare");
        command.args(namespace).arg(env!("CARGO_BIN_EXE_bus")).arg("serve");
        BrokerProcess::started_by(command).await.ok()
    }

    /// Kills it without a word, and has another one stand where it stood.
    pub async fn replace(&mut self) {
        self.child.kill().await.expect("it runs");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bus"));
        command.args(["serve", "--end-with-parent"]);
        let child = BrokerProcess::spawn(command, &self.home, &self.log).await;
        self.child = child.expect("the program starts");
    }

    async fn started_by(command: Command) -> std::io::Result<BrokerProcess> {
        let (home, log) = (open_folder(), open_folder());
        let child = BrokerProcess::spawn(command, &home, &log).await?;
        Ok(BrokerProcess { child, home, log })
    }

    async fn spawn(mut command: Command, home: &TempDir, log: &TempDir) -> std::io::Result<Child> {
        let words = std::fs::File::create(log.path().join("log")).expect("a file");
        let url = format!("local:{}", home.path().join("bus.sock").display());
        for key in ["BUS_URL", "BUS_LISTEN", "BUS_CONFIG", "BUS_INSECURE", "BUS_NAME", "RUST_LOG"] {
            command.env_remove(key);
        }
        command.args(["-v", "-l", &url]).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(words);
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it says something");
        let line = line.expect("it can be read");
        assert_eq!(line, Some(format!("listening on {url}")));
        Ok(child)
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The path of its socket.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("bus.sock")
    }

    /// Where it is, over the transport of this scheme.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}:{}", self.path().display())
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path().join("log")).expect("it can be read")
    }

    /// Whether it sleeps or runs, and how long it has run, for whoever wonders why it is silent.
    pub fn state(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", self.pid()));
        [read("stat"), read("wchan"), read("schedstat")].map(Result::unwrap_or_default).join("; ")
    }

    pub fn figures(&self) -> Figures {
        Figures::of(self.pid())
    }

    /// Waits until it holds what it held before, and nothing more.
    pub async fn returns_to(&self, before: &Figures) -> Result<Figures, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.figures();
            match now.are_back_at(before) {
                Ok(()) => return Ok(now),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }

    /// Ends it as an operator would. Nothing of it may be left in its folder.
    pub async fn ends_cleanly(mut self) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it ran");
        assert!(status.success(), "{status}: {}", self.log());
        let left: Vec<_> = std::fs::read_dir(self.home.path()).expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Ends it without a word.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// What a process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub descriptors: usize,
    /// Mappings of memory without a name in the file system, by the name that its maker gave it.
    pub mappings: BTreeMap<String, usize>,
    pub lanes_kib: u64,
    pub memory_kib: u64,
}

impl Figures {
    pub fn of(pid: u32) -> Figures {
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("this is Linux")
        };
        let mut mappings = BTreeMap::new();
        for line in read("maps").lines() {
            if let Some((_, name)) = line.split_once("/memfd:") {
                let name = name.trim_end_matches(" (deleted)").to_owned();
                *mappings.entry(name).or_default() += 1;
            }
        }
        let status = read("status");
        let kib = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).expect("it is told");
            let number = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
            number.expect("a number")
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("this is Linux");
        Figures {
            descriptors: descriptors.count(),
            mappings,
            lanes_kib: kib("RssShmem:"),
            memory_kib: kib("RssAnon:"),
        }
    }

    pub fn are_back_at(&self, before: &Figures) -> Result<(), String> {
        let back = self.descriptors == before.descriptors
            && self.mappings == before.mappings
            && self.lanes_kib <= before.lanes_kib + LANES_SLACK_KIB
            && self.memory_kib <= before.memory_kib + SLACK_KIB;
        match back {
            true => Ok(()),
            false => Err(format!("it holds {self:?}, and before it held {before:?}")),
        }
    }
}

/// Names in the folder where shared memory has names, which nothing of the bus has.
pub fn named_shared_memory() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("bus-")).collect()
}
