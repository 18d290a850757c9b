//! `[[allow]]`: who may do what on which names.
//!
//! A user that is meant here must stand in a `[[user]]`, before or behind it: that is looked at
//! once all of the file was read.

use std::fmt::Write as _;
use std::fs;

use bus_core::router::{Allowance, Deed, Policy, Who};
use bus_core::{ANONYMOUS, Pattern, UserName};
use toml::de::DeValue;

use crate::users::Users;

use super::{Entry, Reader, Wrong, describe, nearest};

/// Keys of an `[[allow]]`.
pub(super) const ALLOW_KEYS: &[&str] = &[
    "user",
    "publish",
    "subscribe",
    "send",
    "receive",
    "call",
    "serve",
    "create",
    "administer",
    "bridge",
];

const EXPECTED: &str =
    "the name of a [[user]], \"uid:NUMBER\", \"group:NAME\", \"anonymous\" or \"*\"";

/// The allowances, and where each user is named.
#[derive(Default)]
pub(super) struct Read {
    allowances: Vec<Allowance>,
    named: Vec<(UserName, usize)>,
}

/// Reads all `[[allow]]`.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Result<Read, Wrong> {
    let mut read = Read::default();
    for (table, offset) in entry.tables()? {
        let (mut who, mut granted) = (Vec::new(), Vec::new());
        let mistakes = reader.mistakes;
        reader.table(table, "allow", ALLOW_KEYS, |_, entry| match entry.key {
            "user" => {
                for (item, offset) in entry.items() {
                    who.push(whom(item, offset)?);
                    if let Some(Who::User(name)) = who.last() {
                        read.named.push((name.clone(), offset));
                    }
                }
                Ok(())
            }
            key => {
                let deed = Deed::ALL.iter().find(|deed| deed.word() == key);
                for (item, offset) in entry.items() {
                    granted.extend(deed.copied().zip(Some(pattern(key, item, offset)?)));
                }
                Ok(())
            }
        });
        if who.is_empty() && reader.mistakes == mistakes {
            reader.note(offset, format!("this [[allow]] has no `user`: write {EXPECTED}"));
        }
        for who in who {
            let all = granted.iter().cloned();
            let allowance =
                all.fold(Allowance::to(who), |one, (deed, pattern)| one.grant(deed, pattern));
            read.allowances.push(allowance);
        }
    }
    Ok(read)
}

impl Read {
    /// The policy, if all users in it are there.
    pub fn finish(self, users: &Users, reader: &mut Reader<'_>) -> Policy {
        let known: Vec<&str> = users.iter().map(|user| user.name().as_str()).collect();
        for (name, offset) in &self.named {
            if !known.contains(&name.as_str()) {
                let hint = match nearest(name.as_str(), &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("`allow.user` must be {EXPECTED}"),
                };
                reader.note(*offset, format!("there is no [[user]] of the name `{name}`; {hint}"));
            }
        }
        Policy::new(self.allowances)
    }
}

fn whom(value: &DeValue<'_>, offset: usize) -> Result<Who, Wrong> {
    let Some(text) = value.as_str() else {
        return Err((offset, format!("`allow.user` must be {EXPECTED}, not {}", describe(value))));
    };
    let numbered = |file: &str, what: &str, name: &str| {
        number_in(file, name)
            .ok_or_else(|| (offset, format!("`allow.user`: there is no {what} `{name}`")))
    };
    match (text, text.split_once(':')) {
        ("*", _) => Ok(Who::Everybody),
        (ANONYMOUS, _) => Ok(Who::Anonymous),
        (_, Some(("uid", name))) => {
            numbered("/etc/passwd", "user of this machine", name).map(Who::Uid)
        }
        (_, Some(("group", name))) => {
            numbered("/etc/group", "group of this machine", name).map(Who::Gid)
        }
        _ => UserName::new(text)
            .map(Who::User)
            .map_err(|error| (offset, format!("`allow.user`: {error}; it must be {EXPECTED}"))),
    }
}

fn pattern(key: &str, value: &DeValue<'_>, offset: usize) -> Result<Pattern, Wrong> {
    let Some(text) = value.as_str() else {
        let found = describe(value);
        let text = format!(
            "`allow.{key}` must be a list of patterns such as [\"jobs.>\"], not one with {found}"
        );
        return Err((offset, text));
    };
    Pattern::new(text).map_err(|error| (offset, format!("`allow.{key}`: {error}")))
}

/// The number of a user or group by name or number, by the machine's own file.
fn number_in(file: &str, text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let all = fs::read_to_string(file).ok()?;
    all.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (name == text).then(|| number.parse().ok())?
    })
}

/// Writes the policy as it would be read.
pub(super) fn render(out: &mut String, policy: &Policy) {
    for allowance in policy.allowances() {
        let who = match allowance.who() {
            Who::Everybody => "*".to_owned(),
            Who::Anonymous => ANONYMOUS.to_owned(),
            Who::User(name) => name.to_string(),
            Who::Uid(uid) => format!("uid:{uid}"),
            Who::Gid(gid) => format!("group:{gid}"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "\n[[allow]]\nuser = \"{who}\"");
        for deed in Deed::ALL {
            let granted = allowance.granted().iter().filter(|(other, _)| other == deed);
            let patterns: Vec<String> =
                granted.map(|(_, pattern)| format!("\"{pattern}\"")).collect();
            if !patterns.is_empty() {
                let _ = writeln!(out, "{deed} = [{}]", patterns.join(", "));
            }
        }
    }
}
