//! The unit files of `docs/systemd`, as systemd reads them.
//!
//! Where its tool is not there that is said, and nothing is checked.

use std::fs;
use std::path::Path;
use std::process::Command;

const SERVICE: &str = include_str!("../../../docs/systemd/bus.service");
const SOCKET: &str = include_str!("../../../docs/systemd/bus.socket");
/// Where the unit has the program.
const PROGRAM: &str = "/usr/local/bin/bus";

/// What the tool has to say of these; `None` where there is no tool.
fn said_of(service: &str, socket: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let service = service.replace(PROGRAM, env!("CARGO_BIN_EXE_bus"));
    let files = [write("bus.service", &service), write("bus.socket", socket)];
    let output = Command::new("systemd-analyze").arg("verify").args(files).output();
    match output {
        Ok(output) => {
            let failed = if output.status.success() { "" } else { "it has failed: " };
            Some(format!("{failed}{}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => {
            eprintln!("skipped: systemd-analyze cannot be run: {error}");
            None
        }
    }
}

/// Of the units of this machine nothing is said here.
fn about_ours(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains("bus.") || line.starts_with("it has failed")).collect()
}

#[test]
fn systemd_has_nothing_to_say_of_the_unit_files_and_notices_a_mistake() {
    let Some(said) = said_of(SERVICE, SOCKET) else { return };
    assert_eq!(about_ours(&said), Vec::<&str>::new());
    for (right, wrong) in [("NoNewPrivileges=", "NoNewPrivilege="), ("Type=notify", "Type=tells")] {
        let said = said_of(&SERVICE.replace(right, wrong), SOCKET).expect("as before");
        assert!(!about_ours(&said).is_empty(), "{wrong} was not noticed");
    }
}

/// How a broker ends that is started as this unit says, but for its file, and only checks what it was told.
fn checked(service: &str) -> Option<i32> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bus.toml");
    fs::write(&file, "listen = [\"local:/run/bus/broker.sock\"]\n").expect("a file");
    let line = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("one");
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some(PROGRAM));
    let place = file.display().to_string();
    let words = words.map(|word| if word == "/etc/bus/bus.toml" { place.as_str() } else { word });
    let mut command = Command::new(env!("CARGO_BIN_EXE_bus"));
    command.env_clear().args(words).arg("--check");
    command.output().expect("it runs").status.code()
}

#[test]
fn the_program_understands_how_the_unit_starts_it_and_a_mistake_is_noticed() {
    assert_eq!(checked(SERVICE), Some(0));
    assert_eq!(checked(&SERVICE.replace("--config", "--confg")), Some(2));
    assert_eq!(checked(&SERVICE.replace(" serve ", " server ")), Some(2));
    assert!(SERVICE.contains("ExecReload=/bin/kill -HUP $MAINPID"), "as SIGHUP is what it hears");
}

#[test]
fn the_units_agree_with_each_other_and_with_the_page() {
    let page = include_str!("../../../docs/operation.md");
    let path = SOCKET.lines().find_map(|line| line.strip_prefix("ListenStream=")).expect("one");
    assert!(Path::new(path).is_absolute());
    assert!(page.contains(&format!("listen = [\"local:{path}\"]")), "{path}");
    assert!(SERVICE.contains("Requires=bus.socket"));
    assert!(SERVICE.contains(&format!("ExecStart={PROGRAM} serve ")));
}
