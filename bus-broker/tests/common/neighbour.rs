//! A neighbour that burns a part of a core, and touches nothing else: what an attack is compared with.

use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};

/// It looks so often whether it has burnt enough.
const STEP: Duration = Duration::from_micros(200);

/// Burns this part of a core until it is killed. `used` tells how long this process has run.
pub fn burn(share: f64, used: impl Fn() -> Duration) {
    let (began, before) = (Instant::now(), used());
    let step = Timespec::try_from(STEP).expect("a short time");
    loop {
        if used() - before >= began.elapsed().mul_f64(share) {
            // Nothing to wait for: a pause.
            let _ = poll(&mut [], Some(&step));
        }
        (0..1000).for_each(|_| std::hint::spin_loop());
    }
}
