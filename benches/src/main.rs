//! The harness with the contenders that need nothing but this repository and the system.

use std::process::ExitCode;

fn main() -> ExitCode {
    bus_benches::run(Vec::new())
}
