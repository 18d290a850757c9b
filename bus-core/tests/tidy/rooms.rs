//! Words that may stand in certain rooms only: `unsafe`, the generated types, the runtime.
//!
//! A room is the beginning of a path: a folder with its slash, or one file.

use crate::Violation;
use crate::tokens::lines_with_word;

const UNSAFE_ROOMS: &[&str] = &[
    "bus-core/src/shm/",
    "bus-core/src/sys/",
    "benches/rivals/",
    "benches/src/contenders/posix_queue_calls.rs",
    "benches/src/contenders/system_v_calls.rs",
    // A hostile process stores into mappings behind everybody's back, and forks.
    "bus-broker/tests/hostile_lanes/bare_memory.rs",
    // Files that hang are made with a lease, of which no safe wrapper is there.
    "bus-broker/tests/cli/lease.rs",
];
const GENERATED_ROOMS: &[&str] = &["bus-core/src/frame/", "proto/"];
const TOKIO_ROOMS: &[&str] = &[
    "bus-core/src/transport/",
    "bus-core/src/sys/",
    "bus-core/tests/",
    "bus-client/",
    "bus-broker/",
    "examples/",
    "benches/",
];

pub fn unsafe_stays_in_its_rooms(path: &str, text: &str) -> Vec<Violation> {
    // Rival code may also stand in single files: the other systems that a bench measures.
    let rival = path.starts_with("benches/src/") && path.contains("rival");
    if rival { Vec::new() } else { outside("unsafe", UNSAFE_ROOMS, path, text) }
}

pub fn generated_types_stay_in_frame(path: &str, text: &str) -> Vec<Violation> {
    outside("bus_proto", GENERATED_ROOMS, path, text)
}

pub fn tokio_stays_in_its_rooms(path: &str, text: &str) -> Vec<Violation> {
    outside("tokio", TOKIO_ROOMS, path, text)
}

/// The places where the word stands although the file lies in none of the rooms.
fn outside(word: &str, rooms: &[&str], path: &str, text: &str) -> Vec<Violation> {
    let allowed = rooms.iter().any(|room| is_in_room(path, room));
    if allowed || !path.ends_with(".rs") || !text.contains(word) {
        return Vec::new();
    }
    let message = format!("`{word}` may stand only in {}", rooms.join(", "));
    let lines = lines_with_word(text, word);
    lines.into_iter().map(|line| Violation::new(path, line, message.as_str())).collect()
}

/// `a/b/` is the folder `a/b` and, for a module that has one, the file `a/b.rs`.
fn is_in_room(path: &str, room: &str) -> bool {
    path.starts_with(room) || path.strip_suffix(".rs") == room.strip_suffix('/')
}

#[cfg(test)]
mod tests {
    use super::{
        generated_types_stay_in_frame, tokio_stays_in_its_rooms, unsafe_stays_in_its_rooms,
    };
    use crate::{Rule, lines_caught};

    /// The planted text breaks the rule in line 2 of the bad paths, and in none of the good ones.
    fn check(rule: Rule, text: &str, good: &[&str], bad: &[&str]) {
        for path in good {
            assert!(rule(path, text).is_empty(), "{path}");
        }
        for path in bad {
            assert_eq!(lines_caught(rule, path, text), [2], "{path}");
        }
    }

    #[test]
    fn unsafe_outside_its_rooms_is_caught() {
        let planted = "//! Tells of unsafe things.\nfn f() { unsafe { g(\"unsafe\") } }\n";
        let good = ["bus-core/src/shm/ring.rs", "bus-core/src/sys/mod.rs", "bus-core/src/sys.rs"];
        check(unsafe_stays_in_its_rooms, planted, &good, &["bus-core/src/lib.rs"]);
        let good = ["benches/rivals/src/main.rs", "benches/src/rival_sysv.rs", "design.md"];
        let bad = ["benches/src/main.rs", "bus-client/src/sys/a.rs", "bus-core/tests/a.rs"];
        check(unsafe_stays_in_its_rooms, planted, &good, &bad);
        let lint = "#![deny(unsafe_code)]\n";
        assert!(unsafe_stays_in_its_rooms("bus-core/src/lib.rs", lint).is_empty());
        let attribute = "//! A.\n#[unsafe(no_mangle)]\nfn f() {}\n";
        assert_eq!(lines_caught(unsafe_stays_in_its_rooms, "examples/a.rs", attribute), [2]);
    }

    #[test]
    fn generated_types_outside_frame_are_caught() {
        let planted = "//! A.\nuse bus_proto::v1::Hello;\n";
        let good = ["bus-core/src/frame/control.rs", "bus-core/src/frame.rs", "proto/src/lib.rs"];
        let bad = ["bus-core/src/router/mod.rs", "bus-client/src/lib.rs", "bus-broker/src/peer.rs"];
        check(generated_types_stay_in_frame, planted, &good, &bad);
    }

    #[test]
    fn tokio_in_the_pure_core_is_caught() {
        let planted =
            "//! Knows no tokio.\nfn f() { m!(async { tokio::task::yield_now().await }) }\n";
        let good = ["bus-core/src/transport/tcp.rs", "bus-core/src/sys/fd.rs", "examples/src/a.rs"];
        check(tokio_stays_in_its_rooms, planted, &good, &[]);
        let good = ["bus-client/src/driver.rs", "bus-broker/src/serve.rs", "bus-core/tests/a.rs"];
        let bad = ["bus-core/src/lib.rs", "bus-core/src/session/mod.rs", "proto/src/lib.rs"];
        check(tokio_stays_in_its_rooms, planted, &good, &bad);
    }
}
