//! A host: a network namespace, and what runs in it.
//!
//! Threads of this process enter one for good and run a runtime of their own there; programs are
//! started inside it.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::tools::run;
use crate::world::NAMES;

/// A host.
pub struct Host {
    pub index: usize,
    namespace: String,
}

/// What somebody does on a host.
pub struct Task<T>(oneshot::Receiver<T>);

impl Host {
    /// Over a namespace that was just made.
    pub fn new(index: usize, namespace: String) -> Host {
        run(&["ip", "-n", &namespace, "link", "set", "lo", "up"]);
        Host { index, namespace }
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs a tool inside.
    pub fn run(&self, words: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.namespace], words].concat())
    }

    /// The command that runs a program inside. It is that program from then on: same process.
    pub fn command(&self, program: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    /// Does this inside, on a thread and a runtime of its own.
    pub fn enter<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> Task<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let (tell, told) = oneshot::channel();
        let path = Path::new(NAMES).join(&self.namespace);
        let work = move || {
            let namespace = File::open(path).expect("the namespace is there");
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).expect("root may enter it");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let done = runtime.expect("a runtime").block_on(work());
            // Whoever has started it may have failed meanwhile.
            let _ = tell.send(done);
        };
        thread::Builder::new().name(self.namespace.clone()).spawn(work).expect("a thread");
        Task(told)
    }
}

impl<T> Task<T> {
    /// How it ended; within this time, since a test that hangs tells nothing.
    pub async fn ends(self, within: Duration) -> T {
        let done = timeout(within, self.0).await.expect("it ends");
        done.expect("it has not panicked")
    }
}
