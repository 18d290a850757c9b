//! `[[bridge]]`: every key, each mistake by its line, and tables that are damaged at random.

use std::path::PathBuf;

use bus_core::Token;
use bus_core::bridge::SpoolPolicy;
use bus_core::transport::TlsClientFiles;

use crate::bridge::BridgeConfig;

use super::access::damaged_at_random;
use super::*;

const GOOD: &str = "name = \"plant\"\n\
    [[bridge]]\nname = \"site\"\nurl = \"tls://site.example:4550\"\nout = [\"news.>\", \"state.*\"]\nin = \"down.>\"\n\
    local_prefix = \"here\"\nremote_prefix = \"plant.a\"\ntoken_file = \"/etc/a \\\"b\\\".token\"\nauthority = \"/etc/ca.pem\"\n\
    certificate = \"/etc/c.pem\"\nkey = \"/etc/c.key\"\nserver_name = \"site\"\ninsecure = true\nspool = \"1MiB\"\n\
    spool_each = \"64KiB\"\nspool_each_messages = 1000\nspool_full = \"drop-oldest\"\nlinger = \"1m30s\"\n\
    [[bridge]]\nname = \"small\"\nurl = \"tcp://127.0.0.1:4551\"\nin = [\">\"]\n";

fn url(text: &str) -> BusUrl {
    text.parse().expect("a URL")
}

fn pattern(text: &str) -> bus_core::Pattern {
    bus_core::Pattern::new(text).expect("a pattern")
}

#[test]
fn every_key_of_a_bridge_is_read_and_written() {
    let config = parse_config(GOOD).expect("a good file");
    let site = BridgeConfig::new("site", url("tls://site.example:4550")).expect("a name");
    let site = site.outgoing(pattern("news.>")).outgoing(pattern("state.*"));
    let site = site.incoming(pattern("down.>")).prefixes("here", "plant.a");
    let path = |text: &str| PathBuf::from(text);
    let site = site.token_file("/etc/a \"b\".token").tls(TlsClientFiles {
        authority: Some(path("/etc/ca.pem")),
        certificate: Some((path("/etc/c.pem"), path("/etc/c.key"))),
        server_name: Some("site".into()),
    });
    let site = site.insecure(true).spool(Some(64 << 10), Some(1000), Some(1 << 20));
    let site = site.policy(SpoolPolicy::DropOldest).linger(Duration::from_secs(90));
    let small = BridgeConfig::new("small", url("tcp://127.0.0.1:4551")).expect("a name");
    assert_eq!(config.bridges, [site, small.incoming(pattern(">"))]);
    assert_eq!(parse_config(&render_config(&config)), Ok(config));
}

#[test]
fn the_extremes_of_a_bridge_are_written_as_they_are_read() {
    let extreme = |bytes: u64, linger: Duration, policy| {
        let bridge = BridgeConfig::new("b", url("tcp://h:1")).expect("a name");
        let bridge = bridge.outgoing(pattern(">")).policy(policy).linger(linger);
        bridge.spool(Some(bytes), Some(1), Some(bytes))
    };
    for bridge in [
        extreme(64 << 10, Duration::ZERO, SpoolPolicy::HoldBack),
        extreme(u64::MAX, Duration::from_nanos(1), SpoolPolicy::Refuse),
        extreme((1 << 53) + 1, Duration::from_secs(3600), SpoolPolicy::DropOldest),
    ] {
        let config = parse_config(&render_bridge(&bridge)).expect("a good file");
        assert_eq!(config.bridges, [bridge]);
    }
}

#[test]
fn a_token_that_a_program_gave_is_not_written() {
    let token = Token::new("bus_0123456789abcdef0123456789abcdef").expect("a token");
    let bridge = BridgeConfig::new("b", url("tcp://h:1")).expect("a name");
    let bridge = bridge.outgoing(pattern(">")).token(token);
    let shown = format!("{} {bridge:?}", render_bridge(&bridge));
    assert!(!shown.contains("0123456789"), "{shown}");
}

/// A file must be refused, at this line and with these words.
fn check(file: &str, line: usize, parts: &[&str]) {
    let error = parse_config(file).expect_err(file);
    assert_eq!(error.line(), line, "{file}: {error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{file}: {error} lacks `{part}`");
    }
}

#[test]
fn mistakes_of_bridges_are_named_with_their_line() {
    let with = |more: &str| {
        format!("[[bridge]]\nname = \"b\"\nurl = \"tcp://h:1\"\nout = [\"a.>\"]\n{more}")
    };
    check("[bridge]\nname = \"b\"", 1, &["`bridge`", "[[bridge]]", "a table"]);
    check("bridge = 3", 1, &["`bridge`", "[[bridge]]", "the integer 3"]);
    check(&with("remote = 1"), 5, &["`remote`", "[[bridge]]"]);
    check(&with("spol = \"1MiB\""), 5, &["`spol`", "[[bridge]]", "`spool`?"]);
    check(&with("queues = 3"), 5, &["`queues`", "under [limits]"]);
    check("spool_full = \"hold\"", 1, &["`spool_full`", "under a [[bridge]]"]);
    check("[[bridge]]\nurl = \"tcp://h:1\"\nout = \"a\"", 1, &["no `name`"]);
    check("\n[[bridge]]\nname = \"b\"\nout = \"a\"", 2, &["`b`", "no `url`"]);
    check("[[bridge]]\nname = \"a b\"\nurl = \"tcp://h:1\"\nout = \"a\"", 2, &["`a b`"]);
    check("[[bridge]]\nname = \"b\"\nurl = \"nats://h:1\"", 3, &["`bridge.url`", "`nats`"]);
    check("[[bridge]]\nname = \"b\"\nurl = \"tcp://h:1\"", 1, &["`b`", "nothing goes over it"]);
    check(&with("certificate = \"a\""), 5, &["`b`", "both `certificate` and `key`"]);
    check(&with("key = \"a\""), 5, &["`b`", "both `certificate` and `key`"]);
    check(&with("in = [\"x.*\",\n\"x.y\"]"), 5, &["`b`: `in`", "`x.*` and `x.y`", "in common"]);
    check(&with("in = \"$bus.>\""), 5, &["`b`: `in`", "`$bus.` belongs to each broker"]);
    check(&with("local_prefix = \"$bus\""), 5, &["`local_prefix`", "`$bus.` belongs to each"]);
    check(&with("remote_prefix = \"a..b\""), 5, &["`b`: `remote_prefix`", "`a..b`"]);
    check(&with("in = [\"x\",\n\"a.>.b\"]"), 6, &["`bridge.in`", "`a.>.b`"]);
    check(&with("in = 3"), 5, &["`bridge.in`", "the integer 3"]);
    check(&with("in = [\"x\", 7]"), 5, &["`bridge.in`", "the integer 7"]);
    check(&with("insecure = 1"), 5, &["`bridge.insecure`", "true or false"]);
    check(&with("token_file = 1"), 5, &["`bridge.token_file`", "the path of a file"]);
    check(&with("spool = \"many\""), 5, &["`bridge.spool`", "a size"]);
    check(&with("spool_each = 5"), 5, &["`bridge.spool_each`", "a size"]);
    check(&with("spool_each_messages = 0"), 5, &["`bridge.spool_each_messages`", "above 0"]);
    check(
        &with("spool_full = \"drop\""),
        5,
        &["`bridge.spool_full`", "\"drop-oldest\"", "\"drop\""],
    );
    check(&with("linger = \"soon\""), 5, &["`bridge.linger`", "a duration"]);
    check(&with(&with("")), 5, &["a bridge `b` above"]);
    let many: Vec<String> = (0..2000).map(|number| format!("\"x{number}\"")).collect();
    check(&with(&format!("in = [{}]", many.join(", "))), 5, &["`b`", "2000 patterns", "1024"]);
}

#[test]
fn settings_that_cannot_work_are_refused_by_their_key() {
    let at = |url: &str, more: &str| {
        format!("[[bridge]]\nname = \"b\"\nurl = \"{url}\"\nout = [\"a.>\"]\n{more}")
    };
    let with = |more: &str| at("tcp://h:1", more);
    check(&at("mem:x", ""), 3, &["`b`: `url`: mem:x", "tcp://, tls:// or local:"]);
    for key in ["authority", "server_name"] {
        let told = format!("`b`: `{key}` is for tls:// only, and `url` is tcp://h:1");
        check(&with(&format!("{key} = \"a\"")), 5, &[&told]);
    }
    let pair = "key = \"k\"\ncertificate = \"c\"";
    check(&with(pair), 6, &["`certificate` is for tls:// only"]);
    check(&at("tls://h:1", "server_name = \"a b\""), 5, &["`server_name`: `a b` is not a name"]);
    check(&at("tcp://192.0.2.1:1", "token_file = \"t\""), 5, &["`token_file`", "with `insecure`"]);
    check(&with("spool = \"0 B\""), 5, &["`spool` is 0 B", "64.0 KiB at least"]);
    check(&with("spool_each = \"1KiB\""), 5, &["`spool_each` is 1.0 KiB", "64.0 KiB at least"]);
    let more = "spool = \"1MiB\"\nspool_each = \"2MiB\"";
    check(&with(more), 6, &["`spool_each` is 2.0 MiB", "`spool`, which is for all", "1.0 MiB"]);
    check(&with("linger = \"99h\""), 5, &["`linger` is 4days 3h", "1h at most"]);
    let long = ["a"; 16].join(".");
    check(&with(&format!("local_prefix = \"{long}\"")), 4, &["`out` behind `local_prefix`"]);
    let both = "out_queues = \"jobs\"\nin_queues = \"jobs\"";
    check(&with(both), 1, &["`jobs` is in `out_queues` and in `in_queues`"]);
    // The control: each of them in its bounds.
    let good = "token_file = \"t\"\nspool = \"64KiB\"\nlinger = \"1h\"\nlocal_prefix = \"a.b\"";
    let read = parse_config(&with(good)).expect("a good file").bridges.remove(0);
    assert_eq!((read.source_bytes, read.total_bytes), (64 << 10, 64 << 10));
    parse_config(&at("tls://h:1", "server_name = \"a.b\"\nauthority = \"a\"")).expect("good");
    parse_config(&at("tcp://127.0.0.1:1", "token_file = \"t\"")).expect("good");
}

#[test]
fn bridges_damaged_at_random_are_refused_or_written_as_they_are_read() {
    damaged_at_random(
        GOOD,
        &["bridge", "out", "in", "$bus", "tls", "1e9", "EiB", "y", "/"],
        |config| {
            let shown = render_config(config);
            assert_eq!(
                parse_config(&shown).map(|again| again.bridges),
                Ok(config.bridges.clone()),
                "{shown}"
            );
        },
    );
}
