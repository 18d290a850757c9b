//! How urgent it is what a thread does.

/// So many steps behind others: about a third of what one of them is given, where there are too few cores.
const STEPS: i32 = 5;

/// From now on this thread, and each that it starts, gives way to all others that want a core.
pub fn give_way() {
    // What cannot be had is nothing to fail for.
    let _ = rustix::process::nice(STEPS);
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    use super::give_way;

    fn steps() -> i32 {
        getpriority_process(None).expect("there is this thread")
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is about threads")]
    fn one_thread_gives_way_and_no_other() {
        let before = steps();
        let given = thread::spawn(|| {
            give_way();
            steps()
        });
        let given = given.join().expect("it runs");
        assert!(given > before || before == 19, "{given} after {before}");
        assert_eq!(steps(), before);
    }
}
