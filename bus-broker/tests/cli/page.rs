//! `docs/command.md` and `docs/operation.md`, word for word: what they have somebody type is typed, and what they say that
//! he sees is waited for. A verb without an example is found too.
//!
//! A block whose first line says what it needs (`# Needs root and systemd.`) is left out where that is not had, and of all
//! that the tests can have only programs are looked for.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{DONE, PATIENCE, bus};

const PAGE: &str = include_str!("../../../docs/command.md");
const OPERATION: &str = include_str!("../../../docs/operation.md");
/// The port on the page, for which the test takes a free one.
const PORT: &str = "127.0.0.1:9464";
/// What a block may need that is tried, and not left out: programs.
const TRIED: &[&str] = &["curl"];

/// One block, and what stands before it.
struct Block<'a> {
    kind: &'a str,
    text: &'a str,
    stays: bool,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut rest) = (Vec::new(), page);
    while let Some((before, behind)) = rest.split_once("```") {
        let (kind, behind) = behind.split_once('\n').expect("a fence has a line of its own");
        let (text, after) = behind.split_once("```").expect("a block ends");
        let lead = before.trim_end().lines().last().unwrap_or_default();
        blocks.push(Block { kind, text, stays: lead.contains("terminal of its own") });
        rest = after;
    }
    blocks
}

impl Block<'_> {
    /// Why it is not typed here, if it is not.
    fn left_out(&self) -> Option<&str> {
        let needs = self.text.strip_prefix("# Needs ")?.lines().next()?.trim_end_matches('.');
        let has = TRIED.contains(&needs)
            && std::process::Command::new(needs).arg("--version").output().is_ok();
        (!has).then_some(needs)
    }
}

/// Somebody who does what the page says.
struct Reader {
    home: PathBuf,
    terminals: Vec<Child>,
}

impl Reader {
    fn seen(&self) -> String {
        std::fs::read_to_string(self.home.join("seen")).unwrap_or_default()
    }

    fn shell(&self, text: &str) -> Command {
        let home = &self.home;
        let program = Path::new(env!("CARGO_BIN_EXE_bus")).parent().expect("a folder").display();
        let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
        let log = std::fs::File::options().create(true).append(true).open(home.join("seen"));
        let log = log.expect("a file");
        let both = log.try_clone().expect("a descriptor");
        let mut command = Command::new("bash");
        command.args(["-ec", &format!("set -o pipefail\n{text}")]).current_dir(home).env_clear();
        command.env("PATH", path).env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
        command.stdin(Stdio::null()).stdout(log).stderr(both).kill_on_drop(true);
        command
    }

    async fn do_it(&mut self, block: &Block<'_>) {
        if !block.stays {
            let status = timeout(PATIENCE, self.shell(block.text).status()).await;
            let status = status.expect("it ends").expect("a shell");
            assert!(status.success(), "{}{}", block.text, self.seen());
            return;
        }
        let before = self.clients().await;
        let text = format!("exec {}", block.text.trim());
        self.terminals.push(self.shell(&text).spawn().expect("a shell"));
        match block.text.starts_with("bus serve") {
            true => self.until_seen("listening on local:", None).await,
            // Somebody types the next command after this one has begun.
            false => {
                let deadline = Instant::now() + PATIENCE;
                while self.clients().await <= before {
                    assert!(Instant::now() < deadline, "{}{}", block.text, self.seen());
                }
            }
        }
    }

    /// How many channels clients have open that stay.
    async fn clients(&self) -> u64 {
        let mut list = self.shell("bus ls --clients --json > clients 2>&1 || true");
        list.status().await.expect("a shell");
        let text = std::fs::read_to_string(self.home.join("clients")).unwrap_or_default();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let clients = list["clients"].as_array().into_iter().flatten();
        clients.filter_map(|client| client["channels"].as_u64()).sum()
    }

    /// Waits until this is seen; somebody who has published does so again meanwhile.
    async fn until_seen(&self, text: &str, again: Option<&Block<'_>>) {
        let deadline = Instant::now() + PATIENCE;
        let mut next = Instant::now() + Duration::from_secs(1);
        while !self.seen().contains(text) {
            assert!(Instant::now() < deadline, "`{text}` is not seen:\n{}", self.seen());
            if let Some(block) = again.filter(|_| Instant::now() > next) {
                next = Instant::now() + Duration::from_secs(1);
                self.shell(block.text).status().await.expect("a shell");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn the_page_about_the_command_can_be_typed_as_it_stands() {
    assert!(typed(PAGE).await.is_none_or(|blocks| blocks > 20));
}

#[tokio::test]
async fn the_page_about_running_a_broker_can_be_typed_where_no_service_manager_is_needed() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").to_string();
    drop(free);
    assert!(OPERATION.contains(PORT));
    assert!(typed(&OPERATION.replace(PORT, &port)).await.is_none_or(|blocks| blocks >= 7));
}

/// Types a page. How many blocks that were; `None` if there is no shell for it here.
async fn typed(page: &str) -> Option<usize> {
    if std::process::Command::new("bash").arg("--version").output().is_err() {
        eprintln!("skipped: there is no bash here");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().to_owned();
    std::fs::create_dir(home.join("run")).expect("a folder");
    let mut reader = Reader { home, terminals: Vec::new() };
    let (blocks, mut done) = (blocks(page), 0);
    for (index, block) in blocks.iter().enumerate() {
        if let Some(needs) = block.left_out() {
            eprintln!("skipped: a block that needs {needs}");
            continue;
        }
        done += 1;
        match block.kind {
            // Configuration, whose keys another test compares.
            "toml" => {}
            "sh" => reader.do_it(block).await,
            "text" => {
                let again = blocks[..index].last().filter(|last| last.text.starts_with("bus pub"));
                reader.until_seen(block.text.trim(), again).await;
            }
            other => panic!("a block of the unknown kind {other:?}"),
        }
    }
    for mut terminal in reader.terminals.drain(..).rev() {
        // One that was to end by itself has ended.
        let _ = terminal.kill().await;
    }
    Some(done)
}

#[tokio::test]
async fn kinds_of_events_stand_on_the_page_and_in_the_help_as_the_broker_has_them() {
    let help = bus(&["events", "--help"]).await.check(DONE, &[]).out.clone();
    for kind in bus_broker::EVENT_KINDS {
        let states: Vec<String> =
            kind.states.iter().map(|(state, _)| format!("`{state}`")).collect();
        let row = format!("| `{}` | {} | {} |", kind.word, kind.meaning, states.join(", "));
        let row = row.replace("|  |", "| |");
        assert!(PAGE.contains(&row), "{row}");
        assert!(help.contains(kind.meaning), "{}: {help}", kind.word);
        for (state, meaning) in kind.states {
            assert!(help.contains(&format!("state={state}")) && help.contains(meaning), "{state}");
        }
    }
}

#[tokio::test]
async fn every_verb_has_an_example_on_the_page() {
    let help = bus(&["--help"]).await;
    help.check(DONE, &[]);
    let typed: String =
        blocks(PAGE).iter().filter(|block| block.kind == "sh").map(|b| b.text).collect();
    let rows = help.out.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let verbs = rows.take_while(|row| !row.is_empty()).filter(|row| !row.starts_with("   "));
    let verbs: Vec<_> = verbs.filter_map(|row| row.split_whitespace().next()).collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    for verb in verbs.iter().filter(|verb| **verb != "help") {
        assert!(typed.contains(&format!("bus {verb}")), "`{verb}` has no example");
    }
}
