//! `docs/configuration.md` has each key with its default, as the code has them. `UPDATE=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::super::policy::ALLOW_KEYS;
use super::super::users::USER_KEYS;
use super::super::{bridge, tls};
use super::*;

/// Of each table its head, what is said before its keys, and then a line for each of them: the key, what it is, and what
/// it is without being said where the file of defaults does not tell.
const TEXT: &str = include_str!("reference.txt");

/// The keys of each table, as the code has them.
const KEYS: &[&[&str]] =
    &[TOP_KEYS, tls::KEYS, DEFAULTS_KEYS, LIMITS_KEYS, USER_KEYS, ALLOW_KEYS, bridge::BRIDGE_KEYS];

/// A table of the file.
struct Section<'a> {
    head: &'a str,
    words: &'a str,
    rows: Vec<[&'a str; 3]>,
}

fn sections() -> Vec<Section<'static>> {
    let parts = TEXT.strip_prefix("# ").expect("it begins with a head").split("\n# ");
    let section = |part: &'static str| {
        let mut lines = part.lines().filter(|line| !line.is_empty());
        let (head, words) = (lines.next().expect("a head"), lines.next().expect("words"));
        let row = |line: &'static str| {
            let mut cells = line.split(" |").map(str::trim);
            [(); 3].map(|()| cells.next().expect("three cells"))
        };
        Section { head, words, rows: lines.map(row).collect() }
    };
    parts.map(section).collect()
}

/// What a written file of defaults says, by table and key.
fn defaults() -> BTreeMap<(String, String), String> {
    let bridge = crate::bridge::BridgeConfig::new("b", "tcp://h:1".parse().expect("a URL"));
    let config = BrokerConfig::default();
    let text = render_config(&config.bridge(bridge.expect("a name")));
    let mut head = sections()[0].head.to_owned();
    let mut all = BTreeMap::new();
    for line in text.lines() {
        match line.split_once(" = ") {
            _ if line.starts_with('[') => head = line.to_owned(),
            Some((key, value)) => {
                all.insert((head.clone(), key.to_owned()), format!("`{value}`"));
            }
            None => {}
        }
    }
    all
}

fn page() -> String {
    let defaults = defaults();
    let mut page = "# Configuration\n\nAll keys of the broker's file, `bus serve --config FILE` (`BUS_CONFIG`). It is TOML. A file counts wholly or not at all: a mistake is named with its line, its key, what is \
        expected and what was found. `bus serve --check` shows what counts without starting, and SIGHUP makes a running broker read it again.\n\n\
        Durations are written as `\"30s\"`, sizes as `\"256MiB\"`, modes as `\"0700\"`, patterns as `\"plant.*.news\"` and `\"plant.>\"`.\n"
        .to_owned();
    for section in sections() {
        let (head, words) = (section.head, section.words);
        let shown = if head.starts_with('[') { format!("`{head}`") } else { head.into() };
        let _ = write!(
            page,
            "\n## {shown}\n\n{words}\n\n| key | what | without it |\n| --- | --- | --- |\n"
        );
        for [key, what, without] in section.rows {
            let default = defaults.get(&(head.to_owned(), key.to_owned()));
            let without = match (without.is_empty(), default) {
                (true, Some(default)) => default,
                (true, None) => "as its keys say",
                (false, _) => without,
            };
            let _ = writeln!(page, "| `{key}` | {what} | {without} |");
        }
    }
    page
}

#[test]
fn the_page_has_each_key_with_its_default() {
    let sections = sections();
    assert_eq!(sections.len(), KEYS.len());
    for (section, keys) in sections.iter().zip(KEYS) {
        let told: Vec<&str> = section.rows.iter().map(|[key, ..]| *key).collect();
        assert_eq!(told, *keys, "of {}", section.head);
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, page()).expect("it can be written");
    }
    let found = std::fs::read_to_string(&file).expect("it is there");
    assert!(
        found == page(),
        "docs/configuration.md is not what the code says: UPDATE=1 cargo test -p bus-broker --lib reference"
    );
}
