//! As much of HTTP as a scraper speaks: one request, one answer, and the end of the connection.
//!
//! Whoever asks is not trusted: a request has few bytes and little time, and so has the reading of its answer. There is
//! always room for one more connection; the oldest one goes for it. Nothing of it happens on the broker's thread.

use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, timeout};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 32;
/// A request, with all of its headers.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// How long it may take to arrive, and the answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after accepting has failed, as without free descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// An answer.
pub(super) struct Answer {
    pub status: &'static str,
    pub kind: &'static str,
    pub body: Bytes,
}

/// Serves for ever: `answer` is asked for each path.
pub(super) async fn serve<F: Future<Output = Answer> + 'static>(
    listener: TcpListener,
    answer: impl Fn(String) -> F + 'static,
) {
    let answer = Rc::new(answer);
    let mut all: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        all.retain(|one| !one.is_finished());
        if all.len() >= CONNECTIONS_MAX
            && let Some(oldest) = all.pop_front()
        {
            oldest.abort();
        }
        let answer = answer.clone();
        all.push_back(spawn_local(async move { converse(stream, &*answer).await }).abort_handle());
    }
}

async fn converse<F: Future<Output = Answer>>(mut stream: TcpStream, answer: impl Fn(String) -> F) {
    let Ok(Some(request)) = timeout(PATIENCE, read_head(&mut stream)).await else { return };
    let answer = match path_of(&request) {
        Ok(path) => answer(path).await,
        Err(status) => plain(status),
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.kind,
        answer.body.len()
    );
    let told = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&answer.body).await?;
        stream.shutdown().await?;
        // What it still says is read, or the system would cut its own answer off.
        while stream.read(&mut [0; 1024]).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whoever does not take it has it no more.
    let _ = timeout(PATIENCE, told).await;
}

/// The request up to the empty line; `None` if it ends before.
async fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&bytes[..read]);
        if head.len() > REQUEST_BYTES_MAX {
            break;
        }
    }
    Some(head)
}

/// What is asked for, without what stands behind a question mark, or why that is not answered.
fn path_of(request: &[u8]) -> Result<String, &'static str> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err("431 Request Header Fields Too Large");
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "400 Bad Request")?;
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["GET", target, "HTTP/1.1" | "HTTP/1.0"] if target.starts_with('/') => {
            let path = target.split('?').next().unwrap_or_default();
            Ok(path.to_owned())
        }
        [_, _, "HTTP/1.1" | "HTTP/1.0"] => Err("405 Method Not Allowed"),
        _ => Err("400 Bad Request"),
    }
}

/// An answer that says no more than its status.
pub(super) fn plain(status: &'static str) -> Answer {
    Answer { status, kind: "text/plain; charset=utf-8", body: Bytes::from(format!("{status}\n")) }
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn requests_are_one_line_of_three_words() {
        let cases: [(&str, Result<&str, &str>); 6] = [
            ("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", Ok("/metrics")),
            ("GET / HTTP/1.0\r\n\r\n", Ok("/")),
            ("POST / HTTP/1.1\r\n\r\n", Err("405 Method Not Allowed")),
            ("GET metrics HTTP/1.1\r\n\r\n", Err("405 Method Not Allowed")),
            ("GET / HTTP/2\r\n\r\n", Err("400 Bad Request")),
            ("\r\n\r\n", Err("400 Bad Request")),
        ];
        for (request, expected) in cases {
            assert_eq!(
                path_of(request.as_bytes()).as_deref(),
                expected.as_ref().map(|it| *it),
                "{request}"
            );
        }
        assert!(path_of(&[b'a'; 9000]).is_err_and(|status| status.starts_with("431")));
    }
}
