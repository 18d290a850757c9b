//! A service manager in small: it owns the sockets of a service, starts it with them, and hears how it stands.
//!
//! What it hands over are its own sockets, which go on listening while no service runs.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixDatagram;
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use crate::stage::{PATIENCE, command};

/// Its sockets become those of the service, at the numbers 3 and 4; what the service prints goes to standard error.
const HAND_OVER: &str =
    "exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"";

/// Two sockets, and a folder.
pub struct Activator {
    pub directory: TempDir,
    local: UnixListener,
    tcp: TcpListener,
}

impl Activator {
    pub fn new() -> Activator {
        let directory = tempfile::tempdir().expect("a directory");
        let local = UnixListener::bind(directory.path().join("bus.sock")).expect("listens");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("listens");
        Activator { directory, local, tcp }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("bus.sock")
    }

    pub fn address(&self) -> SocketAddr {
        self.tcp.local_addr().expect("an address")
    }

    /// Where clients connect.
    pub fn urls(&self) -> [String; 2] {
        [format!("local:{}", self.path().display()), format!("tcp://{}", self.address())]
    }

    /// Starts a broker that is given both sockets, with these arguments of `bus serve`.
    pub fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Service {
        let bus = command();
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", HAND_OVER, "sh"]).arg(bus.as_std().get_program()).arg("serve");
        shell.args(arguments).envs(environment.iter().copied());
        for (key, _) in bus.as_std().get_envs() {
            shell.env_remove(key);
        }
        let local: OwnedFd = self.local.try_clone().expect("a copy").into();
        let tcp: OwnedFd = self.tcp.try_clone().expect("a copy").into();
        shell.stdin(Stdio::from(local)).stdout(Stdio::from(tcp)).stderr(Stdio::piped());
        Service::spawn(shell)
    }
}

/// A broker that runs. Dropping it kills it.
pub struct Service {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Service {
    fn spawn(mut command: tokio::process::Command) -> Service {
        let mut child = command.kill_on_drop(true).spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        Service { child, lines }
    }

    /// One that binds its addresses itself.
    pub fn unassisted(arguments: &[&str]) -> Service {
        let bus = command();
        // As with the others, one stream is read.
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", "exec \"$@\" 1>&2", "sh"]);
        shell.arg(bus.as_std().get_program()).arg("serve").args(arguments);
        for (key, _) in bus.as_std().get_envs() {
            shell.env_remove(key);
        }
        shell.stdin(Stdio::null()).stderr(Stdio::piped());
        Service::spawn(shell)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), signal).expect("it runs");
    }

    /// The next line that has this in it.
    pub async fn says(&mut self, part: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await.expect("it says something");
            let line =
                line.expect("it can be read").unwrap_or_else(|| panic!("it ends without {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits for its end: the exit code, and what it has said until then.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        while let Some(line) =
            timeout(PATIENCE, self.lines.next_line()).await.expect("it ends").expect("text")
        {
            said.push_str(&line);
            said.push('\n');
        }
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it ran");
        (status.code(), said)
    }
}

/// What a service tells how it stands.
pub struct Ear(UnixDatagram);

impl Ear {
    pub fn at(path: &std::path::Path) -> Ear {
        Ear(UnixDatagram::bind(path).expect("an address"))
    }

    /// In the abstract namespace, as some managers have it.
    pub fn abstract_at(name: &str) -> Ear {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).expect("a name");
        let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).expect("an address");
        socket.set_nonblocking(true).expect("a socket");
        Ear(UnixDatagram::from_std(socket).expect("a runtime"))
    }

    /// The next message.
    pub async fn hears(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let read = timeout(PATIENCE, self.0.recv(&mut bytes)).await.expect("it is told something");
        let text = String::from_utf8_lossy(&bytes[..read.expect("a message")]).into_owned();
        text.lines().map(str::to_owned).collect()
    }

    /// Whether nothing comes for so long.
    pub async fn is_silent_for(&self, time: std::time::Duration) -> bool {
        timeout(time, self.0.recv(&mut [0; 4096])).await.is_err()
    }
}
