//! Names of users and groups, from the machine's own files.
//!
//! Only for showing and for flags: what is not listed there stays a number.

use std::fs;

use bus_client::Sender;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// The name of a user; nobody's is `anonymous`.
pub fn user(uid: Option<u32>) -> String {
    uid.map_or_else(|| "anonymous".into(), |uid| name_in(USERS, uid))
}

/// Whom the broker takes somebody for: a user of its configuration, or one of the machine.
pub fn shown(sender: &Sender) -> String {
    match &sender.user {
        Some(user) => user.to_string(),
        None => user(sender.uid),
    }
}

/// The name of a group.
pub fn group(gid: Option<u32>) -> String {
    gid.map_or_else(|| "anonymous".into(), |gid| name_in(GROUPS, gid))
}

/// A user by name or number.
pub fn parse_user(text: &str) -> Result<u32, String> {
    number_in(USERS, text).ok_or_else(|| format!("there is no user `{text}`"))
}

/// A group by name or number.
pub fn parse_group(text: &str) -> Result<u32, String> {
    number_in(GROUPS, text).ok_or_else(|| format!("there is no group `{text}`"))
}

fn name_in(file: &str, number: u32) -> String {
    let found = entries(file).into_iter().find(|(_, other)| *other == number);
    found.map_or_else(|| number.to_string(), |(name, _)| name)
}

fn number_in(file: &str, text: &str) -> Option<u32> {
    let named = || entries(file).into_iter().find(|(name, _)| name == text);
    text.parse().ok().or_else(|| named().map(|(_, number)| number))
}

fn entries(file: &str) -> Vec<(String, u32)> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        Some((name.to_owned(), number.parse().ok()?))
    };
    // Without the file there are only numbers.
    fs::read_to_string(file).unwrap_or_default().lines().filter_map(entry).collect()
}
