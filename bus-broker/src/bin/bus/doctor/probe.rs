//! Reading what the machine tells, and trying what the kernel can.
//!
//! What cannot be read is judged as not told; nothing here fails.

use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use bus_core::transport::default_path;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{PidfdFlags, Resource, getpid, getrlimit, pidfd_open};

use super::finding::Finding;
use super::judge;

/// All about this machine.
pub fn machine() -> Vec<Finding> {
    let descriptors = getrlimit(Resource::Nofile);
    let release = text("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    let on_socket =
        "lanes cannot be had: clients on this machine go over the socket, several times slower";
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let source = text("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    vec![
        Finding::ok("kernel", release),
        judge::descriptors(descriptors.current, descriptors.maximum),
        Finding::ok("locked memory", "not needed: lanes are not locked"),
        judge::backlog(text("/proc/sys/net/core/somaxconn").and_then(|text| text.parse().ok())),
        socket_folder(),
        judge::memory(available(), control_group()),
        judge::feature("sealed memory", shown(sealed_memory()), on_socket),
        judge::feature("passing descriptors", shown(passing()), on_socket),
        judge::feature(
            "process descriptors",
            shown(pidfd_open(getpid(), PidfdFlags::NONBLOCK).map(|_| ())),
            "the death of a client is noticed by its connection alone, which a forked child keeps open",
        ),
        judge::namespace(own_namespace(), container().as_deref()),
        judge::clock(now, source.as_deref()),
    ]
}

fn shown(tried: rustix::io::Result<()>) -> Result<(), String> {
    tried.map_err(|error| error.to_string())
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn socket_folder() -> Finding {
    let socket = default_path();
    let Some(folder) = socket.parent() else { return Finding::ok("socket folder", "none") };
    let found = fs::metadata(folder).ok().map(|found| (found.uid(), found.mode()));
    judge::folder(&folder.display().to_string(), bus_core::sys::effective_uid(), found)
}

fn available() -> Option<u64> {
    let text = text("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// The limit of this process's control group and what is used of it, if it has one.
fn control_group() -> Option<(u64, u64)> {
    let own = text("/proc/self/cgroup")?;
    let unified = own.lines().find_map(|line| line.strip_prefix("0::"));
    let second = unified.and_then(|path| {
        let folder = format!("/sys/fs/cgroup{}", path.trim_end_matches('/'));
        let number = |file: &str| text(&format!("{folder}/{file}"))?.parse::<u64>().ok();
        Some((number("memory.max")?, number("memory.current")?))
    });
    second.or_else(|| {
        let path = own.lines().find_map(|line| line.split_once(":memory:"))?.1.to_owned();
        let folder = format!("/sys/fs/cgroup/memory{}", path.trim_end_matches('/'));
        let number = |file: &str| text(&format!("{folder}/{file}"))?.parse::<u64>().ok();
        let limit = number("memory.limit_in_bytes")?;
        // Without a limit there stands the largest number of pages.
        (limit < 1 << 60).then_some((limit, number("memory.usage_in_bytes")?))
    })
}

/// Makes memory as lanes need it, with all seals.
fn sealed_memory() -> rustix::io::Result<()> {
    let memory = memfd_create("bus-doctor", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
    ftruncate(&memory, 4096)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
    fcntl_add_seals(&memory, seals)
}

/// Passes a descriptor to itself.
fn passing() -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (here, there) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut sent = SendAncillaryBuffer::new(&mut space);
    let passed = [here.as_fd()];
    sent.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(&here, &[IoSlice::new(b"x")], &mut sent, SendFlags::NOSIGNAL)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let (mut control, mut byte) = (RecvAncillaryBuffer::new(&mut space), [0]);
    let mut parts = [IoSliceMut::new(&mut byte)];
    recvmsg(&there, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let came = control.drain().any(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next().is_some(),
        _ => false,
    });
    if came { Ok(()) } else { Err(rustix::io::Errno::NOSYS) }
}

/// Whether this process's namespace of process numbers is the machine's first one, which has this number on
/// every Linux.
fn own_namespace() -> Option<bool> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_str() == Some("pid:[4026531836]"))
}

/// What container this is, as those who make them say.
fn container() -> Option<String> {
    let file = |path: &str, name: &str| fs::exists(path).ok()?.then(|| name.to_owned());
    let said = std::env::var("container").ok().filter(|name| !name.is_empty());
    said.or_else(|| file("/.dockerenv", "docker")).or_else(|| file("/run/.containerenv", "podman"))
}
