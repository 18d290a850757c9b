//! `[[bridge]]`: other brokers, and what goes there and comes from there.
//!
//! It says where files lie; whether they are any good is found out when the bridge begins.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::path::PathBuf;

use bus_core::bridge::SpoolPolicy;
use bus_core::transport::TlsClientFiles;
use bus_core::{BusUrl, Name, Pattern};
use toml::de::DeTable;

use crate::bridge::{BridgeConfig, BridgeFault, InvalidBridge, Setting, Words};

use super::{ConfigError, Entry, Reader, Wrong, describe, parse_config};

/// Keys of a `[[bridge]]`.
pub(super) const BRIDGE_KEYS: &[&str] = Setting::KEYS;

/// So many keys that do not belong somewhere are named, and so much of each.
const OTHERS_SHOWN_MAX: usize = 8;
const NAME_SHOWN_MAX: usize = 40;

/// What a `[[bridge]]` says, as far as it was read.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    url: Option<BusUrl>,
    outgoing: Vec<Pattern>,
    incoming: Vec<Pattern>,
    outgoing_queues: Vec<Name>,
    incoming_queues: Vec<Name>,
    queue_mode: Option<u16>,
    prefixes: (String, String),
    token_file: Option<PathBuf>,
    tls: TlsClientFiles,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    insecure: bool,
    spool: [Option<u64>; 3],
    policy: Option<SpoolPolicy>,
    linger: Option<std::time::Duration>,
    services: [Vec<Pattern>; 2],
    service_mode: Option<u16>,
}

/// Parses a text with one `[[bridge]]` and nothing else: what else stands in it would not count, and
/// whoever wrote it should know.
///
/// # Errors
/// The first mistake in it, or what does not belong there.
pub(crate) fn parse_bridge(text: &str) -> Result<BridgeConfig, ConfigError> {
    // What is no TOML is refused below, with its place.
    if let Ok(document) = DeTable::parse(text) {
        let others = document.get_ref().iter().map(|(key, _)| key);
        let mut others: Vec<_> = others.filter(|key| key.get_ref() != "bridge").collect();
        others.sort_by_key(|key| key.span().start);
        if let Some(first) = others.first() {
            let shown = others.iter().take(OTHERS_SHOWN_MAX);
            let shown = shown.map(|key| key.get_ref().chars().take(NAME_SHOWN_MAX).collect());
            let shown: Vec<String> = shown.collect();
            let reason = format!(
                "only one [[bridge]] is added, nothing else: take out `{}`",
                shown.join("`, `")
            );
            return Err(ConfigError::at(text, first.span().start, reason));
        }
    }
    let mut bridges = parse_config(text)?.bridges;
    match (bridges.pop(), bridges.len()) {
        (Some(bridge), 0) => Ok(bridge),
        (_, more) => {
            let count = if more == 0 { "none" } else { "more" };
            let reason = format!("exactly one [[bridge]] is added, and here are {count}");
            Err(ConfigError::at(text, 0, reason))
        }
    }
}

/// Reads all `[[bridge]]`.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Result<Vec<BridgeConfig>, Wrong> {
    let mut bridges: Vec<BridgeConfig> = Vec::new();
    for (table, offset) in entry.tables()? {
        let (mut draft, mut places) = (Draft::default(), BTreeMap::new());
        let mistakes = reader.mistakes;
        reader.table(table, "bridge", BRIDGE_KEYS, |_, entry| {
            places.insert(entry.key.to_owned(), entry.span.start);
            draft.take(entry)
        });
        if reader.mistakes != mistakes {
            continue;
        }
        match draft.finish() {
            Ok(bridge) if bridges.iter().any(|other| other.name() == bridge.name()) => {
                let name = bridge.name();
                reader.note(offset, format!("there is a bridge `{name}` above already"));
            }
            Ok(bridge) => bridges.push(bridge),
            Err((setting, text)) => {
                let key = setting.map(|setting| setting.word(Words::File));
                let place = key.and_then(|key| places.get(key));
                reader.note(*place.unwrap_or(&offset), text);
            }
        }
    }
    Ok(bridges)
}

impl Draft {
    fn take(&mut self, entry: &Entry<'_>) -> Result<(), Wrong> {
        const PATH: &str = "the path of a file";
        let path = || entry.string(PATH).map(|path| Some(PathBuf::from(path)));
        match entry.key {
            "name" => self.name = Some(entry.string("a name")?.to_owned()),
            "url" => {
                let url = entry.string("a URL such as \"tls://host:4550\"")?.parse();
                self.url =
                    Some(url.or_else(|error| entry.wrong(format!("`bridge.url`: {error}")))?);
            }
            "out_services" => self.services[0] = patterns(entry)?,
            "in_services" => self.services[1] = patterns(entry)?,
            "service_mode" => self.service_mode = Some(entry.mode()?),
            "out" => self.outgoing = patterns(entry)?,
            "in" => self.incoming = patterns(entry)?,
            "out_queues" => self.outgoing_queues = names(entry)?,
            "in_queues" => self.incoming_queues = names(entry)?,
            "queue_mode" => self.queue_mode = Some(entry.mode()?),
            "local_prefix" => self.prefixes.0 = entry.string("a name")?.to_owned(),
            "remote_prefix" => self.prefixes.1 = entry.string("a name")?.to_owned(),
            "token_file" => self.token_file = path()?,
            "authority" => self.tls.authority = path()?,
            "certificate" => self.certificate = path()?,
            "key" => self.key = path()?,
            "server_name" => self.tls.server_name = Some(entry.string("a name")?.to_owned()),
            "insecure" => self.insecure = entry.boolean()?,
            "spool" => self.spool[2] = Some(entry.bytes()?),
            "spool_each" => self.spool[0] = Some(entry.bytes()?),
            "spool_each_messages" => self.spool[1] = Some(entry.count()? as u64),
            "spool_full" => self.policy = Some(policy(entry)?),
            _ => self.linger = Some(entry.duration()?),
        }
        Ok(())
    }

    /// The bridge, or what is wrong and with which setting, if it is one.
    fn finish(self) -> Result<BridgeConfig, (Option<Setting>, String)> {
        let wrong = |error: InvalidBridge| (error.setting(), error.to_string());
        let Some(name) = self.name else {
            return Err((None, "this [[bridge]] has no `name`".into()));
        };
        let Some(url) = self.url else {
            return Err((None, format!("the bridge `{name}` has no `url`: where does it go?")));
        };
        let bridge = BridgeConfig::new(&name, url).map_err(wrong)?;
        let half = |setting| wrong(bridge.invalid(BridgeFault::HalfPair(setting)));
        let mut tls = self.tls;
        tls.certificate = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(half(Setting::Certificate)),
            (None, Some(_)) => return Err(half(Setting::Key)),
        };
        let mut bridge = bridge.prefixes(self.prefixes.0, self.prefixes.1).tls(tls);
        bridge = self.outgoing.into_iter().fold(bridge, BridgeConfig::outgoing);
        bridge = self.incoming.into_iter().fold(bridge, BridgeConfig::incoming);
        let [out, incoming] = self.services;
        bridge = out.into_iter().fold(bridge, BridgeConfig::services_out);
        bridge = incoming.into_iter().fold(bridge, BridgeConfig::services_in);
        if let Some(mode) = self.service_mode {
            bridge = bridge.service_mode(mode);
        }
        bridge = self.outgoing_queues.into_iter().fold(bridge, BridgeConfig::outgoing_queue);
        bridge = self.incoming_queues.into_iter().fold(bridge, BridgeConfig::incoming_queue);
        bridge = bridge.insecure(self.insecure);
        if let Some(mode) = self.queue_mode {
            bridge = bridge.queue_mode(mode);
        }
        if let Some(path) = self.token_file {
            bridge = bridge.token_file(path);
        }
        let [each, messages, all] = self.spool;
        bridge = bridge.spool(each, messages, all);
        if let Some(policy) = self.policy {
            bridge = bridge.policy(policy);
        }
        if let Some(linger) = self.linger {
            bridge = bridge.linger(linger);
        }
        bridge.check().map_err(wrong)?;
        Ok(bridge)
    }
}

/// Writes a bridge as the `[[bridge]]` that is read as the same, but for a token that a program gave
/// it: a file has the path of one only.
pub fn render_bridge(bridge: &BridgeConfig) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let quoted_path = |path: &PathBuf| quoted(&path.to_string_lossy());
    let patterns = |patterns: &[Pattern]| {
        let all: Vec<String> = patterns.iter().map(|pattern| quoted(pattern.as_str())).collect();
        format!("[{}]", all.join(", "))
    };
    let mut out = String::from("[[bridge]]\n");
    let mut line = |key: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{key} = {value}");
    };
    line("name", quoted(bridge.name.as_str()));
    line("url", quoted(&bridge.url.to_string()));
    line("out", patterns(&bridge.outgoing));
    line("in", patterns(&bridge.incoming));
    let names = |names: &[Name]| {
        let all: Vec<String> = names.iter().map(|name| quoted(name.as_str())).collect();
        format!("[{}]", all.join(", "))
    };
    for (key, queues) in
        [("out_queues", &bridge.outgoing_queues), ("in_queues", &bridge.incoming_queues)]
    {
        if !queues.is_empty() {
            line(key, names(queues));
        }
    }
    bridge.queue_mode.iter().for_each(|mode| line("queue_mode", format!("\"{mode:04o}\"")));
    for (key, services) in
        [("out_services", &bridge.services_out), ("in_services", &bridge.services_in)]
    {
        if !services.is_empty() {
            line(key, patterns(services));
        }
    }
    bridge.service_mode.iter().for_each(|mode| line("service_mode", format!("\"{mode:04o}\"")));
    line("local_prefix", quoted(&bridge.local_prefix));
    line("remote_prefix", quoted(&bridge.remote_prefix));
    let tls = &bridge.tls;
    let pair = tls.certificate.as_ref();
    let files = [
        ("token_file", bridge.token_file.as_ref()),
        ("authority", tls.authority.as_ref()),
        ("certificate", pair.map(|(certificate, _)| certificate)),
        ("key", pair.map(|(_, key)| key)),
    ];
    for (key, path) in files {
        path.into_iter().for_each(|path| line(key, quoted_path(path)));
    }
    tls.server_name.iter().for_each(|name| line("server_name", quoted(name)));
    line("insecure", bridge.insecure.to_string());
    line("spool", format!("\"{} B\"", bridge.total_bytes));
    line("spool_each", format!("\"{} B\"", bridge.source_bytes));
    line("spool_each_messages", bridge.source_count.to_string());
    line("spool_full", quoted(policy_word(bridge.policy)));
    line("linger", format!("\"{}\"", humantime::format_duration(bridge.linger)));
    out
}

const fn policy_word(policy: SpoolPolicy) -> &'static str {
    match policy {
        SpoolPolicy::HoldBack => "hold",
        SpoolPolicy::DropOldest => "drop-oldest",
        SpoolPolicy::Refuse => "refuse",
    }
}

fn policy(entry: &Entry<'_>) -> Result<SpoolPolicy, Wrong> {
    const EXPECTED: &str = "\"hold\", \"drop-oldest\" or \"refuse\"";
    match entry.string(EXPECTED)? {
        "hold" => Ok(SpoolPolicy::HoldBack),
        "drop-oldest" => Ok(SpoolPolicy::DropOldest),
        "refuse" => Ok(SpoolPolicy::Refuse),
        _ => entry.expected(EXPECTED),
    }
}

fn patterns(entry: &Entry<'_>) -> Result<Vec<Pattern>, Wrong> {
    each(entry, "patterns of names", Pattern::new)
}

fn names(entry: &Entry<'_>) -> Result<Vec<Name>, Wrong> {
    each(entry, "names of queues", Name::new)
}

fn each<T, E: Display>(
    entry: &Entry<'_>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Wrong> {
    let mut all = Vec::new();
    for (item, offset) in entry.items() {
        let Some(text) = item.as_str() else {
            let found = describe(item);
            return Err((offset, format!("`{}` must be {what}, not {found}", entry.path)));
        };
        match parse(text) {
            Ok(one) => all.push(one),
            Err(error) => return Err((offset, format!("`{}`: {error}", entry.path))),
        }
    }
    Ok(all)
}
