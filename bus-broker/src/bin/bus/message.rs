//! What is published, sent or asked: the payload's source, the type and the headers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bus_client::{Error, Headers, Message, MessageType};
use bus_core::MESSAGE_BYTES_MAX;
use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::exit::{Exit, Problem};
use crate::value;

/// Flags of every verb that makes a message.
#[derive(clap::Args)]
pub struct MessageArgs {
    /// The payload [default: standard input]
    body: Option<OsString>,
    /// Take the payload from this file; `-` is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with = "body")]
    file: Option<PathBuf>,
    /// The message's type, from 1
    #[arg(
        long = "type",
        short = 't',
        value_name = "N",
        default_value = "1",
        allow_hyphen_values = true
    )]
    kind: MessageType,
    /// A header; can be given again
    #[arg(short = 'H', long = "header", value_name = "KEY:VALUE", value_parser = value::header)]
    headers: Vec<(String, String)>,
}

/// Flags of verbs that make more than one message.
#[derive(clap::Args)]
pub struct ManyArgs {
    /// One message for each line, as it comes
    #[arg(long, short = 'l', conflicts_with = "count")]
    lines: bool,
    /// The same message so many times
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
}

impl ManyArgs {
    /// Whether they come as they come, for as long as they do: then a lost connection is made again.
    pub fn is_stream(&self) -> bool {
        self.lines
    }
}

/// Messages, one after the other.
pub struct Messages {
    kind: MessageType,
    headers: Headers,
    source: Source,
}

enum Source {
    Same { payload: Bytes, left: u64 },
    Lines { reader: Box<dyn AsyncBufRead + Unpin>, name: String },
}

impl MessageArgs {
    /// The one message.
    pub async fn message(self) -> Result<Message, Problem> {
        let headers = self.headers()?;
        let kind = self.kind;
        let payload = self.payload().await?;
        Ok(Message::new(kind, payload).with_headers(headers))
    }

    /// One message or many.
    pub async fn messages(self, many: &ManyArgs) -> Result<Messages, Problem> {
        let (kind, headers) = (self.kind, self.headers()?);
        let source = match many.lines {
            true => {
                let (reader, name) = self.open().await?;
                Source::Lines { reader: Box::new(BufReader::new(reader)), name }
            }
            false => Source::Same { payload: self.payload().await?, left: many.count },
        };
        Ok(Messages { kind, headers, source })
    }

    fn headers(&self) -> Result<Headers, Problem> {
        let mut headers = Headers::default();
        for (key, value) in &self.headers {
            headers = headers.with(key, value.as_bytes()).map_err(Error::from)?;
        }
        Ok(headers)
    }

    async fn payload(self) -> Result<Bytes, Problem> {
        if let Some(body) = self.body {
            return Ok(body.into_encoded_bytes().into());
        }
        let (reader, name) = self.open().await?;
        let mut payload = Vec::new();
        reader
            .take(MESSAGE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut payload)
            .await
            .map_err(|error| unreadable(&name, &error))?;
        check_length(&name, payload.len())?;
        Ok(payload.into())
    }

    /// Where the payload is read from, and what that is called.
    async fn open(self) -> Result<(Box<dyn AsyncRead + Unpin>, String), Problem> {
        match (self.body, self.file) {
            (Some(body), _) => Ok((
                Box::new(std::io::Cursor::new(body.into_encoded_bytes())),
                "the argument".into(),
            )),
            (None, Some(path)) if path != Path::new("-") => {
                let name = path.display().to_string();
                let file = tokio::fs::File::open(&path).await;
                Ok((Box::new(file.map_err(|error| unreadable(&name, &error))?), name))
            }
            _ => Ok((Box::new(tokio::io::stdin()), "standard input".into())),
        }
    }
}

impl Messages {
    /// The next one.
    pub async fn next(&mut self) -> Result<Option<Message>, Problem> {
        let payload = match &mut self.source {
            Source::Same { left: 0, .. } => return Ok(None),
            Source::Same { payload, left } => {
                *left -= 1;
                payload.clone()
            }
            Source::Lines { reader, name } => match next_line(reader, name).await? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        Ok(Some(Message::new(self.kind, payload).with_headers(self.headers.clone())))
    }
}

async fn next_line(
    reader: &mut (dyn AsyncBufRead + Unpin),
    name: &str,
) -> Result<Option<Bytes>, Problem> {
    let mut line = Vec::new();
    let mut limited = reader.take(MESSAGE_BYTES_MAX as u64 + 2);
    let read = limited.read_until(b'\n', &mut line).await;
    if read.map_err(|error| unreadable(name, &error))? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    check_length(name, line.len())?;
    Ok(Some(line.into()))
}

fn check_length(name: &str, length: usize) -> Result<(), Problem> {
    match length <= MESSAGE_BYTES_MAX {
        true => Ok(()),
        false => Err(Problem::new(
            Exit::Full,
            format!("{name} is too big: a message has at most {MESSAGE_BYTES_MAX} bytes"),
        )),
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Problem {
    Problem::new(Exit::File, format!("cannot read the body from {name}: {error}"))
}
