//! `docs/configuration.md` has each key with its default, as the code has them. `UPDATE=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::super::policy::ALLOW_KEYS;
use super::super::users::USER_KEYS;
use super::super::{bridge, tls};
use super::*;

/// A table of the file: its head, its keys, and what is said before them.
struct Section {
    head: &'static str,
    keys: &'static [&'static str],
    words: &'static str,
    /// What each key is, and what it is without being said where the file of defaults does not tell.
    rows: &'static [(&'static str, &'static str, &'static str)],
}

const SECTIONS: &[Section] = &[
    Section {
        head: "At the top",
        keys: TOP_KEYS,
        words: "Before any `[table]`.",
        rows: &[
            ("name", "what the broker is called, for people", ""),
            (
                "listen",
                "URLs of its listeners: `local:`, `local:PATH`, `tcp://HOST:PORT`, `tls://HOST:PORT`; none is `local:`",
                "",
            ),
            (
                "insecure",
                "whether `tcp://` may listen on other addresses than loopback although nobody has to say who he is",
                "",
            ),
            (
                "grace_max",
                "how long a session may outlive its connection, at most `5m`; a client asks for less",
                "",
            ),
            ("shared_memory", "whether clients of this machine may have lanes", ""),
            ("waiting", "how it waits for what comes over lanes: `park`, `adaptive` or `spin`", ""),
            ("throttle", "whether who connects again and again has to wait", ""),
            (
                "metrics",
                "address and port for the live page, metrics and health over HTTP, such as `127.0.0.1:9464`",
                "none",
            ),
            ("metrics_open", "whether that may be another address than loopback", ""),
            ("tls", "see `[tls]`", "none"),
            ("defaults", "see `[defaults]`", ""),
            ("limits", "see `[limits]`", ""),
            ("user", "see `[[user]]`", "none"),
            ("allow", "see `[[allow]]`", "none"),
            ("bridge", "see `[[bridge]]`", "none"),
        ],
    },
    Section {
        head: "[tls]",
        keys: tls::KEYS,
        words: "What `tls://` listeners show. Files are read again at SIGHUP.",
        rows: &[
            (
                "certificate",
                "file with the broker's certificate, and those between it and its authority (PEM)",
                "has to be said",
            ),
            ("key", "file with its key (PEM)", "has to be said"),
            (
                "client_authority",
                "file with the authorities that clients' certificates come from",
                "clients show none",
            ),
            (
                "client_certificates",
                "whether clients are asked for one: `none`, `optional` or `required`",
                "`none`",
            ),
        ],
    },
    Section {
        head: "[defaults]",
        keys: DEFAULTS_KEYS,
        words: "Modes of what is made without one: octal bits for owner, group and others; read is to receive or subscribe, write to send, publish or call, execute to administer, and to serve a service.",
        rows: &[
            ("queue_mode", "of queues", ""),
            ("topic_mode", "of topics", ""),
            ("service_mode", "of services", ""),
        ],
    },
    Section {
        head: "[limits]",
        keys: LIMITS_KEYS,
        words: "How much there may be at a time. What is over a limit is refused as `quota-exceeded`.",
        rows: &[
            ("sessions", "sessions", ""),
            (
                "sessions_per_user",
                "of one user or address; root and the broker's own user aside",
                "",
            ),
            ("queues", "queues", ""),
            ("topics", "topics", ""),
            ("subscriptions", "subscriptions", ""),
            ("services", "services", ""),
            ("objects_per_user", "queues and topics of one user", ""),
            ("lanes", "clients on lanes", ""),
            ("lanes_per_user", "of one user", ""),
            ("parked_bytes", "of sends that wait for room, of one session", ""),
        ],
    },
    Section {
        head: "[[user]]",
        keys: USER_KEYS,
        words: "Who can show with a token or a certificate who it is. `bus token NAME` makes one.",
        rows: &[
            ("name", "as it is shown, and named in `[[allow]]`", "has to be said"),
            ("token", "`sha256:...`, the hash of its token; or a list of them", "none"),
            (
                "certificate",
                "a name in its client certificate, or `sha256:FINGERPRINT`; or a list",
                "none",
            ),
            ("uid", "counts as this owner", "as others do"),
            ("groups", "counts as of these groups", "none"),
            ("admin", "may do everything", "`false`"),
        ],
    },
    Section {
        head: "[[allow]]",
        keys: ALLOW_KEYS,
        words: "As soon as there is one, only what some of them grants is allowed, and modes count beside it. Each right is a list of name patterns.",
        rows: &[
            (
                "user",
                "who: a user's name, `uid:1000`, `group:NAME`, `anonymous` or `*`; or a list",
                "has to be said",
            ),
            ("publish", "may publish on these topics", "none"),
            ("subscribe", "may subscribe to these", "none"),
            ("send", "may send to these queues", "none"),
            ("receive", "may receive from these", "none"),
            ("call", "may call these services", "none"),
            ("serve", "may serve these", "none"),
            ("create", "may make what is named so", "none"),
            ("administer", "may change and remove what is named so", "none"),
            ("bridge", "may bridge it", "none"),
        ],
    },
    Section {
        head: "[[bridge]]",
        keys: bridge::BRIDGE_KEYS,
        words: "A bridge to another broker. The flags of `bus bridge add` have the same names.",
        rows: &[
            ("name", "what it is called", "has to be said"),
            ("url", "where the other broker is", "has to be said"),
            ("out", "topics that go there: a list of patterns", "none"),
            ("in", "topics that come from there", "none"),
            ("out_queues", "queues of this broker that are used there: a list of names", "none"),
            ("in_queues", "queues of that one that are used here", "none"),
            (
                "queue_mode",
                "mode of bridged queues where they do not live",
                "that of the defaults there",
            ),
            (
                "local_prefix",
                "taken off names on the way out, put before them on the way in",
                "none",
            ),
            ("remote_prefix", "put before names on the way out, taken off on the way in", "none"),
            ("token_file", "file with the token that is shown there", "none"),
            (
                "authority",
                "file with the authorities of the other broker's certificate",
                "those of the system",
            ),
            ("certificate", "file with the certificate that is shown there", "none"),
            ("key", "file with its key", "none"),
            (
                "server_name",
                "the name that must stand in the other broker's certificate",
                "the URL's host",
            ),
            ("insecure", "whether the token may go where others can read it", "`false`"),
            ("spool", "bytes that wait for the other broker, in all, in each direction", ""),
            ("spool_each", "of one publisher and topic", ""),
            ("spool_each_messages", "of one publisher and topic, in messages", ""),
            (
                "spool_full",
                "`hold`: publishers wait; `drop-oldest` and `refuse`: lost and counted",
                "",
            ),
            (
                "linger",
                "how long what the other broker wanted is kept for it while it is away, at most `1h`",
                "",
            ),
            (
                "out_services",
                "services of this broker that are called there: a list of patterns",
                "none",
            ),
            ("in_services", "services of that one that are called here", "none"),
            (
                "service_mode",
                "mode of bridged services where they are not served",
                "that of the defaults there",
            ),
        ],
    },
];

/// What a written file of defaults says, by table and key.
fn defaults() -> BTreeMap<(String, String), String> {
    let bridge = crate::bridge::BridgeConfig::new("b", "tcp://h:1".parse().expect("a URL"));
    let config = BrokerConfig::default();
    let text = render_config(&config.bridge(bridge.expect("a name")));
    let mut head = SECTIONS[0].head.to_owned();
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
    for section in SECTIONS {
        let (head, words) = (section.head, section.words);
        let shown = if head.starts_with('[') { format!("`{head}`") } else { head.into() };
        let _ = write!(
            page,
            "\n## {shown}\n\n{words}\n\n| key | what | without it |\n| --- | --- | --- |\n"
        );
        for (key, what, without) in section.rows {
            let default = defaults.get(&(head.to_owned(), (*key).to_owned()));
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
    for section in SECTIONS {
        let told: Vec<&str> = section.rows.iter().map(|(key, ..)| *key).collect();
        assert_eq!(told, section.keys, "of {}", section.head);
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
