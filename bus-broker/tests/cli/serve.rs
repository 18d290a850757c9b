//! `bus serve`: configuration, the path that belongs to one broker, and the end.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::stage::{
    CONFLICT, DENIED, DONE, FILE, NOTHING, Outcome, Process, Stage, USAGE, bus, command, run,
};

async fn check_config(directory: &Path, text: &str, more: &[&str]) -> (String, Outcome) {
    let path = directory.join("bus.toml");
    fs::write(&path, text).expect("a file");
    let path = path.display().to_string();
    let outcome = bus(&[&["serve", "--check", "--config", path.as_str()], more].concat()).await;
    (path, outcome)
}

#[tokio::test]
async fn configuration_mistakes_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, outcome) = check_config(directory.path(), "name = \"x\"\nlisen = []\n", &[]).await;
    outcome.check(USAGE, &[&format!("{path}, line 2"), "`lisen`", "did you mean `listen`?"]);
    let (path, outcome) = check_config(directory.path(), "[limits]\nqueues = \"7\"\n", &[]).await;
    outcome.check(USAGE, &[&format!("{path}, line 2"), "`limits.queues`", "the string \"7\""]);
    let (path, outcome) = check_config(directory.path(), "name = \n", &[]).await;
    outcome.check(USAGE, &[&path, "line 1", "not TOML"]);
    let missing = directory.path().join("missing").display().to_string();
    bus(&["serve", "--config", &missing]).await.check(FILE, &[&missing]);
}

#[tokio::test]
async fn flags_go_before_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "name = \"lab\"\nlisten = [\"local:/nowhere/a\"]\n[defaults]\nqueue_mode = \"0770\"";
    let (_, outcome) = check_config(directory.path(), text, &[]).await;
    outcome.check(DONE, &["name = \"lab\"", "\"local:/nowhere/a\"", "queue_mode = \"0770\""]);
    let more = ["--name", "mine", "-l", "tcp://127.0.0.1:0", "-l", "local:/elsewhere/b"];
    let (_, outcome) = check_config(directory.path(), text, &more).await;
    outcome.check(DONE, &["name = \"mine\"", "[\"tcp://127.0.0.1:0\", \"local:/elsewhere/b\"]"]);
    outcome.check(DONE, &["queue_mode = \"0770\""]);
    assert!(!outcome.out.contains("nowhere"), "{outcome:?}");
    // What it prints is a configuration itself.
    let (_, again) = check_config(directory.path(), &outcome.out, &[]).await;
    assert_eq!(again.check(DONE, &[]).out, outcome.out);
}

#[tokio::test]
async fn environment_goes_before_the_file_and_flags_before_both() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bus.toml");
    fs::write(&path, "name = \"lab\"\nlisten = [\"local:/nowhere/a\"]").expect("a file");
    let check = async |more: &[&str], name: &str, listen: &str| {
        let mut command = command();
        command.args(["serve", "--check"]).args(more);
        command.env("BUS_CONFIG", &path).env("BUS_LISTEN", "local:/env/a,tcp://127.0.0.1:0");
        command.env("BUS_NAME", "env").env("BUS_INSECURE", "0");
        run(command, b"").await.check(DONE, &[name, listen, "insecure = false"]);
    };
    let from_environment = "listen = [\"local:/env/a\", \"tcp://127.0.0.1:0\"]";
    check(&[], "name = \"env\"", from_environment).await;
    check(&["--name", "flag"], "name = \"flag\"", from_environment).await;
    check(&["-l", "local:/flag/a"], "name = \"env\"", "listen = [\"local:/flag/a\"]").await;
}

#[tokio::test]
async fn configuration_counts() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("local:{}", directory.path().join("bus.sock").display());
    let path = directory.path().join("bus.toml").display().to_string();
    let text = format!("name = \"lab\"\nlisten = [\"{url}\"]\n[limits]\nqueues = 1\n");
    fs::write(&path, text).expect("a file");
    let mut broker = Process::start(&["serve", "--config", &path]);
    assert_eq!(broker.line().await, format!("listening on {url}"));
    bus(&["--url", &url, "stat"]).await.check(DONE, &["lab"]);
    bus(&["--url", &url, "create", "a"]).await.check(DONE, &[]);
    bus(&["--url", &url, "create", "b"]).await.check(crate::stage::FULL, &["1 queues"]);
}

#[tokio::test]
async fn network_without_credentials_needs_a_word() {
    let outcome = bus(&["serve", "-l", "tcp://0.0.0.0:0"]).await;
    outcome.check(DENIED, &["tcp://0.0.0.0:0", "--insecure", "[[user]]"]);
    bus(&["serve", "-l", "mem:x"]).await.check(USAGE, &["mem:x", "unsupported"]);
    let mut broker = Process::start(&["serve", "-l", "tcp://0.0.0.0:0", "--insecure"]);
    assert!(broker.line().await.starts_with("listening on tcp://0.0.0.0:"));
}

#[tokio::test]
async fn a_check_says_what_a_start_says_in_the_same_words_and_with_the_same_code() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().display().to_string();
    let path = directory.path().join("bus.toml");
    let local = format!("local:{place}/a");
    let cases: &[(&str, &[&str], i32)] = &[
        ("", &["-l", &local, "--metrics", "0.0.0.0:0"], DENIED),
        ("", &["-l", &local, "-l", "tcp://0.0.0.0:0"], DENIED),
        ("", &["-l", "tls://127.0.0.1:0"], USAGE),
        ("", &["-l", &local, "-l", &local], USAGE),
        ("", &["-l", "mem:x"], USAGE),
        ("", &["-l", "tcp://nowhere.invalid:1"], FILE),
        ("[tls]\ncertificate = \"/no/a\"\nkey = \"/no/b\"\n", &["-l", &local], FILE),
        (
            "[[bridge]]\nname = \"b\"\nurl = \"tcp://127.0.0.1:1\"\ntoken_file = \"/no/token\"\nout = [\"a\"]\n",
            &["-l", &local],
            FILE,
        ),
        (
            "[[bridge]]\nname = \"b\"\nurl = \"tcp://127.0.0.1:7\"\nout = [\"a\"]\n",
            &["-l", "tcp://127.0.0.1:7"],
            USAGE,
        ),
    ];
    for (text, flags, code) in cases {
        fs::write(&path, text).expect("a file");
        let path = path.display().to_string();
        let serve = [&["serve", "--config", path.as_str()], *flags].concat();
        let started = bus(&serve).await;
        let checked = bus(&[&serve[..], &["--check"]].concat()).await;
        started.check(*code, &[]);
        checked.check(*code, &[]);
        assert_eq!(checked.err.lines().last(), started.err.lines().last(), "{flags:?}");
    }
}

#[tokio::test]
async fn metrics_are_served_where_it_is_said_and_not_to_other_hosts() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("local:{}", directory.path().join("bus.sock").display());
    bus(&["serve", "-l", &url, "--metrics", "0.0.0.0:0"]).await.check(DENIED, &["--metrics-open"]);
    let (_, outcome) = check_config(directory.path(), "metrics = \"here\"", &[]).await;
    outcome.check(USAGE, &["line 1", "`metrics`", "127.0.0.1:"]);
    let text = "metrics = \"127.0.0.1:0\"\nmetrics_open = true\n";
    let (path, outcome) = check_config(directory.path(), text, &[]).await;
    outcome.check(DONE, &[text]);
    let mut broker = Process::start(&["serve", "-l", &url, "--config", &path]);
    assert_eq!(broker.line().await, format!("listening on {url}"));
    let line = broker.line().await;
    let address =
        line.strip_prefix("metrics on http://").and_then(|it| it.strip_suffix("/metrics"));
    let mut stream = std::net::TcpStream::connect(address.expect("an address")).expect("listens");
    std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("takes it");
    let text = std::io::read_to_string(stream).expect("an answer");
    assert!(text.contains("\nbusbar_queues 0\n"), "{text}");
    // The client that asks for the figures is the broker's own.
    broker.signal(Signal::TERM);
    assert!(broker.line().await.starts_with("ending: 0 connected"));
    assert!(broker.line().await.starts_with("ended: clients that were connected: 0;"));
}

#[tokio::test]
async fn second_broker_names_the_first_one() {
    let stage = Stage::new().await;
    let outcome = bus(&["serve", "-l", &stage.url]).await;
    let pid = format!("pid {}", stage.broker.pid());
    outcome.check(CONFLICT, &[&pid, "bus.sock"]);
    stage.bus(&["ping"]).await.check(DONE, &[]);
}

#[tokio::test]
async fn broker_with_a_taken_port_says_so() {
    let stage = Stage::new().await;
    bus(&["serve", "-l", &stage.tcp]).await.check(CONFLICT, &[&stage.tcp]);
}

#[tokio::test]
async fn stale_socket_is_taken_over_and_subscribers_come_back() {
    let mut stage = Stage::new().await;
    let mut sub = stage.start(&["sub", "a", "--raw"]);
    stage.until_client("bus sub", 1).await;
    stage.broker.signal(Signal::KILL);
    stage.broker.end().await;
    assert!(stage.directory.path().join("bus.sock").exists(), "a stale socket is left");
    assert!(sub.word().await.starts_with("bus: disconnected: "));
    let mut broker = Process::start(&["serve", "-l", &stage.url]);
    assert_eq!(broker.line().await, format!("listening on {}", stage.url));
    while !sub.word().await.contains("connected again, to a new session") {}
    stage.until_client("bus sub", 1).await;
    stage.good(&["pub", "a", "after"]).await;
    assert_eq!(sub.line().await, "after");
}

#[tokio::test]
async fn receiver_whose_queue_died_with_the_broker_says_which() {
    let mut stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    let mut receiver = stage.start(&["recv", "jobs", "--follow"]);
    stage.until_client("bus recv", 2).await;
    stage.broker.signal(Signal::KILL);
    stage.broker.end().await;
    let mut broker = Process::start(&["serve", "-l", &stage.url]);
    assert_eq!(broker.line().await, format!("listening on {}", stage.url));
    assert_eq!(receiver.end().await.code(), Some(NOTHING));
    let words = receiver.words().await;
    assert!(words.contains("receiving from `jobs`: there is no queue `jobs`"), "{words}");
    assert!(words.contains("with --create this makes it again"), "{words}");
}

#[tokio::test]
async fn a_broker_beside_bus_url_says_that_it_does_not_go_by_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let [here, there] =
        ["here", "there"].map(|name| format!("local:{}", directory.path().join(name).display()));
    let mut broker = Process::start_with(&["serve", "-l", &here], &[("BUS_URL", &there)]);
    let told = broker.word().await;
    assert!(told.contains(&format!("BUS_URL is `{there}`")), "{told}");
    broker.signal(Signal::TERM);
    assert!(broker.end().await.success());
    let mut broker = Process::start_with(&["serve", "-l", &here], &[("BUS_URL", &here)]);
    broker.line().await;
    broker.signal(Signal::TERM);
    assert_eq!(broker.words().await, "", "it listens there");
}

#[tokio::test]
async fn signals_drain() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut stage = Stage::new().await;
        stage.good(&["create", "jobs"]).await;
        stage.good(&["send", "jobs", "x", "--count", "3"]).await;
        let mut receiver = stage.start(&["recv", "jobs", "9"]);
        stage.until_client("bus recv", 2).await;
        stage.broker.signal(signal);
        assert!(stage.broker.line().await.starts_with("ending: "));
        let last = stage.broker.line().await;
        assert!(last.starts_with("ended: ") && last.ends_with("now gone: 3"), "{last}");
        assert!(stage.broker.end().await.success());
        let status = receiver.end().await;
        assert_eq!(status.code(), Some(crate::stage::UNREACHABLE), "{}", receiver.word().await);
        assert!(!stage.directory.path().join("bus.sock").exists(), "the socket is gone");
    }
}
