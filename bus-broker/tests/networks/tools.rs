//! The system's own tools, run to their end, and whether they are there.

use std::process::{Command, Output, Stdio};

/// What a test with namespaces cannot do without, and how each is asked whether it is there.
const TOOLS: &[(&str, &str)] = &[("ip", "-V"), ("ss", "-V"), ("tc", "-V"), ("nft", "--version")];

/// Why hosts cannot be made here, if they cannot.
pub fn missing() -> Option<String> {
    if bus_core::sys::effective_uid() != 0 {
        return Some("only root may make network namespaces".into());
    }
    let absent = |(tool, flag): &&(&str, &str)| try_run(&[tool, flag]).is_err();
    let absent: Vec<&str> = TOOLS.iter().filter(absent).map(|(tool, _)| *tool).collect();
    match absent.is_empty() {
        true => None,
        false => Some(format!("these programs are not there: {}", absent.join(", "))),
    }
}

/// Runs a command; what it says, or what is wrong.
pub fn try_run(words: &[&str]) -> Result<String, String> {
    let mut command = Command::new(words[0]);
    let done = command.args(&words[1..]).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = done.map_err(|error| format!("{words:?}: {error}"))?;
    match status.success() {
        true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&stderr).trim())),
    }
}

/// Runs a command that works where the tests do.
pub fn run(words: &[&str]) -> String {
    try_run(words).unwrap_or_else(|error| panic!("{error}"))
}
