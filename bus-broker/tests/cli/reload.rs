//! SIGHUP and files that cannot be read, or can be only later: the old configuration goes on, all of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use crate::lease::Lease;
use crate::stage::{CONFLICT, DENIED, DONE, FILE, PATIENCE, Process, USAGE, bus, command, run};

/// A broker whose file lets alice alone use one queue, and which has a bridge with a token in a file.
struct Kept {
    broker: Process,
    url: String,
    token: String,
    user: String,
    directory: TempDir,
}

impl Kept {
    async fn new() -> Kept {
        let directory = tempfile::tempdir().expect("a directory");
        let made = bus(&["token", "alice"]).await;
        let lines: Vec<&str> = made.check(DONE, &[]).out.lines().collect();
        let (token, user) = (lines[1].to_owned(), lines[3..].join("\n") + "\n");
        fs::write(directory.path().join("token"), &token).expect("a file");
        let url = format!("local:{}", directory.path().join("bus.sock").display());
        let path = directory.path().join("bus.toml").display().to_string();
        fs::write(&path, text(directory.path(), &url, &user, "jobs")).expect("a file");
        let mut broker = Process::start(&["serve", "--config", &path]);
        assert_eq!(broker.line().await, format!("listening on {url}"));
        let tcp = broker.line().await.replace("listening on ", "");
        Kept { broker, url: tcp, token, user, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn local(&self) -> String {
        format!("local:{}", self.path("bus.sock").display())
    }

    /// A good file, in which she may use another queue.
    fn text(&self, queue: &str) -> String {
        text(self.directory.path(), &self.local(), &self.user, queue)
    }

    /// Writes the file as one should: whole, under another name first.
    fn write(&self, text: &str) {
        fs::write(self.path("new"), text).expect("a file");
        fs::rename(self.path("new"), self.path("bus.toml")).expect("renames");
    }

    /// What a client with this token may do with a queue.
    async fn sends(&self, token: &str, queue: &str) -> i32 {
        let mut command = command();
        command.args(["send", queue, "x", "--create"]).env("BUS_URL", &self.url);
        if !token.is_empty() {
            command.env("BUS_TOKEN", token);
        }
        run(command, b"").await.code
    }

    /// Nothing is other than before: she, her right, those without rights, and the bridge.
    async fn is_as_before(&self, why: &str) {
        assert_eq!(self.sends(&self.token, "jobs").await, DONE, "{why}");
        assert_eq!(self.sends(&self.token, "other").await, DENIED, "{why}");
        assert_eq!(self.sends("", "jobs").await, DENIED, "{why}");
        let list = bus(&["--url", &self.local(), "bridge", "ls", "--json"]).await.json();
        assert_eq!(list["bridges"][0]["out"]["topics"], serde_json::json!(["jobs"]), "{why}");
    }

    /// Waits until `bus sub` has subscribed.
    async fn until_subscribed(&self) {
        let subscribed = async {
            loop {
                let list = bus(&["--url", &self.local(), "ls", "--clients", "--json"]).await.json();
                let mut clients = list["clients"].as_array().expect("a list").iter();
                if clients.any(|it| it["sender"]["name"] == "bus sub" && it["channels"] == 1) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, subscribed).await.expect("it subscribes");
    }

    async fn logged(&mut self, parts: &[&str]) {
        loop {
            let line = self.broker.word().await;
            if parts.iter().all(|part| line.contains(part)) {
                return;
            }
        }
    }
}

fn text(directory: &std::path::Path, url: &str, user: &str, queue: &str) -> String {
    let token = directory.join("token");
    format!(
        "listen = [\"{url}\", \"tcp://127.0.0.1:0\"]\n{user}[[allow]]\nuser = \"alice\"\nsend = [\"{queue}\"]\n\
         create = [\"{queue}\"]\n[[bridge]]\nname = \"b\"\nurl = \"local:/nowhere/b.sock\"\nout = [\"{queue}\"]\n\
         token_file = \"{}\"\n# the end\n",
        token.display()
    )
}

/// The next event of a reload.
async fn told(events: &mut Process) -> Value {
    loop {
        let event: Value = serde_json::from_str(&events.line().await).expect("JSON");
        if event["event"] == "reload" {
            return event;
        }
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_file_all_of_the_old_configuration_stays_and_that_is_told() {
    let mut kept = Kept::new().await;
    let mut events = Process::start(&["--url", &kept.local(), "sub", "$bus.events", "--raw"]);
    kept.until_subscribed().await;
    kept.is_as_before("at the start").await;
    let good = kept.text("other");
    let half = &good[..good.find("[[bridge]]").expect("it is there") - 4];
    let broken_bridge = good.replace("/token\"", "/no-token\"");
    let cases = [
        ("half", half.to_owned(), "not TOML"),
        ("empty", String::new(), "is empty"),
        ("unknown", good.replace("create =", "creat ="), "creat"),
        ("bridge", broken_bridge, "no-token"),
        ("circle", good.replace("local:/nowhere/b.sock", &kept.local()), "itself"),
    ];
    for (why, text, part) in cases {
        kept.write(&text);
        kept.broker.signal(Signal::HUP);
        kept.logged(&["ERROR", part, "nothing was taken over", "goes on with what it had"]).await;
        let event = told(&mut events).await;
        assert_eq!(event["state"], "refused", "{why}: {event}");
        assert!(event["reason"].as_str().is_some_and(|it| it.contains(part)), "{why}: {event}");
        kept.is_as_before(why).await;
    }
    fs::remove_file(kept.path("bus.toml")).expect("it is there");
    kept.broker.signal(Signal::HUP);
    kept.logged(&["ERROR", "No such file", "goes on with what it had"]).await;
    assert_eq!(told(&mut events).await["state"], "refused");
    fs::create_dir(kept.path("bus.toml")).expect("a directory");
    kept.broker.signal(Signal::HUP);
    kept.logged(&["ERROR", "Is a directory", "goes on with what it had"]).await;
    assert_eq!(told(&mut events).await["state"], "refused");
    kept.is_as_before("without a file").await;
    fs::remove_dir(kept.path("bus.toml")).expect("it is there");
    // A good one counts, all of it.
    kept.write(&good);
    kept.broker.signal(Signal::HUP);
    assert!(kept.broker.line().await.contains("bridges changed: 1;"));
    assert_eq!(told(&mut events).await["state"], "done");
    assert_eq!(kept.sends(&kept.token, "other").await, DONE);
    assert_eq!(kept.sends(&kept.token, "jobs").await, DENIED);
}

#[tokio::test]
async fn without_descriptors_a_good_file_is_not_read_and_nothing_opens_up() {
    let mut kept = Kept::new().await;
    kept.is_as_before("at the start").await;
    kept.write(&kept.text("other"));
    let pid = Pid::from_raw(i32::try_from(kept.broker.pid()).expect("a pid"));
    let limit = |current| Rlimit { current: Some(current), maximum: Some(1 << 12) };
    // Of those that are open none is taken away, and no other one is had.
    prlimit(pid, Resource::Nofile, limit(1)).expect("it runs");
    kept.broker.signal(Signal::HUP);
    kept.logged(&["ERROR", "Too many open files", "goes on with what it had"]).await;
    prlimit(pid, Resource::Nofile, limit(1 << 12)).expect("it runs");
    kept.is_as_before("without descriptors").await;
    // The same file counts when it can be read.
    kept.broker.signal(Signal::HUP);
    kept.broker.line().await;
    assert_eq!(kept.sends(&kept.token, "other").await, DONE);
}

#[tokio::test]
async fn a_broker_does_not_start_without_its_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("local:{}", directory.path().join("bus.sock").display());
    let path = directory.path().join("bus.toml").display().to_string();
    let serve = ["serve", "-l", &url, "--config", &path];
    bus(&serve).await.check(FILE, &[&path, "No such file"]);
    fs::create_dir(&path).expect("a directory");
    bus(&serve).await.check(FILE, &[&path, "Is a directory"]);
    fs::remove_dir(&path).expect("it is there");
    fs::write(&path, "listen = [").expect("a file");
    bus(&serve).await.check(USAGE, &[&path, "not TOML"]);
    fs::write(&path, "[[user]]\nname = \"a\"").expect("a file");
    if bus_core::sys::effective_uid() != 0 {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("our own file");
        bus(&serve).await.check(FILE, &[&path, "Permission denied"]);
    }
    assert!(!directory.path().join("bus.sock").exists(), "none has listened");
    // The control: with a good one it does.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
    fs::write(&path, "").expect("a file");
    let mut broker = Process::start(&serve);
    assert_eq!(broker.line().await, format!("listening on {url}"));
    bus(&serve).await.check(CONFLICT, &["pid"]);
}

#[tokio::test]
async fn a_check_opens_the_files_that_are_named_and_says_of_each_that_cannot_be_read() {
    let kept = Kept::new().await;
    let path = kept.path("bus.toml").display().to_string();
    let check = ["serve", "--check", "--config", &path];
    bus(&check).await.check(DONE, &["token_file"]);
    let wrong = "[tls]\ncertificate = \"/no/cert\"\nkey = \"/no/key\"\n";
    kept.write(&format!("{}{wrong}", kept.text("a").replace("/token\"", "/no-token\"")));
    let said = bus(&check).await;
    said.check(FILE, &["[tls] certificate", "/no/cert", "[tls] key", "/no/key"]);
    said.check(FILE, &["`b` token_file", "no-token"]);
    // What can be read can still be no token.
    fs::write(kept.path("token"), "short").expect("a file");
    kept.write(&kept.text("a"));
    bus(&check).await.check(FILE, &["has no token"]);
}

#[tokio::test]
async fn files_that_hang_hold_up_neither_the_broker_nor_its_end() {
    let mut kept = Kept::new().await;
    // It would read its token as well.
    bus(&["--url", &kept.local(), "bridge", "pause", "b"]).await.check(DONE, &[]);
    let Some(mut lease) = Lease::take(&kept.path("token")).await else { return };
    kept.write(&kept.text("other"));
    kept.broker.signal(Signal::HUP);
    lease.is_wanted().await;
    // The control: whoever reads it hangs.
    let path = kept.path("token");
    let reader = std::thread::spawn(move || fs::read_to_string(path).expect("at last"));
    kept.broker.signal(Signal::HUP);
    kept.broker.signal(Signal::HUP);
    let (url, token) = (kept.local(), kept.path("token").display().to_string());
    let add = ["bridge", "add", "c", "local:/nowhere/c.sock", "--out", "c", "--remote-token-file"];
    let mut adding = Process::start(&[&["--url", &url], &add[..], &[&token]].concat());
    for _ in 0..3 {
        kept.is_as_before("while files hang").await;
    }
    assert!(!reader.is_finished(), "the file does not hang");
    lease.give_back();
    assert!(reader.join().expect("reads").contains(&kept.token));
    assert!(kept.broker.line().await.contains("bridges changed: 1;"));
    assert!(adding.end().await.success());
    // Those that came during the first one are one more.
    assert!(kept.broker.line().await.contains("bridges changed: 0;"));
    assert_eq!(kept.sends(&kept.token, "other").await, DONE);
    bus(&["--url", &url, "bridge", "rm", "c"]).await.check(DONE, &[]);
    let mut lease = Lease::take(&kept.path("token")).await.expect("as before");
    kept.broker.signal(Signal::HUP);
    lease.is_wanted().await;
    kept.broker.signal(Signal::TERM);
    assert!(kept.broker.line().await.starts_with("ending: "));
    assert!(kept.broker.end().await.success());
}
