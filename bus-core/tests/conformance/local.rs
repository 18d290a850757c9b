//! The path of a local socket: one broker, nothing overwritten, nothing left behind.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bus_core::transport::{LocalListener, connect_local};

use super::Room;

fn refused(path: &Path) -> io::Error {
    match LocalListener::bind(path) {
        Ok(_) => panic!("{} was taken", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_second_listener_is_refused_and_told_the_pid_of_the_first() {
    let room = Room::new("second");
    let path = room.0.join("bus.sock");
    let _first = LocalListener::bind(&path).expect("listens");
    let error = refused(&path);
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn a_path_is_free_again_and_clean_when_its_listener_ends() {
    let room = Room::new("again");
    let path = room.0.join("bus.sock");
    drop(LocalListener::bind(&path).expect("listens"));
    assert_eq!(std::fs::read_dir(&room.0).expect("a directory").count(), 0);
    LocalListener::bind(&path).expect("listens again");
}

#[tokio::test]
async fn a_stale_socket_is_taken_over() {
    let room = Room::new("stale");
    let path = room.0.join("bus.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists());
    let listener = LocalListener::bind(&path).expect("takes it over");
    let (link, accepted) = tokio::join!(connect_local(&path), listener.accept());
    link.expect("connects");
    accepted.expect("accepts");
}

#[tokio::test]
async fn a_live_listener_and_a_plain_file_are_never_overwritten() {
    let room = Room::new("live");
    let path = room.0.join("bus.sock");
    let live = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    assert!(refused(&path).to_string().contains("not a broker"));
    drop(live);
    let file = room.0.join("file");
    std::fs::write(&file, "precious").expect("a file");
    assert!(refused(&file).to_string().contains("not a socket"));
    assert_eq!(std::fs::read(&file).expect("still there"), b"precious");
}

#[tokio::test]
async fn a_path_of_200_characters_says_what_is_allowed() {
    let path = Path::new("/tmp").join("x".repeat(200));
    assert!(refused(&path).to_string().contains("at most 107"));
    let error = connect_local(&path).await.err().expect("refused");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_directory_that_others_can_write_is_refused() {
    let room = Room::new("unsafe");
    let open = room.0.join("open");
    std::fs::create_dir(&open).expect("a directory");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("changes");
    let error = refused(&open.join("bus.sock"));
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("others may write"), "{error}");
}
