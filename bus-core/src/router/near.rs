//! What is said when a name is not there: which one comes near.

use crate::error::{ErrorKind, Failure};
use crate::name::Name;

use super::Router;

/// Names that are looked at for one that comes near.
const NEAR_NAMES_MAX: usize = 4096;

impl Router {
    /// Says that there is no such object, and which name comes near.
    pub(super) fn no_such<'a>(
        &self,
        what: &str,
        name: &Name,
        names: impl Iterator<Item = &'a Name>,
    ) -> Failure {
        // A courtesy, not to be paid for by everybody: only the first names are looked at.
        let names = names.take(NEAR_NAMES_MAX);
        let near = names.filter(|other| is_near(other.as_str(), name.as_str())).min();
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Failure::new(ErrorKind::NotFound, format!("there is no {what} `{name}`{hint}"))
    }
}

/// Whether two names differ by one character put in, left out, or changed, or by case.
fn is_near(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let front = short.bytes().zip(long.bytes()).take_while(|(x, y)| x == y).count();
    let back = short.bytes().rev().zip(long.bytes().rev()).take_while(|(x, y)| x == y).count();
    match long.len() - short.len() {
        0 => {
            front + back + 1 >= long.len()
                || (front + back + 2 >= long.len() && swapped(short, long, front))
        }
        1 => front + back >= short.len(),
        _ => false,
    }
}

fn swapped(a: &str, b: &str, at: usize) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    at + 1 < a.len() && a[at] == b[at + 1] && a[at + 1] == b[at]
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn near_names() {
        for (a, b) in [
            ("jobs", "job"),
            ("jobs", "jobz"),
            ("jobs", "josb"),
            ("Jobs", "jobs"),
            ("jobs", "jobss"),
        ] {
            assert!(is_near(a, b) && is_near(b, a), "{a} {b}");
        }
        for (a, b) in [("jobs", "tasks"), ("jobs", "jo"), ("ab", "cd")] {
            assert!(!is_near(a, b), "{a} {b}");
        }
    }
}
