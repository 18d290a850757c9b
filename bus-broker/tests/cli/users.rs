//! Users as an operator meets them: making tokens, the file, what is logged, SIGHUP, and a broker
//! without free descriptors.

use std::fs;
use std::net::TcpStream;

use bus_client::{Client, ClientOptions, Token};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use tempfile::TempDir;

use crate::stage::{DENIED, DONE, FILE, Outcome, PATIENCE, Process, USAGE, bus, command, run};

/// A broker with a file of users, reached over TCP.
struct Guarded {
    broker: Process,
    url: String,
    token: String,
    user: String,
    directory: TempDir,
}

const LISTEN: &str = "listen = [\"tcp://127.0.0.1:0\"]\n";
const ALLOW: &str = "[[allow]]\nuser = \"alice\"\nsend = [\"jobs\"]\nreceive = [\"jobs\"]\ncreate = [\"jobs\"]\nsubscribe = [\"news.*\"]\n";

impl Guarded {
    async fn new() -> Guarded {
        let directory = tempfile::tempdir().expect("a directory");
        let made = bus(&["token", "alice"]).await;
        let lines: Vec<&str> =
            made.check(DONE, &["[[user]]", "name = \"alice\""]).out.lines().collect();
        let token = lines[1].to_owned();
        let user = lines[3..].join("\n") + "\n";
        assert!(token.len() > 64 && !user.contains(&token), "{made:?}");
        fs::write(directory.path().join("bus.toml"), format!("{LISTEN}{user}{ALLOW}"))
            .expect("a file");
        let path = directory.path().join("bus.toml").display().to_string();
        let mut broker = Process::start(&["serve", "--config", &path]);
        let line = broker.line().await;
        let url = line.strip_prefix("listening on ").expect("an address").to_owned();
        Guarded { broker, url, token, user, directory }
    }

    fn write(&self, text: &str) {
        fs::write(self.directory.path().join("bus.toml"), text).expect("a file");
    }

    /// Runs a verb with this token.
    async fn bus(&self, token: &str, arguments: &[&str]) -> Outcome {
        let mut command = command();
        command.args(arguments).env("BUS_URL", &self.url);
        if !token.is_empty() {
            command.env("BUS_TOKEN", token);
        }
        run(command, b"").await
    }

    /// The next line of the log that has all of these in it. No secret stands in any.
    async fn logged(&mut self, parts: &[&str]) -> String {
        loop {
            let line = self.broker.word().await;
            assert!(!line.contains(&self.token) && !line.contains("secret"), "{line}");
            assert!(
                !self.user.lines().any(|own| own.len() > 60 && line.contains(&own[15..40])),
                "{line}"
            );
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }
}

#[tokio::test]
async fn a_token_lets_a_user_in_and_what_is_refused_is_logged() {
    let mut stage = Guarded::new().await;
    let token = stage.token.clone();
    stage.bus(&token, &["send", "jobs", "hello", "--create"]).await.check(DONE, &[]);
    let file = stage.directory.path().join("token");
    fs::write(&file, format!("{token}\n")).expect("a file");
    let file = file.display().to_string();
    let received = stage.bus("", &["--token-file", &file, "recv", "jobs", "--json"]).await;
    let sender = &received.json()["sender"];
    assert_eq!(sender["user"], "alice", "{received:?}");
    assert!(sender["uid"].is_null(), "{received:?}");
    let denied = stage.bus(&token, &["send", "mail", "hello"]).await;
    denied.check(DENIED, &["user alice", "`mail`", "policy"]);
    stage.logged(&["denied", "user alice", "`mail`", "tcp://127.0.0.1:"]).await;
    stage.bus("", &["send", "jobs", "hello"]).await.check(DENIED, &["anonymous", "`jobs`"]);
    stage.logged(&["denied", "anonymous", "`jobs`", "tcp://127.0.0.1:"]).await;
    let wrong = stage.bus(&"secret".repeat(9), &["send", "jobs", "hello"]).await;
    assert!(
        !wrong.check(DENIED, &["does not know this token"]).err.contains("secret"),
        "{wrong:?}"
    );
    stage.logged(&["refused", "bus send", "does not know this token", "tcp://127.0.0.1:"]).await;
    let bad = stage.bus("secret", &["send", "jobs", "hello"]).await;
    assert!(!bad.check(USAGE, &["BUS_TOKEN", "not a token"]).err.contains("secret"), "{bad:?}");
    stage.bus("", &["--token-file", "/nowhere", "ping"]).await.check(FILE, &["/nowhere"]);
}

#[tokio::test]
async fn a_token_is_not_given_to_who_starts_a_broker() {
    for verb in ["serve", "demo"] {
        for flags in [&["--token-file", "/nowhere"][..], &["--token-insecure"]] {
            let refused = bus(&[&[verb], flags].concat()).await;
            refused.check(USAGE, &[flags[0], "whoever connects", "[[user]]"]);
        }
    }
    // The environment may have them for others.
    let mut command = command();
    command.args(["serve", "--check"]).env("BUS_TOKEN_FILE", "/nowhere");
    run(command, b"").await.check(DONE, &[]);
}

#[tokio::test]
async fn checking_a_file_shows_its_users_without_what_shows_who_is_one() {
    let stage = Guarded::new().await;
    let path = stage.directory.path().join("bus.toml").display().to_string();
    let shown = bus(&["serve", "--check", "--config", &path]).await;
    shown.check(DONE, &["name = \"alice\"", "not shown: 1", "subscribe = [\"news.*\"]"]);
    assert!(!shown.out.contains("sha256"), "{shown:?}");
}

#[tokio::test]
async fn sighup_takes_over_a_good_file_and_keeps_the_old_one_beside_a_bad_one() {
    let mut stage = Guarded::new().await;
    let token = stage.token.clone();
    let mut subscriber = Process::start_with(
        &["--url", &stage.url, "sub", "news.*", "--raw"],
        &[("BUS_TOKEN", &token)],
    );
    stage.write(&format!("{LISTEN}{}[[allow]]\nuser = \"alise\"\n", stage.user));
    stage.broker.signal(Signal::HUP);
    let line = LISTEN.lines().count() + stage.user.lines().count() + 2;
    let line = format!("line {line}: ");
    stage.logged(&["bus.toml", &line, "`alise`", "did you mean `alice`?", "goes on"]).await;
    stage.bus(&token, &["send", "jobs", "hello", "--create"]).await.check(DONE, &[]);
    stage.bus("", &["send", "jobs", "hello"]).await.check(DENIED, &[]);
    // What she subscribed to is no longer hers.
    let changed = ALLOW.replace("news.*", "weather");
    stage.write(&format!("name = \"other\"\n{LISTEN}{}{changed}", stage.user));
    stage.broker.signal(Signal::HUP);
    stage.logged(&["key=\"name\"", "needs a restart"]).await;
    let told = stage.broker.line().await;
    assert_eq!(
        told,
        "read the configuration again: users: 1; allowances: 1; bridges begun: 0; bridges changed: 0; bridges ended: 0; bridges not as in the file: 0; sessions ended: 0; needs a restart: name"
    );
    assert_eq!(subscriber.end().await.code(), Some(DENIED));
    assert!(subscriber.words().await.contains("`news.*`"));
    stage.bus(&token, &["send", "jobs", "hello", "--create"]).await.check(DONE, &[]);
    // And then she is nobody.
    let other = stage.user.replace("alice", "bob");
    let other: String = other
        .lines()
        .map(|line| match line.starts_with("token") {
            true => format!("token = \"sha256:{}\"\n", "0".repeat(64)),
            false => format!("{line}\n"),
        })
        .collect();
    stage.write(&format!("{LISTEN}{other}"));
    stage.broker.signal(Signal::HUP);
    assert!(stage.broker.line().await.contains("users: 1; allowances: 0"));
    stage.bus(&token, &["send", "jobs", "hello"]).await.check(DENIED, &["does not know"]);
}

#[tokio::test]
async fn without_free_descriptors_it_stays_closed_and_goes_on_afterwards() {
    let mut stage = Guarded::new().await;
    let token = stage.token.clone();
    stage.bus(&token, &["send", "jobs", "hello", "--create"]).await.check(DONE, &[]);
    let pid = Pid::from_raw(i32::try_from(stage.broker.pid()).expect("a pid"));
    let open = fs::read_dir(format!("/proc/{}/fd", stage.broker.pid())).expect("Linux").count();
    let limit = Some(open as u64 + 3);
    let small = Rlimit { current: limit, maximum: limit };
    prlimit(pid, Resource::Nofile, small).expect("it runs");
    let address = stage.url.strip_prefix("tcp://").expect("an address").to_owned();
    let crowd: Vec<_> = (0..12).map(|_| TcpStream::connect(&address).expect("connects")).collect();
    stage.logged(&["cannot accept", "Too many open files"]).await;
    // Whether this can be read now or not: it is not taken over.
    stage.write("listen = [");
    stage.broker.signal(Signal::HUP);
    stage.logged(&["goes on with what it had"]).await;
    drop(crowd);
    stage.bus(&token, &["send", "jobs", "hello", "--create"]).await.check(DONE, &[]);
    stage.bus(&token, &["send", "mail", "hello"]).await.check(DENIED, &["policy"]);
    stage.bus("", &["send", "jobs", "hello"]).await.check(DENIED, &["policy"]);
}

#[tokio::test]
async fn a_broker_for_other_hosts_says_that_it_is_neither_encrypted_nor_closed_to_strangers() {
    let mut stage = Guarded::new().await;
    let path = stage.directory.path().join("open.toml");
    let listen = "listen = [\"tcp://0.0.0.0:0\"]\n";
    fs::write(&path, format!("{listen}{}", stage.user)).expect("a file");
    let path = path.display().to_string();
    stage.broker = Process::start(&["serve", "--config", &path]);
    assert!(stage.broker.line().await.starts_with("listening on tcp://0.0.0.0:"));
    stage.logged(&["WARN", "not encrypted"]).await;
    stage.logged(&["WARN", "without credentials", "[[allow]]"]).await;
    fs::write(&path, listen).expect("a file");
    stage.broker.signal(Signal::HUP);
    stage.logged(&["ERROR", "no [[user]] would be left"]).await;
}

#[tokio::test]
async fn who_asks_without_end_fills_no_disk_and_every_refusal_is_counted() {
    const ASKED: u64 = 500;
    let mut stage = Guarded::new().await;
    let token = Token::new(&stage.token).expect("a token");
    let options = ClientOptions::default().token(token).reconnect(false);
    let client = Client::connect_with(&stage.url, options).await.expect("connects");
    for _ in 0..ASKED {
        assert!(client.queue("mail").await.is_err());
    }
    client.drain(PATIENCE).await;
    let (mut lines, mut counted) = (0, 0);
    while counted < ASKED {
        let line = stage.logged(&["denied"]).await;
        let left_out = line.split("left_out=").nth(1).expect("a count");
        let digits: String = left_out.chars().take_while(char::is_ascii_digit).collect();
        let is_one = u64::from(!line.contains("denied more"));
        lines += 1;
        counted += digits.parse::<u64>().expect("a number") + is_one;
    }
    assert_eq!(counted, ASKED);
    assert!(lines < 50, "{lines} lines");
}
