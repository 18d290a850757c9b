//! Why there is no such bridge, and what its settings are called.
//!
//! A fault says what is wrong, typed; its sentence is told in the words of the place where the bridge
//! was asked for: keys of the file, or flags of `bus bridge add`. Invariant: each setting has both.

use std::fmt;
use std::time::Duration;

use bus_client::Knob;
use bus_core::{ErrorKind, Failure};
use bytesize::ByteSize;

macro_rules! settings {
    ($($name:ident = $key:literal, $flag:literal;)*) => {
        /// What an operator settles for a bridge.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each is documented where it is set, in `BridgeConfig`")]
        pub enum Setting { $($name,)* }

        impl Setting {
            /// All of them.
            pub const ALL: &'static [Setting] = &[$(Setting::$name,)*];
            /// Their keys in a `[[bridge]]`.
            pub const KEYS: &'static [&'static str] = &[$($key,)*];

            /// What it is called there.
            pub const fn word(self, words: Words) -> &'static str {
                match (self, words) {
                    $(
                        (Setting::$name, Words::File) => $key,
                        (Setting::$name, Words::Command) => $flag,
                    )*
                }
            }
        }
    };
}

settings! {
    Name = "name", "NAME";
    Url = "url", "URL";
    Out = "out", "--out";
    In = "in", "--in";
    OutQueues = "out_queues", "--out-queues";
    InQueues = "in_queues", "--in-queues";
    QueueMode = "queue_mode", "--queue-mode";
    LocalPrefix = "local_prefix", "--local-prefix";
    RemotePrefix = "remote_prefix", "--remote-prefix";
    TokenFile = "token_file", "--remote-token-file";
    Authority = "authority", "--remote-authority";
    Certificate = "certificate", "--remote-cert";
    Key = "key", "--remote-key";
    ServerName = "server_name", "--remote-name";
    Insecure = "insecure", "--remote-insecure";
    Spool = "spool", "--spool";
    SpoolEach = "spool_each", "--spool-each";
    SpoolEachMessages = "spool_each_messages", "--spool-each-messages";
    SpoolFull = "spool_full", "--spool-full";
    Linger = "linger", "--linger";
    OutServices = "out_services", "--out-services";
    InServices = "in_services", "--in-services";
    ServiceMode = "service_mode", "--service-mode";
}

/// Where a bridge was asked for, and so what its settings are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Words {
    /// As the keys of a `[[bridge]]`.
    #[default]
    File,
    /// As the flags of `bus bridge add`.
    Command,
}

/// What is wrong with a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeFault {
    /// Its name is no name, for this reason.
    Name(String),
    /// Nothing goes over it.
    Empty,
    /// So many, of which so many are the limit.
    TooMany(Setting, usize, usize),
    /// It cannot be, for this reason.
    Bad(Setting, String),
    /// The one cannot stand behind the other, for this reason.
    Behind(Setting, Setting, String),
    /// Two patterns match the same.
    Overlap(Setting, String, String),
    /// A queue is named twice.
    Twice(Setting, String),
    /// A queue would live at both brokers.
    TwoHomes(String),
    /// The URL is one within a process.
    InProcess,
    /// The URL leads to the broker itself, which listens there.
    Itself(Option<String>),
    /// It is of no use without TLS.
    NotTls(Setting),
    /// This broker was built without TLS.
    NoTls,
    /// A certificate without its key, or the other way round: this one is there.
    HalfPair(Setting),
    /// Everybody on the way could read the token.
    PlainToken,
    /// A spool of so many bytes has no room for a message.
    SpoolTooSmall(Setting, u64),
    /// Each may have more than all.
    SpoolEachTooLarge(u64, u64),
    /// So long is not remembered by the other broker.
    LingerTooLong(Duration),
    /// What stands in a file cannot be used, for this reason.
    File(Setting, String),
}

/// So many bytes a spool must hold at the least: a message that is not offered first, with what it costs.
pub(super) const SPOOL_BYTES_MIN: u64 = bus_core::INLINE_BYTES_MAX as u64;
/// As long as marks are remembered of sources that have no upstream any more: who comes back later would
/// bring again what has arrived.
pub(super) const LINGER_MAX: Duration = bus_core::MARK_IDLE;

/// Why there is no such bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBridge {
    pub(super) bridge: String,
    pub(super) url: String,
    pub(super) words: Words,
    pub(super) fault: BridgeFault,
}

impl InvalidBridge {
    /// What is wrong with it.
    pub fn fault(&self) -> &BridgeFault {
        &self.fault
    }

    /// The setting that is to be put right, if it is one.
    pub fn setting(&self) -> Option<Setting> {
        use BridgeFault as F;
        match &self.fault {
            F::Empty | F::TwoHomes(_) => None,
            F::Name(_) => Some(Setting::Name),
            F::TooMany(setting, ..)
            | F::Bad(setting, _)
            | F::Behind(setting, ..)
            | F::Overlap(setting, ..)
            | F::Twice(setting, _)
            | F::NotTls(setting)
            | F::HalfPair(setting)
            | F::SpoolTooSmall(setting, _)
            | F::File(setting, _) => Some(*setting),
            F::InProcess | F::Itself(_) | F::NoTls => Some(Setting::Url),
            F::PlainToken => Some(Setting::TokenFile),
            F::SpoolEachTooLarge(..) => Some(Setting::SpoolEach),
            F::LingerTooLong(_) => Some(Setting::Linger),
        }
    }

    fn tell(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use BridgeFault as F;
        let (url, word) = (&self.url, |setting: Setting| format!("`{}`", setting.word(self.words)));
        match &self.fault {
            F::Name(reason) => out.write_str(reason),
            F::Empty => write!(
                out,
                "nothing goes over it: name topics in {} or {}, queues in {} or {}, or services in {} or {}",
                word(Setting::Out),
                word(Setting::In),
                word(Setting::OutQueues),
                word(Setting::InQueues),
                word(Setting::OutServices),
                word(Setting::InServices)
            ),
            F::TooMany(setting, count, max) => {
                let what = if setting.is_of_queues() { "queues" } else { "patterns" };
                write!(out, "{} has {count} {what}, of which {max} are the limit", word(*setting))
            }
            F::Bad(setting, reason) | F::File(setting, reason) => {
                write!(out, "{}: {reason}", word(*setting))
            }
            F::Behind(setting, prefix, reason) => {
                write!(out, "{} behind {}: {reason}", word(*setting), word(*prefix))
            }
            F::Overlap(setting, one, other) => write!(
                out,
                "{}: `{one}` and `{other}` have {} in common, and a bridge carries each once: take one of them out",
                word(*setting),
                if setting.is_of_services() { "services" } else { "topics" },
            ),
            F::Twice(setting, name) => {
                write!(out, "{}: the queue `{name}` is named twice", word(*setting))
            }
            F::TwoHomes(name) => write!(
                out,
                "the queue `{name}` is in {} and in {}: it lives at one of the two brokers",
                word(Setting::OutQueues),
                word(Setting::InQueues)
            ),
            F::SpoolTooSmall(..) | F::SpoolEachTooLarge(..) | F::LingerTooLong(_) => {
                self.tell_of_keeping(out, &word)
            }
            _ => self.tell_of_connecting(out, url, &word),
        }
    }

    fn tell_of_keeping(
        &self,
        out: &mut fmt::Formatter<'_>,
        word: &dyn Fn(Setting) -> String,
    ) -> fmt::Result {
        use BridgeFault as F;
        let size = |bytes: u64| ByteSize::b(bytes).to_string();
        match &self.fault {
            F::SpoolTooSmall(setting, bytes) => write!(
                out,
                "{} is {}, and must be {} at least: a message must find room",
                word(*setting),
                size(*bytes),
                size(SPOOL_BYTES_MIN)
            ),
            F::SpoolEachTooLarge(each, all) => write!(
                out,
                "{} is {}, and {}, which is for all together, is {}: make the one smaller, or the other larger",
                word(Setting::SpoolEach),
                size(*each),
                word(Setting::Spool),
                size(*all)
            ),
            F::LingerTooLong(linger) => write!(
                out,
                "{} is {}, and must be {} at most: longer than that the other broker does not remember what has come",
                word(Setting::Linger),
                humantime::format_duration(*linger),
                humantime::format_duration(LINGER_MAX)
            ),
            // All others are told elsewhere.
            _ => Ok(()),
        }
    }

    fn tell_of_connecting(
        &self,
        out: &mut fmt::Formatter<'_>,
        url: &str,
        word: &dyn Fn(Setting) -> String,
    ) -> fmt::Result {
        use BridgeFault as F;
        let address = word(Setting::Url);
        match &self.fault {
            F::InProcess => write!(
                out,
                "{address}: {url} is for clients in the process of a broker: use tcp://, tls:// or local:"
            ),
            F::Itself(listener) => {
                write!(out, "{address}: {url} leads to this broker itself")?;
                listener.iter().try_for_each(|at| write!(out, ", which listens on {at}"))?;
                out.write_str(": give the address of the other broker")
            }
            F::NotTls(setting) => write!(
                out,
                "{} is for tls:// only, and {address} is {url}: use tls://, or leave it out",
                word(*setting)
            ),
            F::NoTls => write!(
                out,
                "{address}: {url} needs TLS, and this broker was built without it (the feature `tls`)"
            ),
            F::HalfPair(_) => write!(
                out,
                "it needs both {} and {}, or neither",
                word(Setting::Certificate),
                word(Setting::Key)
            ),
            F::PlainToken => write!(
                out,
                "{}: everybody on the way to {url} could read the token: use tls://, or let them with {}",
                word(Setting::TokenFile),
                word(Setting::Insecure)
            ),
            // All others are told elsewhere.
            _ => Ok(()),
        }
    }
}

impl Setting {
    fn is_of_queues(self) -> bool {
        matches!(self, Setting::OutQueues | Setting::InQueues)
    }

    fn is_of_services(self) -> bool {
        matches!(self, Setting::OutServices | Setting::InServices)
    }

    /// What a setting of clients is called for a bridge; none for one that bridges do not have.
    pub fn of_knob(knob: Knob) -> Option<Setting> {
        match knob {
            Knob::Authority => Some(Setting::Authority),
            Knob::Certificate => Some(Setting::Certificate),
            Knob::Key => Some(Setting::Key),
            Knob::ServerName => Some(Setting::ServerName),
            Knob::Insecure => Some(Setting::Insecure),
            _ => None,
        }
    }
}

impl Words {
    /// What a setting of clients is called here, and where it stands.
    pub(super) fn knob(self, knob: Knob) -> String {
        let place = match self {
            Words::File => "its [[bridge]]",
            Words::Command => "`bus bridge add`",
        };
        match Setting::of_knob(knob) {
            Some(setting) => format!("`{}` of {place}", setting.word(self)),
            None => place.to_owned(),
        }
    }
}

impl fmt::Display for InvalidBridge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "bridge `{}`: ", self.bridge)?;
        self.tell(out)
    }
}

impl std::error::Error for InvalidBridge {}

impl From<InvalidBridge> for Failure {
    fn from(error: InvalidBridge) -> Failure {
        let kind = match &error.fault {
            BridgeFault::File(..) => ErrorKind::Config,
            BridgeFault::NoTls => ErrorKind::Unsupported,
            BridgeFault::TooMany(..) => ErrorKind::QuotaExceeded,
            _ => ErrorKind::InvalidArgument,
        };
        Failure::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_clients_has_a_name_in_both_places() {
        for knob in Knob::ALL {
            assert!(Words::File.knob(knob).starts_with('`'), "{knob}");
            assert!(Words::Command.knob(knob).starts_with("`--remote-"), "{knob}");
        }
    }
}
