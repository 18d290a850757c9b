//! `bus bridge` as an operator uses it, between brokers that know each other over TCP.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{
    CONFLICT, DENIED, DONE, NOTHING, Nobody, Outcome, PATIENCE, Process, Stage, UNREACHABLE, USAGE,
    bus, command, run,
};

const LIST: &[&str] = &["bridge", "ls", "--json"];

/// The other broker: over TCP it is for those who show a token only.
pub struct Other {
    pub broker: Process,
    pub tcp: String,
    pub local: String,
    pub directory: TempDir,
}

impl Other {
    pub async fn new() -> Other {
        Other::allowing("").await
    }

    /// One that allows more than to carry: a line of its policy.
    pub async fn allowing(more: &str) -> Other {
        let directory = tempfile::tempdir().expect("a directory");
        let made = bus(&["token", "site"]).await;
        let lines: Vec<&str> = made.check(DONE, &[]).out.lines().collect();
        fs::write(directory.path().join("token"), lines[1]).expect("a file");
        let local = format!("local:{}", directory.path().join("other.sock").display());
        let file = format!(
            "listen = [\"{local}\", \"tcp://127.0.0.1:0\"]\n{}\n[[allow]]\nuser = \"site\"\nbridge = \">\"\n{more}\n",
            lines[3..].join("\n")
        );
        let path = directory.path().join("other.toml");
        fs::write(&path, file).expect("a file");
        let path = path.display().to_string();
        let mut broker = Process::start(&["serve", "--config", &path]);
        assert_eq!(broker.line().await, format!("listening on {local}"));
        let line = broker.line().await;
        let tcp = line.strip_prefix("listening on ").expect("an address").to_owned();
        Other { broker, tcp, local, directory }
    }

    pub fn token(&self) -> String {
        self.directory.path().join("token").display().to_string()
    }

    /// Runs a verb there to its end.
    pub async fn bus(&self, arguments: &[&str]) -> Outcome {
        bus(&[&["--url", self.local.as_str()], arguments].concat()).await
    }

    /// Starts a verb there that goes on.
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&[&["--url", self.local.as_str()], arguments].concat())
    }

    /// Whether a client of this name is known there, connected or not.
    async fn knows(&self, name: &str) -> bool {
        let list = self.bus(&["ls", "--clients", "--json"]).await.json();
        let mut clients = list["clients"].as_array().expect("a list").iter();
        clients.any(|client| client["sender"]["name"] == name)
    }
}

/// Waits until what goes out over the first bridge stands so.
pub async fn until_out(stage: &Stage, holds: impl Fn(&Value) -> bool) {
    stage.until(LIST, |list| holds(&list["bridges"][0]["out"])).await;
}

/// What waits for the other broker, or is not yet known to be there.
fn held(out: &Value) -> u64 {
    out["lag_messages"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_bridge_is_added_looked_at_stopped_for_a_while_and_ended() {
    let (here, there) = (Stage::new().await, Other::new().await);
    assert_eq!(here.good(&["bridge", "ls"]).await, "");
    assert_eq!(here.bus(LIST).await.json(), json!({ "bridges": [] }));
    // The broker, which reads the file, runs in another folder.
    let mut add = command();
    add.current_dir(there.directory.path()).env("BUS_URL", &here.url);
    add.args(["bridge", "add", "site", &there.tcp, "--out", "news.>", "state.*"]);
    add.args(["--remote-token-file", "token", "--spool", "1MiB", "--linger", "1m"]);
    run(add, b"").await.check(DONE, &[]);
    until_out(&here, |out| out["state"] == "connected").await;
    let list = here.bus(LIST).await.json();
    assert_eq!(list["bridges"][0]["out"]["topics"], json!(["news.>", "state.*"]));
    assert!(list["bridges"][0]["in"].is_null(), "{list}");
    let table = here.good(&["bridge", "ls"]).await;
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..5], ["NAME", "URL", "WAY", "STATE", "SINCE"], "{table}");
    assert_eq!(lines[1][..4], ["site", &there.tcp, "out", "connected"], "{table}");

    let mut subscriber = there.start(&["sub", "news.a", "--raw"]);
    here.until_client("bridge site (out)", 1).await;
    here.good(&["pub", "news.a", "one"]).await;
    assert_eq!(subscriber.line().await, "one");
    here.good(&["bridge", "pause", "site"]).await;
    until_out(&here, |out| out["state"] == "paused").await;
    here.good(&["pub", "news.a", "two"]).await;
    here.good(&["pub", "news.a", "three"]).await;
    until_out(&here, |out| held(out) >= 2 && out["state"] == "paused").await;
    here.good(&["bridge", "resume", "site"]).await;
    assert_eq!(subscriber.line().await, "two");
    assert_eq!(subscriber.line().await, "three");
    until_out(&here, |out| out["state"] == "connected" && out["reconnects"] == 1).await;

    let again = ["bridge", "add", "site", &there.tcp, "--in", "news.>"];
    here.bus(&again).await.check(CONFLICT, &["`site`", "already"]);
    assert!(there.knows("bridge site (out)").await);
    here.good(&["bridge", "rm", "site"]).await;
    let gone = async { while there.knows("bridge site (out)").await {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("no session of it is left");
    assert_eq!(here.bus(LIST).await.json(), json!({ "bridges": [] }));
    for action in ["rm", "pause", "resume"] {
        here.bus(&["bridge", action, "site"]).await.check(NOTHING, &["`site`", "bus bridge ls"]);
    }
}

#[tokio::test]
async fn both_ways_have_a_line_and_prefixes_change() {
    let (here, there) = (Stage::new().await, Other::new().await);
    let token = there.token();
    here.good(&[
        "bridge",
        "add",
        "both",
        &there.tcp,
        "--out",
        "up",
        "--in",
        "down",
        "--local-prefix",
        "a",
        "--remote-prefix",
        "b.c",
        "--remote-token-file",
        &token,
        "--spool-full",
        "drop-oldest",
    ])
    .await;
    let mut at_there = there.start(&["sub", "b.c.up", "--raw", "--count", "1"]);
    let mut at_here = here.start(&["sub", "a.down", "--raw", "--count", "1"]);
    here.until(LIST, |list| {
        ["out", "in"].iter().all(|way| list["bridges"][0][way]["state"] == "connected")
    })
    .await;
    here.until_client("bridge both (out)", 1).await;
    // Until what is wanted has come round, nothing crosses.
    let publish_until_heard = async |url: &str, topic: &str, process: &mut Process| {
        let speak = async {
            loop {
                bus(&["--url", url, "pub", topic, "hello"]).await.check(DONE, &[]);
            }
        };
        tokio::select! { line = process.line() => line, () = speak => unreachable!() }
    };
    assert_eq!(publish_until_heard(&here.url, "a.up", &mut at_there).await, "hello");
    assert_eq!(publish_until_heard(&there.local, "b.c.down", &mut at_here).await, "hello");
    let table = here.good(&["bridge", "ls"]).await;
    for way in [" out ", " in "] {
        assert_eq!(table.matches(way).count(), 1, "{table}");
    }
}

#[tokio::test]
async fn a_bridge_that_cannot_be_is_refused_before_anybody_is_asked() {
    let add = async |more: &[&str]| {
        let start = ["--url", "local:/nowhere", "bridge", "add"];
        bus(&[&start, more].concat()).await
    };
    let url = "tcp://127.0.0.1:1";
    add(&["b", url]).await.check(USAGE, &["nothing goes over it"]);
    add(&["b", "nats://h:1", "--out", "a"]).await.check(USAGE, &["nats"]);
    add(&["b b", url, "--out", "a"]).await.check(USAGE, &["`b b`"]);
    add(&["b", url, "--out", "a.>.b"]).await.check(USAGE, &["a.>.b"]);
    add(&["b", url, "--out", "a.*", "a.b"]).await.check(USAGE, &["`a.*` and `a.b`"]);
    add(&["b", url, "--in", "$bus.>"]).await.check(USAGE, &["`$bus.` belongs"]);
    add(&["b", url, "--in", "a", "--local-prefix", "a..b"]).await.check(USAGE, &["`a..b`"]);
    add(&["b", url, "--in", "a", "--remote-cert", "x"]).await.check(USAGE, &["--remote-key"]);
    add(&["b", url, "--in", "a", "--spool", "much"]).await.check(USAGE, &["--spool", "much"]);
    add(&["b", url, "--in", "a", "--spool-full", "x"]).await.check(USAGE, &["drop-oldest"]);
    add(&["b", url, "--in", "a", "--linger", "soon"]).await.check(USAGE, &["--linger"]);
    add(&["b", url, "--in", "a"]).await.check(UNREACHABLE, &["/nowhere"]);
    let here = Stage::new().await;
    let missing = ["bridge", "add", "b", url, "--in", "a", "--remote-token-file", "/no/token"];
    here.bus(&missing).await.check(USAGE, &["/no/token"]);
    let pipe = ["bridge", "add", "b", url, "--in", "a", "--remote-token-file", "/dev/zero"];
    here.bus(&pipe).await.check(USAGE, &["/dev/zero", "no regular file"]);
    assert_eq!(here.bus(LIST).await.json(), json!({ "bridges": [] }));
}

#[tokio::test]
async fn who_is_no_administrator_has_no_say_about_bridges() {
    let stage = Stage::new().await;
    match check_as_nobody(&stage).await {
        Ok(()) => assert_eq!(stage.bus(LIST).await.json(), json!({ "bridges": [] })),
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

async fn check_as_nobody(stage: &Stage) -> Result<(), &'static str> {
    let nobody = Nobody::new(stage).await?;
    let add = ["bridge", "add", "b", "tcp://127.0.0.1:1", "--out", "a"];
    for arguments in [&add[..], LIST, &["bridge", "rm", "b"], &["bridge", "pause", "b"]] {
        nobody.bus(arguments).await.check(DENIED, &["uid 65534", "`$bus.bridge`"]);
    }
    Ok(())
}

#[tokio::test]
async fn where_nobody_listens_a_bridge_waits_and_says_why() {
    let stage = Stage::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let url = format!("tcp://{}", listener.local_addr().expect("an address"));
    drop(listener);
    stage.good(&["bridge", "add", "lonely", &url, "--out", ">"]).await;
    until_out(&stage, |out| {
        let reason = out["last_error"].as_str().unwrap_or_default();
        out["state"] == "connecting" && reason.contains("refused")
    })
    .await;
    stage.bus(&["bridge", "ls"]).await.check(DONE, &["lonely", "connecting", "ago: ", "refused"]);
    // Also what is paused says nothing else until it is there.
    stage.good(&["bridge", "pause", "lonely"]).await;
    until_out(&stage, |out| out["state"] == "paused").await;
    stage.good(&["bridge", "resume", "lonely"]).await;
    until_out(&stage, |out| out["state"] == "connecting").await;
    stage.good(&["bridge", "rm", "lonely"]).await;
}

#[tokio::test]
async fn a_wrong_token_is_shown_and_logged_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token").display().to_string();
    fs::write(&token, "secret".repeat(9)).expect("a file");
    refused_is_told_once(&["--remote-token-file", &token], "does not know this token").await;
}

#[tokio::test]
async fn without_the_right_to_bridge_a_bridge_is_never_connected_and_that_is_logged_once() {
    refused_is_told_once(&[], "may not bridge").await;
}

#[tokio::test]
async fn a_token_that_is_put_right_is_used_at_the_next_attempt() {
    let (here, there) = (Stage::new().await, Other::new().await);
    let token = here.directory.path().join("token").display().to_string();
    fs::write(&token, "secret".repeat(9)).expect("a file");
    let add = ["bridge", "add", "b", &there.tcp, "--in", ">", "--remote-token-file", &token];
    here.good(&add).await;
    here.until(LIST, |list| list["bridges"][0]["in"]["last_error"].is_string()).await;
    fs::copy(there.token(), &token).expect("a file");
    here.until(LIST, |list| list["bridges"][0]["in"]["state"] == "connected").await;
}

/// Somebody with these credentials is refused there for this reason, again and again.
async fn refused_is_told_once(credentials: &[&str], why: &str) {
    let (mut here, mut there) = (Stage::new().await, Other::new().await);
    let mut events = here.start(&["sub", "$bus.events", "--raw"]);
    here.until_client("bus sub", 1).await;
    let add = ["bridge", "add", "b", &there.tcp, "--out", ">"];
    here.good(&[&add, credentials].concat()).await;
    until_out(&here, |out| {
        let reason = out["last_error"].as_str().unwrap_or_default();
        out["state"] == "refused" && reason.contains(why)
    })
    .await;
    let mut refused = 0;
    while refused < 4 {
        refused += u32::from(there.broker.word().await.contains(why));
    }
    until_out(&here, |out| out["state"] == "refused" && out["reconnects"] == 0).await;
    here.broker.signal(Signal::TERM);
    let words = here.broker.words().await;
    let told = words.lines().filter(|line| line.contains(why)).count();
    assert_eq!(told, 1, "{words}");
    assert!(!words.contains("secret"), "{words}");
    events.signal(Signal::INT);
    let told = events.rest().await;
    let states: Vec<Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|event: &Value| event["event"] == "bridge")
        .map(|event| event["state"].clone())
        .collect();
    let refusals = states.iter().filter(|state| *state == "refused").count();
    assert_eq!(refusals, 1, "{told}");
    assert!(states.len() <= 3, "{told}");
}
