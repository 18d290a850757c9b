//! Bad input gets an exit code and a sentence that names what and where.

use std::fs::File;

use crate::stage::{
    CONFLICT, DENIED, DONE, FILE, FULL, NOTHING, Nobody, Stage, TIMED_OUT, UNREACHABLE, USAGE, bus,
    command, run,
};

#[tokio::test]
async fn bad_arguments_need_no_broker() {
    let check = async |arguments: &[&str], parts: &[&str]| {
        bus(arguments).await.check(USAGE, parts);
    };
    check(&["snd", "q"], &["'snd'", "'send'"]).await;
    check(&["send", "q", "--tipe", "4", "x"], &["'--tipe'", "'--type'"]).await;
    check(&["send", "q", "x", "--type", "0"], &["0 is not a message type"]).await;
    check(&["send", "q", "x", "--type", "-5"], &["`-5` is not a message type"]).await;
    check(&["send", "q", "x", "--timeout", "-1s"], &["`-1s` is in the past"]).await;
    check(&["send", "q", "x", "--timeout", "soon"], &["`soon` is not a duration"]).await;
    check(&["send", "q", "x", "-H", "novalue"], &["`novalue`", "KEY:VALUE"]).await;
    check(&["recv", "q", "<5"], &["`<5` is not a selector", "`<=5`"]).await;
    check(&["create", "q", "--mode", "999"], &["`999` is not a mode"]).await;
    check(&["create", "q", "--bytes", "lots"], &["`lots` is not a size"]).await;
    check(&["create", "q", "--keep-last"], &["--topic"]).await;
    check(&["set", "q"], &["nothing to change on `q`"]).await;
    check(&["serve", "--url", "local:/x"], &["--listen"]).await;
    check(&["bench", "--size", "3"], &["--size must be 8"]).await;
    check(&["--url", "nats://h:1", "ping"], &["the scheme `nats` is unknown"]).await;
    check(&["--url", "locl:/x", "ping"], &["did you mean `local:`"]).await;
    check(&["--url", "tls://h", "ping"], &["tls://h", "no port"]).await;
    let long = format!("local:/{}", "x".repeat(199));
    check(&["--url", &long, "ping"], &["200 bytes", "at most 107"]).await;
    check(&["serve", "-l", &long, "--check"], &["200 bytes", "at most 107"]).await;
}

#[tokio::test]
async fn what_strangers_and_arguments_say_rules_no_terminal() {
    let stage = Stage::new().await;
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J";
    for arguments in [
        &["stat", evil][..],
        &["send", evil, "x"],
        &["ls", evil],
        &[evil],
        &["--url", evil, "ping"],
        &["pub", "a", "x", "--type", evil],
        &["create", "a", evil],
        &["recv", "q", evil],
        &["pub", "a", "-f", evil],
        &["replay", evil],
        &["serve", "--check", "--config", evil],
        &["top", "--once", "--interval", "250ms", "--filter", evil],
    ] {
        let outcome = stage.bus(arguments).await;
        assert_ne!(outcome.code, DONE, "{arguments:?}");
        let is_bad = |one: char| one.is_control() && one != '\n';
        assert!(!outcome.err.contains(is_bad), "{arguments:?}: {outcome:?}");
        assert!(!outcome.out.contains(is_bad), "{arguments:?}: {outcome:?}");
    }
    // A message, and who answers a request badly.
    stage.good(&["send", "q", evil, "--create", "-H", &format!("k:{evil}")]).await;
    let shown = stage.good(&["peek", "q"]).await;
    assert!(!shown.trim_end().contains(char::is_control), "{shown:?}");
    assert!(shown.contains(r"\x1b]0;owned\x07\x9b2J"), "{shown}");
    let json = stage.good(&["peek", "q", "--json"]).await;
    assert!(!json.trim_end().contains(char::is_control), "{json:?}");
    assert!(stage.good(&["recv", "q", "--raw"]).await.contains(evil), "as it was sent");
}

#[tokio::test]
async fn help_documents_the_exit_codes() {
    let outcome = bus(&["--help"]).await;
    outcome.check(DONE, &["Exit codes:", " 3  nothing there", " 6  no room", "bench"]);
    assert!(outcome.err.is_empty(), "{outcome:?}");
}

#[tokio::test]
async fn missing_broker_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("local:{}", directory.path().join("none.sock").display());
    for arguments in [["ping", "--json"], ["pub", "a"], ["ls", "-q"]] {
        let outcome = bus(&[&["--url", url.as_str()], &arguments[..]].concat()).await;
        outcome.check(UNREACHABLE, &[&format!("bus serve --listen {url}")]);
    }
    // Port 1 is nobody's.
    let outcome = bus(&["--url", "tcp://127.0.0.1:1", "ping"]).await;
    outcome.check(UNREACHABLE, &["tcp://127.0.0.1:1", "nothing listens there"]);
    assert!(!outcome.err.contains("bus serve"), "nobody can start it from here: {outcome:?}");
}

#[tokio::test]
async fn unknown_names_are_told_with_near_ones() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    for verb in ["recv", "peek", "stat", "purge", "rm", "retire"] {
        stage.bus(&[verb, "jbos"]).await.check(NOTHING, &["`jbos`", "did you mean `jobs`?"]);
    }
    stage.bus(&["send", "jbos", "x"]).await.check(NOTHING, &["did you mean `jobs`?", "--create"]);
    let peek = stage.bus(&["peek", "other"]).await;
    assert!(!peek.err.contains("--create"), "it has no such flag: {peek:?}");
    stage.bus(&["set", "jbos", "--count", "3"]).await.check(NOTHING, &["`jobs`"]);
    stage.bus(&["ls", "--services"]).await.check(DONE, &["there is nothing of that here now"]);
    let _group = stage.start(&["sub", ">", "--group", "all"]);
    stage.until_client("bus sub", 1).await;
    stage.bus(&["ls", "zz.*"]).await.check(NOTHING, &["`zz.*`"]);
    stage.bus(&["request", "nobody", "x"]).await.check(UNREACHABLE, &["`nobody`"]);
    stage.bus(&["create", "jobs"]).await.check(CONFLICT, &["`jobs` is there already"]);
}

#[tokio::test]
async fn bad_names_are_told_with_the_character() {
    let stage = Stage::new().await;
    for arguments in [
        &["send", "a b", "x"][..],
        &["pub", "a b", "x"],
        &["sub", "a b"],
        &["recv", "a b"],
        &["request", "a b", "x"],
        &["create", "a b"],
        &["ls", "a b"],
        &["rm", "a b"],
    ] {
        stage.bus(arguments).await.check(USAGE, &["`a b`", "' '"]);
    }
    stage.bus(&["pub", "a.*", "x"]).await.check(USAGE, &["wildcards are for subscriptions"]);
}

#[tokio::test]
async fn bodies_that_cannot_be_sent_are_told() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs"]).await;
    let missing = stage.directory.path().join("missing").display().to_string();
    for verb in ["pub", "send", "request"] {
        let outcome = stage.bus(&[verb, "jobs", "--file", &missing]).await;
        outcome.check(FILE, &["cannot read the body from", &missing]);
    }
    let big = stage.directory.path().join("big");
    File::create(&big).and_then(|file| file.set_len((64 << 20) + 1)).expect("a file");
    let big = big.display().to_string();
    for verb in ["pub", "send"] {
        let outcome = stage.bus(&[verb, "jobs", "--file", &big]).await;
        outcome.check(FULL, &[&big, "67108864"]);
    }
    stage.bus(&["peek", "jobs"]).await.check(NOTHING, &[]);
}

#[tokio::test]
async fn full_queue_is_an_answer() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs", "--count", "1"]).await;
    stage.good(&["send", "jobs", "x", "--try"]).await;
    stage.bus(&["send", "jobs", "y", "--try"]).await.check(FULL, &["`jobs` is full", "1 of 1"]);
    stage.bus(&["send", "jobs", "y", "--timeout", "50ms"]).await.check(TIMED_OUT, &["50ms"]);
    stage.bus(&["send", "jobs", "y", "--timeout", "0"]).await.check(TIMED_OUT, &["`jobs`"]);
    stage.bus(&["recv", "jobs", "7", "--wait", "50ms"]).await.check(TIMED_OUT, &["`7`", "50ms"]);
    assert_eq!(stage.good(&["recv", "jobs", "--raw"]).await, "x\n");
    stage.bus(&["recv", "jobs", "--wait", "0"]).await.check(NOTHING, &[]);
}

#[tokio::test]
async fn anonymous_peer_has_no_right() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs", "--mode", "0700"]).await;
    stage.good(&["create", "open", "--mode", "0702"]).await;
    for verb in [&["send", "jobs", "x"][..], &["recv", "jobs"], &["purge", "jobs"], &["rm", "open"]]
    {
        let outcome = stage.bus(&[&["--url", stage.tcp.as_str()], verb].concat()).await;
        outcome.check(DENIED, &["(anonymous) may not", "mode 070"]);
    }
    stage.good(&["--url", &stage.tcp, "send", "open", "x"]).await;
    assert_eq!(stage.good(&["recv", "open", "--raw"]).await, "x\n");
}

#[tokio::test]
async fn other_user_has_no_right() {
    let stage = Stage::new().await;
    stage.good(&["create", "jobs", "--mode", "0700"]).await;
    if let Err(reason) = check_as_nobody(&stage).await {
        eprintln!("skipped: {reason}");
    }
}

/// Runs the command as another user, which only root can.
async fn check_as_nobody(stage: &Stage) -> Result<(), &'static str> {
    let nobody = Nobody::new(stage).await?;
    for arguments in
        [&["send", "jobs", "x"][..], &["recv", "jobs"], &["set", "jobs", "--count", "1"]]
    {
        let outcome = nobody.bus(arguments).await;
        outcome.check(DENIED, &["uid 65534", "may not", "`jobs`", "mode 0700"]);
    }
    nobody.bus(&["ping"]).await.check(DONE, &[]);
    Ok(())
}

#[tokio::test]
async fn shapes_that_no_queue_can_have_are_told_by_their_flag() {
    let stage = Stage::new().await;
    for (flag, value, word) in [
        ("--bytes", "63", "64 B to"),
        ("--count", "0", "1.."),
        ("--deliveries", "0", "1.."),
        ("--lease", "0", "1ms"),
        ("--lease", "25h", "1ms and 1day"),
        ("--dead-letter", "jobs", "its own queue for dead letters"),
    ] {
        let outcome = stage.bus(&["create", "jobs", flag, value]).await;
        outcome.check(USAGE, &[flag.trim_start_matches("--dead-letter"), word]);
    }
    stage.good(&["create", "jobs"]).await;
    let outcome = stage.bus(&["set", "jobs", "--dead-letter", "jobs"]).await;
    outcome.check(USAGE, &["`jobs` cannot be its own"]);
    stage.bus(&["bench", "--seconds", "0"]).await.check(USAGE, &["--seconds", "100ms"]);
}

#[tokio::test]
async fn url_from_the_environment_is_blamed_on_it() {
    let mut wrong = command();
    wrong.args(["ls"]).env("BUS_URL", "bogus:x");
    run(wrong, b"").await.check(USAGE, &["BUS_URL", "bogus"]);
    let mut other = command();
    other.args(["--url", "bogus:x", "ls"]).env("BUS_URL", "local:/nowhere");
    let outcome = run(other, b"").await;
    assert!(!outcome.check(USAGE, &["bogus"]).err.contains("BUS_URL"), "{outcome:?}");
}
