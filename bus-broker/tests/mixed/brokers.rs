//! Two brokers, the real program, and the bridge that joins them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bus_client::{Client, ClientOptions};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::authority;
use crate::broker::{Figures, open_folder};
use crate::member::{ECHO, JOBS, NEWS, SENT, TOPIC};

/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);
const LISTENERS: usize = 3;

/// Which of the two: the near one has the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Near,
    Far,
}

/// Both of them. Dropping it kills them.
pub struct Brokers {
    near: One,
    far: One,
}

struct One {
    child: Child,
    folder: TempDir,
    /// Local, TCP and TLS.
    urls: Vec<String>,
}

impl Brokers {
    pub async fn start() -> Brokers {
        let far = One::start("far", "").await;
        let bridge = format!(
            "[[bridge]]\nname = \"far\"\nurl = \"{}\"\nauthority = {:?}\n\
             out = [\"{TOPIC}\"]\nin = [\"{TOPIC}\", \"{NEWS}\"]\n\
             in_queues = [\"{SENT}\", \"{JOBS}\"]\nqueue_mode = \"666\"\nservice_mode = \"777\"\nin_services = [\"{ECHO}\"]\n",
            far.urls[2],
            authority::file(),
        );
        Brokers { near: One::start("near", &bridge).await, far }
    }

    fn one(&self, place: Place) -> &One {
        match place {
            Place::Near => &self.near,
            Place::Far => &self.far,
        }
    }

    /// Where that one is, over a transport.
    pub fn url(&self, place: Place, scheme: &str) -> String {
        let urls = &self.one(place).urls;
        match scheme {
            "tcp" => urls[1].clone(),
            "tls" => urls[2].clone(),
            _ => urls[0].replacen("local", scheme, 1),
        }
    }

    pub async fn client(&self, place: Place, scheme: &str) -> Client {
        let options = authority::trusting(ClientOptions::default());
        let client = Client::connect_with(&self.url(place, scheme), options).await;
        client.unwrap_or_else(|error| panic!("{error}\n{}", self.state()))
    }

    pub fn figures(&self) -> [Figures; 2] {
        [&self.near, &self.far].map(|one| {
            let descriptors = one.descriptors();
            Figures { descriptors, ..Figures::of(one.child.id().expect("it runs")) }
        })
    }

    /// What both have said, and which descriptors they hold.
    pub fn state(&self) -> String {
        let state = |one: &One| {
            let log = std::fs::read_to_string(one.folder.path().join("log")).unwrap_or_default();
            format!("{log}{:?}\n", one.open())
        };
        let [near, far] = [&self.near, &self.far].map(state);
        format!("-- near\n{near}-- far\n{far}")
    }

    /// Ends them as an operator would. Nothing of their sockets may be left.
    pub async fn end(self) {
        for mut one in [self.near, self.far] {
            let pid = i32::try_from(one.child.id().expect("it runs")).expect("a pid");
            kill_process(Pid::from_raw(pid).expect("a pid"), Signal::TERM).expect("it runs");
            let status = timeout(PATIENCE, one.child.wait()).await.expect("it ends");
            assert!(status.expect("it ran").success());
            assert!(!one.folder.path().join("bus.sock").exists());
        }
    }
}

impl One {
    /// What its descriptors stand for.
    fn open(&self) -> Vec<PathBuf> {
        let all = format!("/proc/{}/fd", self.child.id().unwrap_or_default());
        let all = std::fs::read_dir(all).into_iter().flatten().flatten();
        all.filter_map(|one| std::fs::read_link(one.path()).ok()).collect()
    }

    /// How many it has. Each socket counts once: a second descriptor of it comes to be when something cannot
    /// be written at once, and stays.
    fn descriptors(&self) -> usize {
        let is_socket = |path: &PathBuf| path.to_string_lossy().starts_with("socket:");
        let (sockets, others): (Vec<_>, Vec<_>) = self.open().into_iter().partition(is_socket);
        sockets.into_iter().collect::<BTreeSet<_>>().len() + others.len()
    }

    /// The program, with this name and what is added to its file.
    async fn start(name: &str, more: &str) -> One {
        let folder = open_folder();
        let shown = authority::server_files();
        let text = format!(
            "name = \"{name}\"\n\
             listen = [\"local:{}\", \"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\ninsecure = true\n\
             [tls]\ncertificate = {:?}\nkey = {:?}\n\
             [[allow]]\nuser = \"*\"\n{}{more}",
            folder.path().join("bus.sock").display(),
            shown.certificate,
            shown.key,
            ["publish", "subscribe", "send", "receive", "call", "serve", "create", "bridge"]
                .map(|deed| format!("{deed} = \">\"\n"))
                .concat(),
        );
        let file: PathBuf = folder.path().join("bus.toml");
        std::fs::write(&file, text).expect("a file");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bus"));
        for key in ["BUS_URL", "BUS_LISTEN", "BUS_CONFIG", "BUS_INSECURE", "BUS_NAME", "RUST_LOG"] {
            command.env_remove(key);
        }
        command.args(["serve", "--end-with-parent", "-v", "--config"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut urls = Vec::new();
        while urls.len() < LISTENERS {
            let line = timeout(PATIENCE, lines.next_line()).await.expect("it says something");
            let line = line.expect("it can be read").unwrap_or_else(|| {
                panic!("{}", std::fs::read_to_string(folder.path().join("log")).unwrap_or_default())
            });
            urls.push(line.strip_prefix("listening on ").expect("a listener").to_owned());
        }
        One { child, folder, urls }
    }
}
