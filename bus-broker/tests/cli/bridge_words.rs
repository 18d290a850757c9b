//! What is said of a bridge that cannot be, or cannot connect: in the words of the place where it was asked
//! for, flags of `bus bridge add` or keys of `[[bridge]]`.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::json;

use crate::bridge::until_out;
use crate::stage::{DONE, Process, Stage, UNREACHABLE, USAGE, bus};
use crate::tls::{file, made};

const LIST: &[&str] = &["bridge", "ls", "--json"];

#[tokio::test]
async fn flags_that_cannot_work_are_refused_by_their_name_before_anybody_is_asked() {
    let add = async |url: &str, more: &[&str]| {
        let start = ["--url", "local:/nowhere", "bridge", "add", "b", url, "--out", "a.>"];
        bus(&[&start, more].concat()).await
    };
    let (tcp, tls) = ("tcp://127.0.0.1:1", "tls://127.0.0.1:1");
    add("mem:x", &[]).await.check(USAGE, &["`URL`: mem:x", "tcp://, tls:// or local:"]);
    let only = "`--remote-authority` is for tls:// only, and `URL` is tcp://127.0.0.1:1";
    add(tcp, &["--remote-authority", "x"]).await.check(USAGE, &[only]);
    add(tcp, &["--remote-name", "x"]).await.check(USAGE, &["`--remote-name` is for tls:// only"]);
    let pair = ["--remote-cert", "x", "--remote-key", "y"];
    add(tcp, &pair).await.check(USAGE, &["`--remote-cert` is for tls:// only"]);
    add(tls, &["--remote-name", "a b"]).await.check(USAGE, &["`--remote-name`: `a b` is not"]);
    let token = ["--remote-token-file", "t"];
    add("tcp://192.0.2.1:1", &token).await.check(USAGE, &["with `--remote-insecure`"]);
    add(tcp, &["--spool", "0B"]).await.check(USAGE, &["`--spool` is 0 B", "64.0 KiB at least"]);
    let more = ["--spool", "1MiB", "--spool-each", "2MiB"];
    add(tcp, &more).await.check(USAGE, &["`--spool-each` is 2.0 MiB", "`--spool`, which is"]);
    add(tcp, &["--linger", "99h"]).await.check(USAGE, &["`--linger` is 4days 3h", "1h at most"]);
    add(tcp, &["--local-prefix", "a..b"]).await.check(USAGE, &["`--local-prefix`: ", "`a..b`"]);
    add(tcp, &["a.b"]).await.check(USAGE, &["`--out`: `a.>` and `a.b` have topics in common"]);
    let both = ["--out-queues", "jobs", "--in-queues", "jobs"];
    add(tcp, &both).await.check(USAGE, &["`jobs` is in `--out-queues` and in `--in-queues`"]);
    // The control: what is sound goes on to the broker.
    add(tcp, &["--spool", "64KiB", "--linger", "1h"]).await.check(UNREACHABLE, &["/nowhere"]);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_by_their_flag() {
    let (stage, folder) = (Stage::new().await, made().await);
    let junk = folder.path().join("junk").display().to_string();
    fs::write(&junk, "no certificate").expect("a file");
    let good = file(&folder, "authority.pem");
    let add = async |more: &[&str]| {
        let start = ["bridge", "add", "b", "tls://127.0.0.1:1", "--in", "a"];
        stage.bus(&[&start, more].concat()).await
    };
    let nope = add(&["--remote-authority", "nope"]).await;
    nope.check(USAGE, &["`--remote-authority`: cannot read ", "/nope", "No such file"]);
    let told = add(&["--remote-authority", &junk]).await;
    told.check(USAGE, &["`--remote-authority`: ", "/junk", "no certificate"]);
    add(&["--remote-authority", "/dev/zero"]).await.check(USAGE, &["no regular file"]);
    let key = file(&folder, "ada.key");
    let told = add(&["--remote-cert", &junk, "--remote-key", &key]).await;
    told.check(USAGE, &["`--remote-cert`: ", "/junk"]);
    let told = add(&["--remote-cert", &file(&folder, "ada.pem"), "--remote-key", &junk]).await;
    told.check(USAGE, &["`--remote-key`: ", "/junk"]);
    assert_eq!(stage.bus(LIST).await.json(), json!({ "bridges": [] }));
    add(&["--remote-authority", &good]).await.check(DONE, &[]);
}

#[tokio::test]
async fn a_bridge_to_the_broker_itself_is_refused_or_says_so() {
    let stage = Stage::new().await;
    let add = async |url: &str| stage.bus(&["bridge", "add", "b", url, "--out", "a"]).await;
    add(&stage.url).await.check(USAGE, &["`URL`", "this broker itself, which listens on"]);
    // Another way to it, which is found out when it is gone.
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("link");
    symlink(stage.url.replace("local:", ""), &link).expect("a link");
    add(&format!("local:{}", link.display())).await.check(DONE, &[]);
    until_out(&stage, |out| {
        let reason = out["last_error"].as_str().unwrap_or_default();
        out["state"] == "refused" && reason.contains("leads to this broker itself")
    })
    .await;
    // No session of it is left behind.
    stage.good(&["bridge", "rm", "b"]).await;
    stage
        .until(&["ls", "--clients", "--json"], |list| {
            let mut clients = list["clients"].as_array().expect("a list").iter();
            !clients.any(|client| client["sender"]["name"] == "bridge b (out)")
        })
        .await;
}

#[tokio::test]
async fn what_is_wrong_with_certificates_names_the_settings_of_the_bridge() {
    let folder = made().await;
    let [ca, cert, key] = ["authority.pem", "server.pem", "server.key"].map(|it| file(&folder, it));
    let config = folder.path().join("there.toml").display().to_string();
    let text = format!(
        "listen = [\"tls://127.0.0.1:0\"]\n[tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n\
         client_authority = \"{ca}\"\nclient_certificates = \"required\"\n"
    );
    fs::write(&config, text).expect("a file");
    let mut there = Process::start(&["serve", "-c", &config]);
    let url = there.line().await.replace("listening on ", "");
    let own = format!("local:{}", folder.path().join("here.sock").display());
    let here = folder.path().join("here.toml").display().to_string();
    let text = format!(
        "listen = [\"{own}\"]\n[[bridge]]\nname = \"a\"\nurl = \"{url}\"\nout = [\"a\"]\nserver_name = \"x.test\"\n\
         authority = \"{ca}\"\n[[bridge]]\nname = \"b\"\nurl = \"{url}\"\nout = [\"b\"]\n"
    );
    fs::write(&here, text).expect("a file");
    let mut broker = Process::start(&["serve", "-c", &here]);
    broker.line().await;
    let add = ["--url", &own, "bridge", "add"];
    let added = async |more: &[&str]| bus(&[&add, more].concat()).await.check(DONE, &[]).code;
    added(&["c", &url, "--out", "c"]).await;
    added(&["d", &url, "--out", "d", "--remote-authority", &ca]).await;
    let list = [&["--url", &own], LIST].concat();
    let expected = [
        ("a", "(`server_name` of its [[bridge]])"),
        ("b", "(`authority` of its [[bridge]])"),
        ("c", "(`--remote-authority` of `bus bridge add`)"),
        ("d", "(`--remote-cert` of `bus bridge add`)"),
    ];
    for (index, (name, words)) in expected.into_iter().enumerate() {
        let reason = loop {
            let list = bus(&list).await.json();
            let bridge = &list["bridges"][index];
            assert_eq!(bridge["name"], name);
            if let Some(reason) = bridge["out"]["last_error"].as_str() {
                break reason.to_owned();
            }
        };
        assert!(reason.ends_with(words), "{name}: {reason}");
        assert!(!reason.contains("--tls-") && !reason.contains("ClientOptions"), "{reason}");
    }
    there.signal(Signal::TERM);
}

#[tokio::test]
async fn a_file_with_a_bridge_that_cannot_be_replaces_nothing_not_even_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = format!("local:{}", folder.path().join("bus.sock").display());
    let path = folder.path().join("bus.toml");
    let config = path.display().to_string();
    let token = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let write = |more: &str| {
        let user = format!("[[user]]\nname = \"ada\"\ntoken = \"{}\"\n", token("a"));
        let bridge = "[[bridge]]\nname = \"b\"\nurl = \"tls://127.0.0.1:1\"\nout = [\"a\"]\n";
        fs::write(&path, format!("listen = [\"{own}\"]\n{user}{bridge}{more}")).expect("a file");
    };
    write("");
    let mut broker = Process::start(&["serve", "-c", &config]);
    broker.line().await;
    write(&format!(
        "authority = \"/nope\"\n[[user]]\nname = \"eve\"\ntoken = \"{}\"\n",
        token("b")
    ));
    broker.signal(Signal::HUP);
    let told = loop {
        let word = broker.word().await;
        if word.contains("ERROR") {
            break word;
        }
    };
    for part in ["`b`: `authority`: cannot read /nope", "goes on with what it had"] {
        assert!(told.contains(part), "{told} lacks {part}");
    }
    // What is read next is the first thing that was taken over.
    write("");
    broker.signal(Signal::HUP);
    let told = broker.line().await;
    assert!(told.contains("users: 1; ") && told.contains("bridges changed: 0; "), "{told}");
}

#[tokio::test]
async fn the_flags_of_add_stand_in_groups_with_one_line_each() {
    let help = bus(&["bridge", "add", "--help"]).await;
    let help = &help.check(DONE, &[]).out;
    let groups: Vec<&str> =
        help.split("\n\n").filter(|group| group.contains("\n      --")).collect();
    let of = |heading: &str| {
        let group = groups.iter().find(|group| group.trim_start().starts_with(heading));
        *group.unwrap_or_else(|| panic!("no {heading}: {help}"))
    };
    let check = |heading: &str, flags: &[&str], others: &str| {
        let group = of(heading);
        for flag in flags {
            assert!(group.contains(&format!("{flag} ")), "{flag}: {group}");
        }
        assert!(!group.contains(others), "{group}");
    };
    check("What crosses", &["--out", "--in", "--in-queues", "--service-mode"], "--tls-ca");
    check("Connection to the other broker", &["--remote-authority", "--remote-cert"], "--tls-ca");
    check("Connection to this broker", &["--url", "--tls-ca", "--token-file"], "--remote");
    check("What is kept", &["--spool", "--spool-full", "--linger"], "--remote");
    for heading in ["What crosses", "Connection to the other broker"] {
        for line in of(heading).lines().skip(1) {
            assert!(line.trim_start().starts_with("--"), "more than one line: {line}");
        }
    }
}
