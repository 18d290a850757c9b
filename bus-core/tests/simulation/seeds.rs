//! Which seeds are run, and what one of them comes to.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs one. The failure is what the broken check says.
pub fn outcome(run: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_else(|| "a panic".into())
    })
}

/// The number that whoever runs the tests gives in this variable.
#[expect(clippy::disallowed_methods, reason = "which seeds to run is said from outside")]
pub fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
