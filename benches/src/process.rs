//! Real processes: started with a role or as a server, watched, ended by their own pid.
//!
//! A worker's standard input is its leash: when it ends, because the run is over or
//! the parent died, the worker ends too. A server is started through the hidden
//! `launch` command, which ties it to this process and then becomes the server.
//! Invariant: no `Child` outlives its owner, not even after a failure or a panic.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cell::{Order, Role};
use crate::machine;

/// What a worker said, with its place in the cast.
pub type Report = (usize, Event);

/// One thing heard from a worker.
pub enum Event {
    /// A whole line.
    Line(String),
    /// Its standard output ended: it is gone, or going.
    Closed,
}

/// A child process that ends with its owner.
pub struct Child {
    label: String,
    process: std::process::Child,
    leash: Option<ChildStdin>,
    ending: Ending,
}

/// How a child is asked to end before it is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Its standard input ends.
    Leash,
    /// SIGTERM, to its pid.
    Terminate,
    /// No asking.
    Kill,
}

impl Child {
    /// Starts this program again in the role that `order` tells; its lines go to `reports`.
    pub fn worker(order: &Order, place: usize, reports: mpsc::SyncSender<Report>) -> Result<Child> {
        let label = format!("{} {:?} {}", order.contender, order.role, order.index);
        let mut process = worker_command(order)?
            .arg("role")
            .arg(serde_json::to_string(order)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {label}"))?;
        let leash = process.stdin.take();
        if let Some(output) = process.stdout.take() {
            thread::spawn(move || forward_lines(output, place, &reports));
        }
        Ok(Child { label, process, leash, ending: Ending::Leash })
    }

    /// Starts another program as the server of a run; its output goes to `server.log` in the room.
    pub fn server(
        program: &Path,
        arguments: &[&str],
        core: Option<usize>,
        room: &Room,
    ) -> Result<Child> {
        let log = File::create(room.directory().join("server.log"))?;
        let mut command = Command::new(own_program()?);
        command.arg("launch");
        if let Some(core) = core {
            command.arg("--core").arg(core.to_string());
        }
        let process = command
            .arg("--")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let label = format!("server {}", program.display());
        Ok(Child { label, process, leash: None, ending: Ending::Terminate })
    }

    /// Waits until `ready` says so, for as long as the child lives and `limit` allows.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready() {
            self.check_alive()?;
            ensure!(Instant::now() < deadline, "{} was not ready after {limit:?}", self.label);
            machine::pause(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Fails if the child has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early: {status}", self.label),
        }
    }

    /// Sends the child one line.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let Some(leash) = &mut self.leash else { bail!("{} takes no orders", self.label) };
        writeln!(leash, "{line}").with_context(|| format!("telling {}", self.label))
    }

    /// Lets go of a worker, which then ends by itself; does not wait.
    pub fn unleash(&mut self) {
        self.leash = None;
    }

    /// From now on no asking: a worker of a failed run may be stuck anywhere.
    pub fn give_up(&mut self) {
        self.ending = Ending::Kill;
    }

    /// The process id, valid as long as this value lives, since only `drop` reaps.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its name in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    fn ask(&mut self) {
        self.leash = None;
        if self.ending == Ending::Terminate {
            // It may have ended meanwhile; then there is nobody to ask, and nothing to do.
            let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        const GRACE: Duration = Duration::from_secs(3);
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        if self.ending != Ending::Kill {
            self.ask();
            let deadline = Instant::now() + GRACE;
            while Instant::now() < deadline {
                if matches!(self.process.try_wait(), Ok(Some(_))) {
                    return;
                }
                machine::pause(Duration::from_millis(1));
            }
        }
        // Failure means that it is already gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program, under `strace -c` if the order says so.
fn worker_command(order: &Order) -> Result<Command> {
    let program = own_program()?;
    let traced = order.trace.as_ref().filter(|_| order.role == Role::Publisher);
    let Some(path) = traced else { return Ok(Command::new(program)) };
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(path).arg("--").arg(program);
    Ok(command)
}

/// Before the pid in the names of rooms.
const ROOM_PREFIX: &str = "bus-benches.";

/// What surrounds a run: a private directory, and where the programs are.
pub struct Room {
    directory: PathBuf,
    binaries: PathBuf,
    cores: Vec<usize>,
    traced: bool,
    /// Whether it lies in another room, which removes it.
    inner: bool,
}

impl Room {
    /// A fresh directory that only this user can enter.
    pub fn new(binaries: &Path, cores: &[usize]) -> Result<Room> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only the number's uniqueness matters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{ROOM_PREFIX}{}.{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        Ok(Room {
            directory,
            binaries: binaries.to_owned(),
            cores: cores.to_owned(),
            traced: false,
            inner: false,
        })
    }

    /// A room in this one, for one server of several; it is there as long as this one.
    pub fn within(&self, name: &str) -> Result<Room> {
        let directory = self.directory.join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        let (binaries, cores) = (self.binaries.clone(), self.cores.clone());
        Ok(Room { directory, binaries, cores, traced: false, inner: true })
    }

    /// Removes the directories of harnesses that were killed.
    pub fn sweep() -> Result<()> {
        for entry in fs::read_dir(std::env::temp_dir())? {
            let entry = entry?;
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(ROOM_PREFIX));
            let pid = pid.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
                // Another user's may stay.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }

    /// Has the system calls of publishers counted, or not.
    pub fn traced(mut self, traced: bool) -> Room {
        self.traced = traced;
        self
    }

    /// Where the count of a contender's publisher is left, if it is wanted.
    pub fn trace(&self, contender: &str) -> Option<PathBuf> {
        self.traced.then(|| self.directory.join(format!("{contender}.strace")))
    }

    /// The directory: for sockets, port files, logs. Removed at the end.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of a server's program, such as the broker's, from where programs are looked for.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.binaries.join(name);
        ensure!(path.is_file(), "{} is not there; build it, or say --binaries", path.display());
        Ok(path)
    }

    /// The cores that this process may use.
    pub fn cores(&self) -> &[usize] {
        &self.cores
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.inner {
            return;
        }
        // What cannot be removed stays in the temporary directory, which is no reason to fail.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The hidden `launch` command: dies with the parent, pins itself, becomes the program.
pub fn launch(core: Option<usize>, command: &[String]) -> Result<()> {
    die_with_parent()?;
    if let Some(core) = core {
        machine::pin_current_thread(core)?;
    }
    let Some((program, arguments)) = command.split_first() else { bail!("nothing to launch") };
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("becoming {program}"))
}

/// Asks the kernel to kill this process when the one that started it ends.
pub fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// The path of this program, to start it again.
pub fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("finding the own program")
}

fn forward_lines(output: ChildStdout, place: usize, reports: &mpsc::SyncSender<Report>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        if reports.send((place, Event::Line(line))).is_err() {
            return;
        }
    }
    // Nobody listens any more if the run is over.
    let _ = reports.send((place, Event::Closed));
}
