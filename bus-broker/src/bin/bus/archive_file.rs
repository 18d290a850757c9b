//! Files of messages on disk and in pipes, for `dump`, `restore`, `record` and `replay`.
//!
//! What stands in one is the library's business (`ArchiveEncoder`, `ArchiveDecoder`). Invariants: no
//! file is written over unless that was asked for, nobody but its owner can read one, and `Done` is
//! said of one only after the disk has it.

use std::io::{IsTerminal, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bus_broker::{
    ArchiveDecoder, ArchiveDescription, ArchiveEncoder, ArchiveEnd, ArchiveEntry, ArchiveError,
    ArchiveGap, ArchivedMessage,
};
use bus_core::sys::file_mode;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt};

use crate::exit::{Exit, Problem, say};
use crate::output::Out;

/// Bytes that are gathered before they are written, and read at a time.
const BLOCK_BYTES: usize = 256 * 1024;

/// A file of messages that is being written.
pub struct Writer {
    name: String,
    to: Box<dyn AsyncWrite + Unpin>,
    /// The same file, to have the disk take it.
    file: Option<File>,
    gathered: Vec<u8>,
    written: u64,
    encoder: ArchiveEncoder,
}

impl Writer {
    /// Begins one; `-` or nothing is standard output.
    pub async fn create(
        path: Option<&Path>,
        force: bool,
        description: &ArchiveDescription,
    ) -> Result<Writer, Problem> {
        let (encoder, gathered) = ArchiveEncoder::begin(description).map_err(wrong("the file"))?;
        let path = path.filter(|path| *path != Path::new("-"));
        let Some(path) = path else {
            if std::io::stdout().is_terminal() {
                let text = "this is not for a terminal: name a file, or lead it into a pipe";
                return Err(Problem::usage(text));
            }
            let to = Box::new(tokio::io::stdout());
            let name = "standard output".to_owned();
            return Ok(Writer { name, to, file: None, gathered, written: 0, encoder });
        };
        let name = path.display().to_string();
        let mut options = std::fs::OpenOptions::new();
        file_mode(options.write(true), 0o600);
        match force {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        let file =
            OpenOptions::from(options).open(path).await.map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => Problem::new(
                    Exit::Conflict,
                    format!("{name} is there already: --force replaces it"),
                ),
                _ => unwritable(&name, &error),
            })?;
        let same = file.try_clone().await.map_err(|error| unwritable(&name, &error))?;
        Ok(Writer { name, to: Box::new(file), file: Some(same), gathered, written: 0, encoder })
    }

    /// Adds a message.
    pub async fn message(&mut self, message: ArchivedMessage) -> Result<(), Problem> {
        let bytes = self.encoder.message(message).map_err(wrong(&self.name))?;
        self.put(&bytes).await
    }

    /// Adds a gap.
    pub async fn gap(&mut self, gap: ArchiveGap) -> Result<(), Problem> {
        let bytes = self.encoder.gap(gap).map_err(wrong(&self.name))?;
        self.put(&bytes).await
    }

    /// What it counts so far.
    pub fn counted(&self) -> &ArchiveEnd {
        self.encoder.counted()
    }

    /// How long it is so far.
    pub fn bytes(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Whether it is standard output.
    pub fn is_stream(&self) -> bool {
        self.file.is_none()
    }

    /// Has what there is written.
    pub async fn flush(&mut self) -> Result<(), Problem> {
        let written = async {
            self.to.write_all(&self.gathered).await?;
            self.to.flush().await
        };
        written.await.map_err(|error| unwritable(&self.name, &error))?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// Ends it; after that the disk has it.
    pub async fn end(mut self, end: ArchiveEnd) -> Result<ArchiveEnd, Problem> {
        let Writer { encoder, .. } = self;
        let (bytes, end) = encoder.end(end).map_err(wrong(&self.name))?;
        self.gathered.extend(bytes);
        let written = async {
            self.to.write_all(&self.gathered).await?;
            self.to.flush().await?;
            match &self.file {
                Some(file) => file.sync_all().await,
                None => Ok(()),
            }
        };
        written.await.map_err(|error| unwritable(&self.name, &error))?;
        Ok(end)
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.gathered.extend_from_slice(bytes);
        match self.gathered.len() >= BLOCK_BYTES {
            true => self.flush().await,
            false => Ok(()),
        }
    }
}

/// A file of messages that is being read.
pub struct Reader {
    name: String,
    from: Source,
    decoder: ArchiveDecoder,
    buffer: Vec<u8>,
    /// What is whole of a file that is not is taken.
    partial: bool,
    /// What was wrong has been told, and nothing more is read.
    over: bool,
}

enum Source {
    File(File),
    Stream(Box<dyn AsyncRead + Unpin>),
}

impl Reader {
    /// Opens one; `-` or nothing is standard input.
    pub async fn open(path: Option<&PathBuf>, partial: bool) -> Result<Reader, Problem> {
        let path = path.filter(|path| path.as_path() != Path::new("-"));
        let (name, from) = match path {
            None if std::io::stdin().is_terminal() => {
                return Err(Problem::usage("name a file, or lead one in: this is a terminal"));
            }
            None => ("standard input".into(), Source::Stream(Box::new(tokio::io::stdin()))),
            Some(path) => {
                let name = path.display().to_string();
                let file = File::open(path).await.map_err(|error| unreadable(&name, &error))?;
                let found = file.metadata().await.map_err(|error| unreadable(&name, &error))?;
                match found.is_file() {
                    true => (name, Source::File(file)),
                    false => (name, Source::Stream(Box::new(file))),
                }
            }
        };
        let (decoder, buffer) = (ArchiveDecoder::new(), vec![0; BLOCK_BYTES]);
        Ok(Reader { name, from, decoder, buffer, partial, over: false })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of itself.
    pub async fn description(&mut self) -> Result<ArchiveDescription, Problem> {
        loop {
            let known = self.decoder.description().map_err(wrong(&self.name))?;
            if let Some(description) = known {
                return Ok(description.clone());
            }
            if !self.read().await? {
                let cut = self.decoder.finish().err().unwrap_or(ArchiveError::Foreign);
                return Err(wrong(&self.name)(cut));
            }
        }
    }

    /// Reads a file to its end, and is at its beginning again; the answer is how many messages are in it. What can be
    /// read only once is not looked at, and has no answer.
    pub async fn check(&mut self) -> Result<Option<u64>, Problem> {
        if let Source::Stream(_) = self.from {
            return Ok(None);
        }
        self.description().await?;
        let partial = std::mem::replace(&mut self.partial, false);
        let mut messages = 0;
        let read = self.read_to_end(&mut messages).await;
        self.partial = partial;
        if !partial {
            read?;
        }
        self.rewind().await?;
        Ok(Some(messages))
    }

    async fn read_to_end(&mut self, messages: &mut u64) -> Result<(), Problem> {
        while let Some(entry) = self.next().await? {
            *messages += u64::from(matches!(entry, ArchiveEntry::Message(_)));
        }
        Ok(())
    }

    /// Goes back to the beginning.
    pub async fn rewind(&mut self) -> Result<(), Problem> {
        let Source::File(file) = &mut self.from else {
            return Err(Problem::usage(format!("{} can be read only once", self.name)));
        };
        let sought = file.seek(SeekFrom::Start(0)).await;
        sought.map_err(|error| unreadable(&self.name, &error))?;
        (self.decoder, self.over) = (ArchiveDecoder::new(), false);
        self.description().await.map(|_| ())
    }

    /// The next entry; none behind the end.
    pub async fn next(&mut self) -> Result<Option<ArchiveEntry>, Problem> {
        loop {
            if self.over {
                return Ok(None);
            }
            match self.decoder.entry() {
                Ok(Some(entry)) => return Ok(Some(entry)),
                Ok(None) => {}
                Err(error) => return self.broken(error),
            }
            if !self.read().await? {
                return match self.decoder.finish() {
                    Ok(()) => Ok(None),
                    Err(error) => self.broken(error),
                };
            }
        }
    }

    /// The file is not whole: an error, or the end of what is taken of it.
    fn broken(&mut self, error: ArchiveError) -> Result<Option<ArchiveEntry>, Problem> {
        if !self.partial {
            return Err(wrong(&self.name)(error));
        }
        say(format_args!("{}: {error}; what was whole was taken", self.name));
        self.over = true;
        Ok(None)
    }

    /// Reads more; `false` at the end.
    async fn read(&mut self) -> Result<bool, Problem> {
        let read = match &mut self.from {
            Source::File(file) => file.read(&mut self.buffer).await,
            Source::Stream(stream) => stream.read(&mut self.buffer).await,
        };
        let length = read.map_err(|error| unreadable(&self.name, &error))?;
        self.decoder.push(&self.buffer[..length]);
        Ok(length > 0)
    }
}

/// Says what was written: not on standard output if the file itself goes there.
pub fn tell(stream: bool, text: String) -> Result<(), Problem> {
    if stream {
        say(text);
        return Ok(());
    }
    let mut out = Out::new();
    out.line(text)?;
    out.flush()
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn wrong(name: &str) -> impl Fn(ArchiveError) -> Problem {
    move |error| {
        let hint = match error {
            ArchiveError::CutOff { .. } | ArchiveError::Damaged { .. } => {
                " (--partial takes the messages before that)"
            }
            _ => "",
        };
        Problem::new(Exit::File, format!("{name}: {error}{hint}"))
    }
}

fn unwritable(name: &str, error: &std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Problem::Quiet,
        _ => Problem::new(Exit::File, format!("cannot write to {name}: {error}")),
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Problem {
    Problem::new(Exit::File, format!("cannot read {name}: {error}"))
}
