//! As much of HTTP as a scraper and a browser speak: one request, one answer, and the end of the connection.
//!
//! Whoever asks is not trusted: a request has few bytes, no body and little time, and so has the reading of its answer. There is
//! always room for one more connection; the oldest one goes for it. Nothing of it happens on the broker's thread.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::files::GUARDS;
use super::request::{REQUEST_BYTES_MAX, Request, parse};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 32;
/// How long a request may take to arrive, and the answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read of what somebody says who has been answered.
const LEFTOVER_BYTES_MAX: usize = 64 * 1024;
/// Pause after accepting has failed, as without free descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// An answer.
pub(super) struct Answer {
    pub status: &'static str,
    pub kind: &'static str,
    pub body: Bytes,
}

/// Serves for ever: `answer` is asked for each request.
pub(super) async fn serve<F: Future<Output = Answer> + 'static>(
    listener: TcpListener,
    answer: impl Fn(Request) -> F + 'static,
) {
    let answer = Rc::new(answer);
    let mut all: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // It has ended already.
        let Ok(here) = stream.local_addr() else { continue };
        all.retain(|one| !one.is_finished());
        if all.len() >= CONNECTIONS_MAX
            && let Some(oldest) = all.pop_front()
        {
            oldest.abort();
        }
        let answer = answer.clone();
        let task = spawn_local(async move { converse(stream, here.ip(), &*answer).await });
        all.push_back(task.abort_handle());
    }
}

async fn converse<F: Future<Output = Answer>>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    here: IpAddr,
    answer: impl Fn(Request) -> F,
) {
    let (head_only, answer) = match timeout(PATIENCE, read_head(&mut stream)).await {
        Ok(None) => return,
        Ok(Some(request)) => match parse(&request, here) {
            (head_only, Ok(request)) => (head_only, answer(request).await),
            (head_only, Err(status)) => (head_only, plain(status)),
        },
        Err(_) => (false, plain("408 Request Timeout")),
    };
    let told = async {
        stream.write_all(head(&answer).as_bytes()).await?;
        if !head_only {
            stream.write_all(&answer.body).await?;
        }
        stream.shutdown().await?;
        // What it still says is read, or the system would cut its own answer off.
        let mut leftover = 0;
        while leftover < LEFTOVER_BYTES_MAX {
            match stream.read(&mut [0; 1024]).await? {
                0 => break,
                read => leftover += read,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whoever does not take it has it no more.
    let _ = timeout(PATIENCE, told).await;
}

fn head(answer: &Answer) -> String {
    let Answer { status, kind, body } = answer;
    let guards = &*GUARDS;
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}{guards}Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    )
}

/// The request up to the empty line; `None` if it ends before.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
        // The empty line may have begun with what came before.
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(&bytes[..read]);
        let is_whole = head[from..].windows(4).any(|four| four == b"\r\n\r\n");
        if is_whole || head.len() > REQUEST_BYTES_MAX {
            return Some(head);
        }
    }
}

/// An answer that says no more than its status.
pub(super) fn plain(status: &'static str) -> Answer {
    Answer { status, kind: "text/plain; charset=utf-8", body: Bytes::from(format!("{status}\n")) }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// What is answered to this, at once or when its time has passed.
    async fn told(said: &str) -> String {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        near.write_all(said.as_bytes()).await.expect("there is room");
        let answer = |request: Request| async move {
            Answer { status: "200 OK", kind: "text/plain", body: Bytes::from(request.path) }
        };
        let here = Ipv4Addr::LOCALHOST.into();
        let read = async {
            let mut text = String::new();
            near.read_to_string(&mut text).await.expect("text");
            drop(near);
            text
        };
        tokio::join!(converse(far, here, answer), read).1
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_is_told_that_its_time_has_passed() {
        assert!(told("GET / HTTP/1.1\r\nHost: loc").await.starts_with("HTTP/1.1 408 "));
        assert!(told("").await.starts_with("HTTP/1.1 408 "));
        let whole = told("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("\r\n\r\n/a"), "{whole}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_alone_says_how_long_the_body_would_be() {
        let head = told("HEAD /abc HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(head.contains("Content-Length: 4\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn every_answer_is_guarded() {
        for said in ["GET / HTTP/1.0\r\n\r\n", "hello\r\n\r\n", "PUT / HTTP/1.0\r\n\r\n", "GET"] {
            let text = told(said).await;
            assert!(text.contains(&*GUARDS), "{text}");
        }
        assert!(told("PUT / HTTP/1.0\r\n\r\n").await.contains("\r\nAllow: GET, HEAD\r\n"));
    }
}
