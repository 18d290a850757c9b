//! Work that may take for ever, as reading a file of a system that hangs, on a thread of its own.
//!
//! Not a pool: nothing waits behind what hangs, and a runtime that ends does not wait for it. It costs a thread each
//! time, so it is for what an operator asks for, and not for each message.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Does it there, and gives what comes of it. Cancelling lets it be done, and forgets it.
///
/// # Errors
/// When the system has no thread for it, or it has panicked.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name("bus-aside".into());
    thread.spawn(move || {
        // Whoever asked may have given up waiting.
        let _ = tell.send(work());
    })?;
    told.await.map_err(|_| io::Error::other("what was to be done aside has panicked"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::aside;

    #[tokio::test]
    async fn others_go_on_beside_work_that_hangs() {
        let (go_on, hangs) = sync_channel::<u32>(0);
        let work = aside(move || hangs.recv());
        let others = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            go_on.send(7).expect("it still hangs");
        };
        let (done, ()) = tokio::join!(work, others);
        assert_eq!(done.expect("a thread"), Ok(7));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let failed = aside(|| assert_eq!(1, 2)).await;
        assert!(failed.expect_err("an error").to_string().contains("panicked"));
    }
}
