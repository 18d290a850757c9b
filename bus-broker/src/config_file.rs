//! The broker's TOML file: text to [`BrokerConfig`], and back.
//!
//! Nothing of a file counts until all of it has been parsed. Every mistake names its line, its
//! key, what is expected and what was found; an unknown key also the nearest known one.

mod bridge;
mod policy;
mod tls;
mod users;
mod words;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use bus_core::router::RouterConfig;
use bus_core::transport::Waiting;
use bus_core::{BusUrl, GRACE_MAX};
use bytesize::ByteSize;
use toml::de::{DeTable, DeValue};

use crate::config::BrokerConfig;
use crate::lanes::{LANES_MAX, LANES_PER_USER_MAX};
pub(crate) use bridge::parse_bridge;
pub use bridge::render_bridge;
use words::{describe, home, nearest};

/// Keys at the top of the file.
const TOP_KEYS: &[&str] = &[
    "name",
    "listen",
    "insecure",
    "grace_max",
    "shared_memory",
    "waiting",
    "throttle",
    "metrics",
    "metrics_open",
    "tls",
    "defaults",
    "limits",
    "user",
    "allow",
    "bridge",
];
/// Keys of `[defaults]`.
const DEFAULTS_KEYS: &[&str] = &["queue_mode", "topic_mode", "service_mode"];
/// Keys of `[limits]`.
const LIMITS_KEYS: &[&str] = &[
    "sessions",
    "sessions_per_user",
    "queues",
    "topics",
    "subscriptions",
    "services",
    "objects_per_user",
    "lanes",
    "lanes_per_user",
    "parked_bytes",
];

/// What is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct ConfigError {
    line: usize,
    text: String,
}

impl ConfigError {
    fn at(file: &str, offset: usize, text: String) -> ConfigError {
        let before = file.as_bytes().iter().take(offset);
        ConfigError { line: before.filter(|byte| **byte == b'\n').count() + 1, text }
    }

    /// The line that it stands in; the first is 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// Parses a configuration file.
///
/// # Errors
/// The first mistake in it.
pub fn parse_config(text: &str) -> Result<BrokerConfig, ConfigError> {
    let document = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(text.len(), |span| span.start);
        ConfigError::at(text, offset, format!("this is not TOML: {}", error.message()))
    })?;
    let mut config = BrokerConfig::default();
    let mut reader = Reader { file: text, first: None, mistakes: 0 };
    let mut allowed = policy::Read::default();
    reader.table(document.get_ref(), "", TOP_KEYS, |reader, entry| {
        match entry.key {
            "name" => config.name = entry.string("a string")?.to_owned(),
            "listen" => config.listen = entry.urls()?,
            "insecure" => config.insecure = entry.boolean()?,
            "grace_max" => config.grace_max = entry.grace()?,
            "shared_memory" => config.shared_memory = entry.boolean()?,
            "waiting" => config.waiting = entry.waiting()?,
            "throttle" => config.throttle = entry.boolean()?,
            "metrics" => config.metrics = Some(entry.address()?),
            "metrics_open" => config.metrics_open = entry.boolean()?,
            "tls" => config.tls = Some(tls::read(reader, entry)?),
            "defaults" => {
                let table = entry.table()?;
                reader.table(table, "defaults", DEFAULTS_KEYS, |_, entry| {
                    default_mode(&mut config.router, entry)
                });
            }
            "user" => config.users = users::read(reader, entry)?,
            "allow" => allowed = policy::read(reader, entry)?,
            "bridge" => config.bridges = bridge::read(reader, entry)?,
            _ => {
                let table = entry.table()?;
                reader.table(table, "limits", LIMITS_KEYS, |_, entry| limit(&mut config, entry));
            }
        }
        Ok(())
    });
    config.policy = allowed.finish(&config.users, &mut reader);
    match reader.first {
        Some((_, error)) => Err(error),
        None => Ok(config),
    }
}

/// Writes a configuration as a file that parses to the same, what shows who is a user aside: no
/// hash of a token is written.
pub fn render_config(config: &BrokerConfig) -> String {
    let router = &config.router;
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let urls: Vec<String> = config.listen.iter().map(|url| quoted(&url.to_string())).collect();
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "name = {}\nlisten = [{}]\ninsecure = {}\ngrace_max = \"{}\"\nshared_memory = {}\nwaiting = \"{}\"\nthrottle = {}\n{}metrics_open = {}\n\n[defaults]",
        quoted(&config.name),
        urls.join(", "),
        config.insecure,
        humantime::format_duration(config.grace_max),
        config.shared_memory,
        config.waiting,
        config.throttle,
        config.metrics.map(|at| format!("metrics = \"{at}\"\n")).unwrap_or_default(),
        config.metrics_open,
    );
    for (key, mode) in
        DEFAULTS_KEYS.iter().zip([router.queue_mode, router.topic_mode, router.service_mode])
    {
        let _ = writeln!(out, "{key} = \"{mode:04o}\"");
    }
    out.push_str("\n[limits]\n");
    let limits = [
        router.sessions_max,
        router.sessions_per_user_max,
        router.queues_max,
        router.topics_max,
        router.subscriptions_max,
        router.services_max,
        router.objects_per_user_max,
        config.lanes_max,
        config.lanes_per_user_max,
    ];
    for (key, value) in LIMITS_KEYS.iter().zip(limits) {
        let _ = writeln!(out, "{key} = {value}");
    }
    let _ = writeln!(out, "parked_bytes = \"{} B\"", router.parked_bytes_max);
    config.tls.iter().for_each(|files| tls::render(files, &mut out));
    users::render(&mut out, &config.users);
    policy::render(&mut out, &config.policy);
    for bridge in &config.bridges {
        let _ = write!(out, "\n{}", render_bridge(bridge));
    }
    out
}

fn default_mode(router: &mut RouterConfig, entry: &Entry<'_>) -> Result<(), Wrong> {
    let mode = entry.mode()?;
    match entry.key {
        "queue_mode" => router.queue_mode = mode,
        "topic_mode" => router.topic_mode = mode,
        _ => router.service_mode = mode,
    }
    Ok(())
}

fn limit(config: &mut BrokerConfig, entry: &Entry<'_>) -> Result<(), Wrong> {
    let router = &mut config.router;
    let place = match entry.key {
        "sessions" => &mut router.sessions_max,
        "sessions_per_user" => &mut router.sessions_per_user_max,
        "queues" => &mut router.queues_max,
        "topics" => &mut router.topics_max,
        "subscriptions" => &mut router.subscriptions_max,
        "services" => &mut router.services_max,
        "objects_per_user" => &mut router.objects_per_user_max,
        "lanes" => {
            config.lanes_max = entry.count_up_to(LANES_MAX)?;
            return Ok(());
        }
        "lanes_per_user" => {
            config.lanes_per_user_max = entry.count_up_to(LANES_PER_USER_MAX)?;
            return Ok(());
        }
        _ => {
            router.parked_bytes_max = entry.bytes()?;
            return Ok(());
        }
    };
    *place = entry.count()?;
    Ok(())
}

/// A mistake, and where it begins.
type Wrong = (usize, String);

/// Reads tables, and remembers the mistake that stands first in the file.
struct Reader<'a> {
    file: &'a str,
    first: Option<(usize, ConfigError)>,
    mistakes: usize,
}

impl Reader<'_> {
    fn table(
        &mut self,
        table: &DeTable<'_>,
        section: &str,
        known: &[&str],
        mut each: impl FnMut(&mut Self, &Entry<'_>) -> Result<(), Wrong>,
    ) {
        for (key, value) in table {
            let path = match section {
                "" => key.get_ref().to_string(),
                section => format!("{section}.{}", key.get_ref()),
            };
            let entry =
                Entry { key: key.get_ref(), path, value: value.get_ref(), span: value.span() };
            let result = match known.contains(&entry.key) {
                true => each(self, &entry),
                false => Err((key.span().start, entry.unknown(section, known))),
            };
            if let Err((offset, text)) = result {
                self.note(offset, text);
            }
        }
    }

    fn note(&mut self, offset: usize, text: String) {
        self.mistakes += 1;
        if self.first.as_ref().is_none_or(|(first, _)| offset < *first) {
            self.first = Some((offset, ConfigError::at(self.file, offset, text)));
        }
    }
}

/// A key and its value.
struct Entry<'a> {
    key: &'a str,
    path: String,
    value: &'a DeValue<'a>,
    span: Range<usize>,
}

impl<'a> Entry<'a> {
    fn wrong<T>(&self, text: String) -> Result<T, Wrong> {
        Err((self.span.start, text))
    }

    fn expected<T>(&self, expected: &str) -> Result<T, Wrong> {
        self.wrong(format!("`{}` must be {expected}, not {}", self.path, describe(self.value)))
    }

    fn unknown(&self, section: &str, known: &[&str]) -> String {
        let place = match section {
            "" => String::new(),
            "user" | "allow" | "bridge" => format!(" of [[{section}]]"),
            section => format!(" of [{section}]"),
        };
        let every = TOP_KEYS.iter().chain(tls::KEYS).chain(DEFAULTS_KEYS).chain(LIMITS_KEYS);
        let every =
            every.chain(users::USER_KEYS).chain(policy::ALLOW_KEYS).chain(bridge::BRIDGE_KEYS);
        let elsewhere = every.copied().find(|other| *other == self.key);
        let hint = match (nearest(self.key, known), elsewhere) {
            (_, Some(_)) => format!("it belongs {}", home(self.key)),
            (Some(near), None) => format!("did you mean `{near}`?"),
            (None, None) => format!("known are `{}`", known.join("`, `")),
        };
        format!("`{}` is not a known key{place}; {hint}", self.key)
    }

    fn string(&self, expected: &str) -> Result<&'a str, Wrong> {
        match self.value.as_str() {
            Some(text) => Ok(text),
            None => self.expected(expected),
        }
    }

    fn boolean(&self) -> Result<bool, Wrong> {
        match self.value.as_bool() {
            Some(value) => Ok(value),
            None => self.expected("true or false"),
        }
    }

    fn table(&self) -> Result<&'a DeTable<'a>, Wrong> {
        match self.value.as_table() {
            Some(table) => Ok(table),
            None => self.expected(&format!("a table: write [{}]", self.path)),
        }
    }

    fn urls(&self) -> Result<Vec<BusUrl>, Wrong> {
        const EXPECTED: &str = "a list of URLs such as [\"local:\", \"tcp://127.0.0.1:4550\"]";
        let Some(list) = self.value.as_array() else { return self.expected(EXPECTED) };
        let mut urls = Vec::new();
        for item in list {
            let offset = item.span().start;
            let Some(text) = item.get_ref().as_str() else {
                let found = describe(item.get_ref());
                let text = format!("`{}` must be {EXPECTED}, not one with {found}", self.path);
                return Err((offset, text));
            };
            match text.parse() {
                Ok(url) => urls.push(url),
                Err(error) => return Err((offset, format!("`{}`: {error}", self.path))),
            }
        }
        Ok(urls)
    }

    fn duration(&self) -> Result<Duration, Wrong> {
        const EXPECTED: &str = "a duration such as \"30s\"";
        humantime::parse_duration(self.string(EXPECTED)?).or_else(|_| self.expected(EXPECTED))
    }

    fn grace(&self) -> Result<Duration, Wrong> {
        match self.duration()? {
            grace if grace <= GRACE_MAX => Ok(grace),
            _ => self.expected(&format!("at most \"{}\"", humantime::format_duration(GRACE_MAX))),
        }
    }

    fn waiting(&self) -> Result<Waiting, Wrong> {
        const EXPECTED: &str = "\"park\", \"adaptive\" or \"spin\"";
        self.string(EXPECTED)?.parse().or_else(|_| self.expected(EXPECTED))
    }

    fn address(&self) -> Result<SocketAddr, Wrong> {
        const EXPECTED: &str = "an address and port such as \"127.0.0.1:9464\"";
        self.string(EXPECTED)?.parse().or_else(|_| self.expected(EXPECTED))
    }

    fn mode(&self) -> Result<u16, Wrong> {
        const EXPECTED: &str = "an octal mode in quotes such as \"0700\"";
        let text = self.string(EXPECTED)?;
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u16::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o777 && !digits.starts_with('+') => Ok(mode),
            _ => self.expected(EXPECTED),
        }
    }

    fn count(&self) -> Result<usize, Wrong> {
        const EXPECTED: &str = "a whole number above 0";
        let Some(number) = self.value.as_integer() else { return self.expected(EXPECTED) };
        match usize::from_str_radix(number.as_str(), number.radix()) {
            Ok(count @ 1..) => Ok(count),
            _ => self.expected(EXPECTED),
        }
    }

    fn count_up_to(&self, max: usize) -> Result<usize, Wrong> {
        match self.count()? {
            count if count <= max => Ok(count),
            _ => self.expected(&format!("at most {max}")),
        }
    }

    fn bytes(&self) -> Result<u64, Wrong> {
        const EXPECTED: &str = "a size such as \"256MiB\"";
        match self.string(EXPECTED)?.parse::<ByteSize>() {
            Ok(size) => Ok(size.as_u64()),
            Err(_) => self.expected(EXPECTED),
        }
    }
}

#[cfg(test)]
mod tests;
