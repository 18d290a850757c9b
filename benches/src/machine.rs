//! The machine: cores, the shared clock, and the notes without which figures mean nothing.
//!
//! Only reads the system; no sysctl is changed here. What cannot be read is
//! left empty rather than guessed.
//! Invariant: `monotonic_ns` is one clock for all processes of a run.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What the figures depend on beside the code.
#[derive(Clone, Debug, Serialize)]
pub struct Notes {
    /// When the first run began, in seconds since 1970.
    pub begun_unix_s: i64,
    /// System and release.
    pub kernel: String,
    /// As `/proc/cpuinfo` says.
    pub cpu_model: String,
    /// Cores that the harness may use.
    pub cores: Vec<usize>,
    /// Whether the machine is a virtual one.
    pub hypervisor: bool,
    /// Main memory, MiB.
    pub memory_mib: u64,
    /// Load averages before the first run.
    pub load_average: String,
    /// Whether the harness itself is an optimised build.
    pub optimised: bool,
    /// Limits of the kernel that bound the rivals; left as they are.
    pub limits: Vec<(String, String)>,
}

impl Notes {
    /// Reads them all.
    pub fn read() -> Result<Notes> {
        const LIMITS: [&str; 10] = [
            "kernel/msgmax",
            "kernel/msgmnb",
            "kernel/msgmni",
            "fs/mqueue/msg_max",
            "fs/mqueue/msgsize_max",
            "net/core/rmem_default",
            "net/core/wmem_default",
            "net/ipv4/tcp_rmem",
            "net/ipv4/tcp_wmem",
            "kernel/sched_autogroup_enabled",
        ];
        let name = rustix::system::uname();
        let cpu_info = read_or_empty("/proc/cpuinfo");
        let memory = read_or_empty("/proc/meminfo");
        let memory_kib = field(&memory, "MemTotal").and_then(first_number).unwrap_or(0);
        Ok(Notes {
            begun_unix_s: clock_gettime(ClockId::Realtime).tv_sec,
            kernel: format!(
                "{} {}",
                name.sysname().to_string_lossy(),
                name.release().to_string_lossy()
            ),
            cpu_model: field(&cpu_info, "model name").unwrap_or_default().to_owned(),
            cores: allowed_cores()?,
            hypervisor: field(&cpu_info, "flags")
                .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
            memory_mib: memory_kib / 1024,
            load_average: read_or_empty("/proc/loadavg").trim().to_owned(),
            optimised: !cfg!(debug_assertions),
            limits: LIMITS
                .iter()
                .map(|&limit| {
                    let value = read_or_empty(&format!("/proc/sys/{limit}"));
                    (
                        limit.replace('/', "."),
                        value.split_whitespace().collect::<Vec<_>>().join(" "),
                    )
                })
                .collect(),
        })
    }
}

/// The cores that this process may run on.
pub fn allowed_cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("reading the affinity")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Keeps the calling thread, and threads that it starts later, on one core.
pub fn pin_current_thread(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("pinning to core {core}"))
}

/// The monotonic clock that all processes of the machine share.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The kernel's monotonic clock starts at boot and is never negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Lets this process have as many descriptors as it may, for those that hold many connections.
pub fn raise_descriptor_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the limit of descriptors")
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "the parent, and a child that is not connected yet, have nothing else to do"
)]
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// The value of `name : value` in one of the kernel's tables.
pub fn field<'a>(table: &'a str, name: &str) -> Option<&'a str> {
    table.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The number at the start of a value such as `548 kB`.
pub fn first_number(value: &str) -> Option<u64> {
    value.split_whitespace().next()?.parse().ok()
}

fn read_or_empty(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
