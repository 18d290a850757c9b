//! `docs/remote.md`, word for word: what it has somebody type on two hosts is typed in two network
//! namespaces, and what it says that he sees is waited for.
//!
//! The page's addresses are those of the namespaces; `scp` is a script that copies between the
//! folders that stand for the two homes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::block_on;
use crate::world::World;

const PAGE: &str = include_str!("../../../docs/remote.md");
const NAMES: [&str; 2] = ["alpha", "beta"];
const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so long somebody would publish again, to see whether it comes now.
const AGAIN: Duration = Duration::from_secs(1);

/// What a block of the page is.
#[derive(Debug)]
enum Step<'a> {
    /// A file of this name.
    File(&'a str),
    /// Commands; whether they go on in a terminal of their own, and whether they must fail.
    Type { stays: bool, fails: bool },
    /// What is seen.
    See,
}

/// One block, and on which host.
struct Block<'a> {
    host: usize,
    step: Step<'a>,
    text: &'a str,
}

/// The page's blocks, each with what the line before it says of it.
fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((before, behind)) = rest.split_once("```") {
        let (kind, behind) = behind.split_once('\n').expect("a fence has a line of its own");
        let (text, after) = behind.split_once("```").expect("a block ends");
        let lead = before.trim_end().lines().last().unwrap_or_default();
        let host = NAMES.iter().position(|name| lead.contains(&format!("**{name}**")));
        let step = match kind {
            "toml" => Step::File(lead.split('`').nth(1).expect("the name of the file")),
            "sh" => Step::Type {
                stays: lead.contains("terminal of its own"),
                fails: lead.contains("which fails"),
            },
            "text" => Step::See,
            other => panic!("a block of the unknown kind {other:?}"),
        };
        let host = host.unwrap_or_else(|| panic!("`{lead}` does not say on which host"));
        blocks.push(Block { host, step, text });
        rest = after;
    }
    blocks
}

/// Somebody who does what the page says.
struct Reader {
    world: World,
    folder: tempfile::TempDir,
    terminals: Vec<Child>,
}

impl Reader {
    fn new(world: World) -> Reader {
        let folder = tempfile::tempdir().expect("a folder");
        for (index, host) in world.hosts.iter().enumerate() {
            let home = folder.path().join(NAMES[index]);
            std::fs::create_dir_all(home.join("bin")).expect("a home");
            let bus = env!("CARGO_BIN_EXE_bus");
            std::os::unix::fs::symlink(bus, home.join("bin/bus")).expect("a link");
            assert_eq!(world.wires[0].address(host.index), ADDRESSES[index], "as on the page");
        }
        Reader { world, folder, terminals: Vec::new() }
    }

    fn home(&self, host: usize) -> PathBuf {
        self.folder.path().join(NAMES[host])
    }

    /// Beside the program there is a `scp` that knows where alpha's home is.
    fn make_scp(&self) {
        let path = self.home(1).join("bin/scp");
        let script = format!(
            "#!/bin/sh\nset -e\nfor last; do :; done\nfor from; do\n  case $from in {}:*) cp \"{}/${{from#*:}}\" \"$last\";; esac\ndone\n",
            ADDRESSES[0],
            self.home(0).display()
        );
        std::fs::write(&path, script).expect("a script");
        let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, may_run).expect("it may be run");
    }

    fn log(&self, host: usize) -> PathBuf {
        self.home(host).join("seen")
    }

    /// What has been seen on a host.
    fn seen(&self, host: usize) -> String {
        std::fs::read_to_string(self.log(host)).unwrap_or_default()
    }

    fn shell(&self, host: usize, text: &str) -> Command {
        let home = self.home(host);
        let path = format!("{}/bin:{}", home.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = self.world.hosts[host].command("bash");
        let log = std::fs::File::options().create(true).append(true).open(self.log(host));
        let log = log.expect("a file");
        let both = log.try_clone().expect("a descriptor");
        command.args(["-ec", text]).current_dir(&home).env_clear().stdin(Stdio::null());
        command.env("PATH", path).env("HOME", &home).env("XDG_RUNTIME_DIR", run_folder(&home));
        command.stdout(log).stderr(both).kill_on_drop(true);
        command
    }

    async fn do_it(&mut self, block: &Block<'_>) {
        match block.step {
            Step::File(name) => {
                std::fs::write(self.home(block.host).join(name), block.text).expect("a file");
            }
            Step::Type { stays: true, .. } => {
                let text = format!("exec {}", block.text.trim());
                let terminal = self.shell(block.host, &text).spawn().expect("a shell");
                self.terminals.push(terminal);
                self.until_it_listens(block).await;
            }
            Step::Type { fails, .. } => {
                let status = self.shell(block.host, block.text).status().await.expect("a shell");
                let seen = self.seen(block.host);
                assert_eq!(status.success(), !fails, "{}{seen}", block.text);
            }
            Step::See => {}
        }
    }

    /// Whoever starts a broker sees that it listens before he goes on.
    async fn until_it_listens(&self, block: &Block<'_>) {
        if block.text.contains("bus serve") {
            self.until_seen(block.host, "listening on local:", None).await;
        }
    }

    /// Waits until this is seen. Somebody who has published, and sees nothing yet, does it again.
    async fn until_seen(&self, host: usize, text: &str, publishing: Option<&Block<'_>>) {
        let (deadline, mut again) = (Instant::now() + PATIENCE, Instant::now() + AGAIN);
        while !self.seen(host).contains(text) {
            let seen = self.seen(host);
            assert!(Instant::now() < deadline, "`{text}` is not seen on {}:\n{seen}", NAMES[host]);
            if let Some(block) = publishing.filter(|_| Instant::now() > again) {
                again = Instant::now() + AGAIN;
                let status = self.shell(block.host, block.text).status().await.expect("a shell");
                assert!(status.success(), "{}", self.seen(block.host));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn run_folder(home: &Path) -> PathBuf {
    let folder = home.join("run");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn the_page_about_two_hosts_can_be_typed_as_it_stands() {
    block_on(async {
        let Some(world) = World::pair() else { return };
        let mut reader = Reader::new(world);
        reader.make_scp();
        let blocks = blocks(PAGE);
        assert!(blocks.len() > 10, "the page has {} blocks", blocks.len());
        for (index, block) in blocks.iter().enumerate() {
            reader.do_it(block).await;
            if let Step::See = block.step {
                // What only asks, or publishes, is done again by somebody who does not see it yet.
                let again = blocks[..index].last().filter(|last| {
                    let text = last.text.trim_start();
                    text.starts_with("bus pub") || text.starts_with("bus bridge ls")
                });
                reader.until_seen(block.host, block.text.trim(), again).await;
            }
        }
        for mut terminal in reader.terminals.drain(..) {
            terminal.kill().await.expect("it ends");
        }
    });
}

#[test]
fn blocks_are_told_apart_by_what_stands_before_them() {
    let page = "On **beta**, which fails:\n\n```sh\nfalse\n```\n\nYou see on **alpha**:\n\n```text\nx\n```\n";
    let blocks = blocks(page);
    assert_eq!((blocks[0].host, blocks[1].host), (1, 0));
    assert!(matches!(blocks[0].step, Step::Type { stays: false, fails: true }));
    assert_eq!((blocks[0].text, blocks[1].text), ("false\n", "x\n"));
}
