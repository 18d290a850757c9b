//! A broker on a host: the real program, which is killed and started again as the test wants.
//!
//! What it is told stands in a file, as an operator would write it. Its files, and its log over
//! all of its lives, lie in a folder that goes with it.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bus_broker::{Authority, Making};
use bus_client::{ClientOptions, Token};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::host::Host;
use crate::tools::run;

/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where every broker listens on its host, in the clear and with TLS.
pub const PORT: u16 = 4700;
pub const TLS_PORT: u16 = 4701;

/// What the hosts of a world agree on: an authority, and a user with a token.
pub struct Accord {
    folder: TempDir,
    authority: Authority,
    token: Token,
    /// The user, as a broker's file has it.
    user: String,
}

/// How a client reaches a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Tcp,
    Tls,
}

impl Accord {
    pub fn new() -> Accord {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (authority, _) = Authority::create(folder.path(), making()).expect("it is empty");
        let made = run(&[env!("CARGO_BIN_EXE_bus"), "token", "remote"]);
        let lines: Vec<&str> = made.lines().collect();
        let token = Token::new(lines[1]).expect("a token");
        fs::write(folder.path().join("token"), lines[1]).expect("a file");
        Accord { folder, authority, token, user: lines[3..].join("\n") }
    }

    /// Where the broker is under this address.
    pub fn url(&self, scheme: Scheme, address: &str) -> String {
        match scheme {
            Scheme::Tcp => format!("tcp://{address}:{PORT}"),
            Scheme::Tls => format!("tls://{address}:{TLS_PORT}"),
        }
    }

    /// What a client needs that connects there: for TLS the authority and a token.
    pub fn options(&self, scheme: Scheme) -> ClientOptions {
        let quick = (Duration::from_millis(20), Duration::from_millis(250));
        let options = ClientOptions::default().backoff(quick.0, quick.1);
        let options = options.connect_timeout(Duration::from_secs(2));
        match scheme {
            Scheme::Tcp => options,
            Scheme::Tls => {
                options.tls_authority(self.authority.certificate()).token(self.token.clone())
            }
        }
    }

    /// The file of the authority that certifies all brokers, for whoever connects by a file.
    pub fn authority_file(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// The file with the token of the user, for the same.
    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }
}

fn making() -> Making {
    Making { days: 1, force: true }
}

/// A broker. Dropping it kills it.
pub struct Serving {
    folder: TempDir,
    namespace: String,
    child: Option<Child>,
}

impl Serving {
    /// Starts one on this host, which is reached by these addresses. `more` is added to its file.
    pub async fn start(accord: &Accord, host: &Host, addresses: &[&str], more: &str) -> Serving {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names: Vec<String> =
            [addresses, &["127.0.0.1"]].concat().into_iter().map(str::to_owned).collect();
        let file = host.namespace();
        let shown = accord.authority.server(file, &names, making()).expect("good names");
        let text = format!(
            "name = \"{file}\"\n\
             listen = [\"tcp://0.0.0.0:{PORT}\", \"tls://0.0.0.0:{TLS_PORT}\"]\n\
             insecure = true\n\
             [tls]\ncertificate = {:?}\nkey = {:?}\n\
             {}\n{more}",
            shown.certificate, shown.key, accord.user
        );
        fs::write(folder.path().join("bus.toml"), text).expect("a file");
        let mut serving = Serving { folder, namespace: host.namespace().to_owned(), child: None };
        serving.restart(host).await;
        serving
    }

    /// Starts it again, after it was killed.
    pub async fn restart(&mut self, host: &Host) {
        assert!(self.child.is_none() && host.namespace() == self.namespace);
        let log = OpenOptions::new().create(true).append(true).open(self.log_path());
        let mut command = host.command(env!("CARGO_BIN_EXE_bus"));
        for key in ["BUS_URL", "BUS_LISTEN", "BUS_CONFIG", "BUS_INSECURE", "BUS_NAME", "RUST_LOG"] {
            command.env_remove(key);
        }
        command.args(["serve", "--end-with-parent", "-v", "--config"]);
        command.arg(self.folder.path().join("bus.toml")).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("a file"));
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // One for each listener: then it can be reached.
        for _ in 0..2 {
            let line = timeout(PATIENCE, lines.next_line()).await.expect("it says something");
            let line = line.expect("it can be read").unwrap_or_else(|| panic!("{}", self.log()));
            assert!(line.starts_with("listening on "), "{line}");
        }
        self.child = Some(child);
    }

    /// Ends it as nothing else would: it has no time for a word.
    pub async fn kill(&mut self) {
        self.child.take().expect("it runs").kill().await.expect("it runs");
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).expect("it can be read")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}
