//! `[[user]]`: who may show that it is somebody, and whom it counts as.
//!
//! Secrets are not here: the file has hashes of tokens, and what stands in place of one by mistake
//! is not repeated in the message about it.

use std::fmt::Write as _;

use bus_core::UserName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::users::{CertificateMatch, TokenHash, User, Users};

use super::{Entry, Reader, Wrong, describe};

/// Keys of a `[[user]]`.
pub(super) const USER_KEYS: &[&str] = &["name", "token", "certificate", "uid", "groups", "admin"];

const HASH_PREFIX: &str = "sha256:";
/// Bytes of a name in a certificate.
const CERTIFICATE_NAME_BYTES_MAX: usize = 255;

/// What a `[[user]]` says, as far as it was read.
#[derive(Default)]
struct Draft {
    name: Option<UserName>,
    tokens: Vec<TokenHash>,
    certificates: Vec<CertificateMatch>,
    uid: Option<u32>,
    groups: Vec<u32>,
    admin: bool,
}

/// Reads all `[[user]]`.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Result<Users, Wrong> {
    let mut users = Users::default();
    for (table, offset) in entry.tables()? {
        let mut draft = Draft::default();
        let mistakes = reader.mistakes;
        reader.table(table, "user", USER_KEYS, |_, entry| draft.take(entry));
        // Whoever has a mistake in his table is told of that one alone.
        if reader.mistakes == mistakes {
            match draft.finish(&users) {
                Ok(user) => users.add(user),
                Err(text) => reader.note(offset, text),
            }
        }
    }
    Ok(users)
}

impl Draft {
    fn take(&mut self, entry: &Entry<'_>) -> Result<(), Wrong> {
        match entry.key {
            "name" => {
                let name = entry.string("the name of a user")?;
                let name = UserName::new(name);
                self.name =
                    Some(name.or_else(|error| entry.wrong(format!("`user.name`: {error}")))?);
            }
            "token" => {
                for (item, offset) in entry.items() {
                    self.tokens.push(token(item, offset)?);
                }
            }
            "certificate" => {
                for (item, offset) in entry.items() {
                    self.certificates.push(certificate(item, offset)?);
                }
            }
            "uid" => self.uid = Some(number(entry.value, entry.span.start, "user.uid", "a uid")?),
            "groups" => {
                for (item, offset) in entry.items() {
                    self.groups.push(number(item, offset, "user.groups", "a list of gids")?);
                }
            }
            _ => self.admin = entry.boolean()?,
        }
        Ok(())
    }

    /// The user, if it can be told from these ones.
    fn finish(self, others: &Users) -> Result<User, String> {
        let Some(name) = self.name else {
            return Err("this [[user]] has no `name`".into());
        };
        if self.tokens.is_empty() && self.certificates.is_empty() {
            return Err(format!(
                "the user `{name}` has neither `token` nor `certificate`, so that nobody could be it: `bus token {name}` makes a token"
            ));
        }
        if self.uid == Some(0) && !self.admin {
            return Err(format!("the user `{name}` has the uid of root: write `admin = true` too"));
        }
        for other in others.iter() {
            let found = if *other.name() == name {
                "its name"
            } else if self.tokens.iter().any(|token| other.tokens().contains(token)) {
                "one of its tokens"
            } else if self.certificates.iter().any(|it| other.certificates().contains(it)) {
                "one of its certificates"
            } else {
                continue;
            };
            let other = other.name();
            return Err(format!("the user `{name}` shares {found} with the user `{other}` above"));
        }
        let mut user = User::new(name).groups(self.groups).admin(self.admin);
        user = self.tokens.into_iter().fold(user, User::token);
        user = self.certificates.into_iter().fold(user, User::certificate);
        Ok(match self.uid {
            Some(uid) => user.uid(uid),
            None => user,
        })
    }
}

impl<'a> Entry<'a> {
    /// The tables of an array of them, and where each begins.
    pub(super) fn tables(&self) -> Result<Vec<(&'a DeTable<'a>, usize)>, Wrong> {
        let expected = || format!("one table or more: write [[{}]]", self.path);
        let Some(list) = self.value.as_array() else { return self.expected(&expected()) };
        let table = |item: &'a Spanned<DeValue<'a>>| {
            let found = item.get_ref();
            let wrong =
                || format!("`{}` must be {}, not {}", self.path, expected(), describe(found));
            let table = found.as_table().ok_or_else(|| (item.span().start, wrong()))?;
            Ok((table, item.span().start))
        };
        list.iter().map(table).collect()
    }

    /// The values of a list, or the one that stands there alone, and where each begins.
    pub(super) fn items(&self) -> Vec<(&'a DeValue<'a>, usize)> {
        match self.value.as_array() {
            Some(list) => list.iter().map(|item| (item.get_ref(), item.span().start)).collect(),
            None => vec![(self.value, self.span.start)],
        }
    }
}

/// What is written here may be a token by mistake: it is not shown.
fn token(value: &DeValue<'_>, offset: usize) -> Result<TokenHash, Wrong> {
    let digits = value.as_str().and_then(|text| text.strip_prefix(HASH_PREFIX));
    match digits.and_then(hash) {
        Some(bytes) => Ok(TokenHash::from_bytes(bytes)),
        None => Err((
            offset,
            "`user.token` must be the hash of a token, \"sha256:\" and 64 hexadecimal digits, as `bus token` prints it; what stands here is something else"
                .into(),
        )),
    }
}

fn certificate(value: &DeValue<'_>, offset: usize) -> Result<CertificateMatch, Wrong> {
    const EXPECTED: &str =
        "a name of a certificate, or \"sha256:\" and the 64 hexadecimal digits of its fingerprint";
    let wrong = || {
        let found = describe(value);
        Err((offset, format!("`user.certificate` must be {EXPECTED}, not {found}")))
    };
    let Some(text) = value.as_str() else { return wrong() };
    match text.strip_prefix(HASH_PREFIX) {
        // As other programs print it: with colons between the bytes.
        Some(digits) => match hash(&digits.replace(':', "")) {
            Some(bytes) => Ok(CertificateMatch::Fingerprint(bytes)),
            None => wrong(),
        },
        None => {
            let fits = (1..=CERTIFICATE_NAME_BYTES_MAX).contains(&text.len());
            match fits && !text.chars().any(char::is_control) {
                true => Ok(CertificateMatch::Name(text.to_owned())),
                false => wrong(),
            }
        }
    }
}

/// The 32 bytes of these digits.
fn hash(digits: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |all, digit| all << 4 | digit)).collect();
    (digits.len() == 64).then_some(())?;
    bytes.try_into().ok()
}

fn number(value: &DeValue<'_>, offset: usize, path: &str, expected: &str) -> Result<u32, Wrong> {
    let number = value.as_integer();
    let number = number.and_then(|it| u32::from_str_radix(it.as_str(), it.radix()).ok());
    // The last one means nobody.
    number.filter(|number| *number != u32::MAX).ok_or_else(|| {
        (offset, format!("`{path}` must be {expected}, a whole number, not {}", describe(value)))
    })
}

/// Writes them without what shows who is one of them.
pub(super) fn render(out: &mut String, users: &Users) {
    for user in users.iter() {
        let (uid, groups, admin) = user.counts_as();
        // Writing to a string does not fail.
        let _ = writeln!(out, "\n[[user]]\nname = \"{}\"", user.name());
        if !user.tokens().is_empty() {
            let _ = writeln!(out, "# hashes of tokens, not shown: {}", user.tokens().len());
        }
        let quoted = |it: &CertificateMatch| match it {
            CertificateMatch::Name(name) => toml::Value::from(name.as_str()).to_string(),
            CertificateMatch::Fingerprint(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("\"{HASH_PREFIX}{digits}\"")
            }
        };
        let certificates: Vec<String> = user.certificates().iter().map(quoted).collect();
        if !certificates.is_empty() {
            let _ = writeln!(out, "certificate = [{}]", certificates.join(", "));
        }
        if let Some(uid) = uid {
            let _ = writeln!(out, "uid = {uid}");
        }
        if !groups.is_empty() {
            let _ = writeln!(out, "groups = {groups:?}");
        }
        let _ = writeln!(out, "admin = {admin}");
    }
}
