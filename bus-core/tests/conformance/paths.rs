//! Where a broker may listen on its machine, and whom it does not push aside.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use bus_core::sys::effective_uid;
use bus_core::transport::{LocalListener, connect_local};
use bytes::{Bytes, BytesMut};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tempfile::TempDir;
use tokio::time::timeout;

/// A folder, and a path for a socket in it.
fn place() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("bus.sock");
    (home, path)
}

fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn refused(path: &Path, kind: io::ErrorKind) -> String {
    let error = LocalListener::bind(path).map(drop).expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

async fn is_reached(path: &Path, listener: &LocalListener) {
    let (near, far) = tokio::join!(connect_local(path), listener.accept());
    near.expect("connects");
    far.expect("accepts");
}

#[tokio::test]
async fn a_second_listener_on_the_path_is_refused_and_told_the_pid_of_the_first() {
    let (_home, path) = place();
    let first = LocalListener::bind(&path).expect("nobody is there");
    let text = refused(&path, io::ErrorKind::AddrInUse);
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    assert!(text.contains(&path.display().to_string()), "{text}");
    is_reached(&path, &first).await;
    drop(first);
    assert!(!path.exists() && !lock_of(&path).exists(), "nothing is left behind");
    let next = LocalListener::bind(&path).expect("the path is free again");
    is_reached(&path, &next).await;
}

#[tokio::test]
async fn a_stale_socket_is_taken_over() {
    let (_home, path) = place();
    // As a broker leaves it that was killed: a socket without listener, a lock without holder.
    drop(UnixListener::bind(&path).expect("a socket"));
    fs::write(lock_of(&path), "999999\n").expect("writes");
    assert!(path.exists());
    let listener = LocalListener::bind(&path).expect("nobody listens there");
    is_reached(&path, &listener).await;
}

#[tokio::test]
async fn what_is_no_socket_is_refused_and_left_alone() {
    let (home, path) = place();
    fs::write(&path, "precious").expect("writes");
    let text = refused(&path, io::ErrorKind::AddrInUse);
    assert!(text.contains("not a socket"), "{text}");
    assert!(!lock_of(&path).exists(), "nobody listens, so nobody holds it");
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    fs::remove_file(&path).expect("removes");
    fs::create_dir(&path).expect("a folder");
    refused(&path, io::ErrorKind::AddrInUse);
    fs::remove_dir(&path).expect("removes");
    // Nor is a link followed, to a socket or by the lock.
    let elsewhere = home.path().join("elsewhere");
    drop(UnixListener::bind(&elsewhere).expect("a socket"));
    symlink(&elsewhere, &path).expect("a link");
    refused(&path, io::ErrorKind::AddrInUse);
    assert!(elsewhere.exists() && path.is_symlink());
    fs::remove_file(&path).expect("removes");
    let victim = home.path().join("victim");
    fs::write(&victim, "precious").expect("writes");
    fs::remove_file(lock_of(&path)).ok();
    symlink(&victim, lock_of(&path)).expect("a link");
    LocalListener::bind(&path).map(drop).expect_err("the lock is a link");
    assert_eq!(fs::read_to_string(&victim).expect("still there"), "precious");
}

#[tokio::test]
async fn a_live_listener_of_another_program_is_not_pushed_aside() {
    let (_home, path) = place();
    let foreign = UnixListener::bind(&path).expect("a socket");
    let text = refused(&path, io::ErrorKind::AddrInUse);
    assert!(text.contains("not a broker"), "{text}");
    foreign.set_nonblocking(true).expect("can be set");
    // It is still reached under its path.
    let _client = UnixStream::connect(&path).expect("it listens");
    while foreign.accept().is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_waits_until_there_is_one() {
    let (_home, path) = place();
    let listener = LocalListener::bind(&path).expect("nobody is there");
    let address = SocketAddrUnix::new(&path).expect("it is short");
    let mut others = Vec::new();
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let socket = socket.expect("a socket");
        match connect(&socket, &address) {
            Ok(()) => others.push(socket),
            Err(error) => break assert_eq!(error, rustix::io::Errno::AGAIN),
        }
    }
    let mut connecting = pin!(connect_local(&path));
    let early = timeout(Duration::from_millis(50), &mut connecting).await;
    assert!(early.is_err(), "there is no place");
    for _ in &others {
        listener.accept().await.expect("they are there");
    }
    let (near, far) = tokio::join!(connecting, listener.accept());
    let (mut near, mut far) = (near.expect("connects"), far.expect("accepts"));
    let sent = Bytes::from_static(b"here");
    assert_eq!(near.try_write(&[sent]).expect("it is connected"), 4);
    poll_fn(|cx| far.poll_readable(cx)).await.expect("it comes");
    let mut read = BytesMut::new();
    assert_eq!(far.try_read(&mut read).expect("it is there"), 4);
}

#[tokio::test]
async fn a_path_that_is_too_long_is_refused_by_both_sides() {
    let (home, _) = place();
    let path = home.path().join("x".repeat(200));
    let text = refused(&path, io::ErrorKind::InvalidInput);
    let length = path.as_os_str().len().to_string();
    assert!(text.contains(&length) && text.contains("107"), "{text}");
    let error = connect_local(&path).await.map(drop).expect_err("it is too long");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains(&length), "{error}");
}

#[tokio::test]
async fn a_folder_that_others_write_or_own_is_refused() {
    let (home, _) = place();
    let folder = |name: &str, mode: u32| {
        let folder = home.path().join(name);
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("can be set");
        folder
    };
    for mode in [0o777, 0o775, 0o757] {
        let folder = folder(&format!("mode{mode:o}"), mode);
        let text = refused(&folder.join("bus.sock"), io::ErrorKind::PermissionDenied);
        assert!(text.contains(&folder.display().to_string()), "{text}");
        assert_eq!(fs::read_dir(&folder).expect("is there").count(), 0, "it was touched");
    }
    // Nobody can take away what is in a sticky one.
    let sticky = folder("sticky", 0o1777).join("bus.sock");
    is_reached(&sticky, &LocalListener::bind(&sticky).expect("it is safe")).await;
    // Through a link counts what it leads to.
    let (safe, linked) = (folder("safe", 0o755), home.path().join("linked"));
    symlink(&safe, &linked).expect("a link");
    let through = linked.join("bus.sock");
    is_reached(&through, &LocalListener::bind(&through).expect("it is safe")).await;
    if effective_uid() != 0 {
        return eprintln!("skipped in part: only root can give a folder away");
    }
    let foreign = folder("foreign", 0o755);
    chown(&foreign, Some(54_321), None).expect("root may");
    let text = refused(&foreign.join("bus.sock"), io::ErrorKind::PermissionDenied);
    assert!(text.contains("54321"), "{text}");
}

#[tokio::test]
async fn the_folder_is_made_if_it_is_missing_and_the_socket_is_open_to_all() {
    let (home, _) = place();
    let path = home.path().join("made").join("bus.sock");
    let listener = LocalListener::bind(&path).expect("it is made");
    let folder = fs::metadata(home.path().join("made")).expect("it is there");
    let expected = if effective_uid() == 0 { 0o755 } else { 0o700 };
    assert_eq!(folder.mode() & 0o7777, expected);
    // Whatever the umask of this process is: rights are the broker's business.
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o666);
    is_reached(&path, &listener).await;
    let too_deep = home.path().join("not").join("there").join("bus.sock");
    refused(&too_deep, io::ErrorKind::NotFound);
}
