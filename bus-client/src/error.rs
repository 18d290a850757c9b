//! The one error of the client.
//!
//! Its kind is for programs, its sentence for people: what was tried, on what, which limit was
//! met, and what to do.

use std::fmt;

use bus_core::{ErrorKind, Failure, InvalidGroupName, InvalidHeader, InvalidName, InvalidUrl};

use crate::knob::Knob;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong. As small as a pointer: results are handed through many hands.
///
/// `{:?}` is its sentence with the word of its kind, since that is what a `main` shows that returns it.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    failure: Failure,
    source: Option<Source>,
    knob: Option<Knob>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Failure::new(kind, text).into()
    }

    pub(crate) fn with_source(mut self, source: impl Into<Source>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_knob(mut self, knob: Option<Knob>) -> Error {
        self.0.knob = knob;
        self
    }

    /// The same error, with what was tried in front.
    pub(crate) fn context(self, tried: impl fmt::Display) -> Error {
        let Inner { failure, source, knob } = *self.0;
        let failure = Failure::new(failure.kind(), format!("{tried}: {failure}"));
        Error(Box::new(Inner { failure, source, knob }))
    }

    /// The sentence, where a setting that it is about is called otherwise than in
    /// [`ClientOptions`](crate::ClientOptions): as flags of a command, or keys of a file.
    pub fn told<W: fmt::Display>(&self, called: impl FnOnce(Knob) -> W) -> String {
        match self.0.knob {
            Some(knob) => format!("{} ({})", self.0.failure, called(knob)),
            None => self.0.failure.to_string(),
        }
    }

    /// What of its settings whoever has connected may want to look at.
    pub fn knob(&self) -> Option<Knob> {
        self.0.knob
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.failure.kind()
    }

    /// Whether the same call may succeed later, with nothing changed by the caller.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

#[cfg(feature = "tls")]
impl Error {
    /// What went wrong with TLS, if that is why a broker could not be connected to.
    pub fn tls_failure(&self) -> Option<&bus_core::transport::TlsFailure> {
        let source = self.0.source.as_ref()?;
        bus_core::transport::TlsFailure::of(&**source)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self} [{}]", self.kind().word())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.knob {
            Some(knob) => write!(out, "{} ({knob})", self.0.failure),
            None => self.0.failure.fmt(out),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error(Box::new(Inner { failure, source: None, knob: None }))
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Error {
        Failure::from(error).into()
    }
}

impl From<InvalidGroupName> for Error {
    fn from(error: InvalidGroupName) -> Error {
        Failure::from(error).into()
    }
}

impl From<InvalidHeader> for Error {
    fn from(error: InvalidHeader) -> Error {
        Failure::from(error).into()
    }
}

impl From<InvalidUrl> for Error {
    fn from(error: InvalidUrl) -> Error {
        Failure::from(error).into()
    }
}
