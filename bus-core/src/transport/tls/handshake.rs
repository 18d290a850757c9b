//! The handshake of a link over TLS: from its first byte until both know who the other is.
//!
//! It is driven by whoever polls the link, and never waits by itself. Whatever goes wrong in it
//! ends the link, and the peer is told, if it can be told at once.

use std::io;
use std::task::{Context, Poll, ready};

use rustls::Error;

use super::failure::{Side, TlsFailure};
use super::link::{Phase, TlsLink, would_block};
use super::settings::{PROTOCOL, sha256};
use super::x509;
use crate::transport::clear::{self, Opening};
use crate::transport::{Link, PeerCertificate};

impl TlsLink {
    pub(super) fn is_shaking_hands(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Handshake)
    }

    /// Takes the handshake as far as it goes now. Ready when it is over, well or badly.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase == Phase::Opening && self.side == Side::Client {
            // What opens the conversation.
            self.advance(&mut [], &mut None)?;
        }
        while self.is_shaking_hands() {
            // What has to be said may wait for room, and what is said meanwhile is heard.
            let _ = self.poll_outgoing(cx)?;
            ready!(self.stream.poll_readable(cx))?;
            match self.fill(&mut None) {
                Err(error) if would_block(&error) => {}
                result => drop(result?),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at what comes first.
    pub(super) fn open(&mut self, incoming: &[u8]) -> io::Result<()> {
        if self.phase != Phase::Opening {
            return Ok(());
        }
        match clear::opening(incoming) {
            Opening::Unclear => {}
            Opening::Tls => self.phase = Phase::Handshake,
            Opening::Other => {
                if self.side == Side::Broker {
                    // Whoever does not listen is not told.
                    let _ = self.stream.send(&clear::refusal());
                }
                return Err(self.fail(TlsFailure::NotTls));
            }
        }
        Ok(())
    }

    /// Tells the peer why this side goes no further, if it can be told at once.
    pub(super) fn break_off(&mut self, incoming: &mut [u8], error: &Error) -> io::Error {
        // It has failed anyway, and for the reason that is told here.
        let _ = self.engine.explain(incoming, error, &mut self.outgoing);
        let _ = self.send_outgoing();
        self.fail(TlsFailure::from_library(error))
    }

    /// Whether the library has nothing more to do.
    pub(super) fn has_shaken_hands(&self) -> bool {
        self.engine.handshake().is_some_and(|state| !state.is_handshaking())
    }

    /// The handshake is over: both must mean the same protocol, and the peer may be somebody.
    pub(super) fn begin_talk(&mut self) -> io::Result<()> {
        let Some(state) = self.engine.handshake() else { return Ok(()) };
        if state.alpn_protocol() != Some(PROTOCOL) {
            return Err(self.fail(TlsFailure::NoCommonProtocol));
        }
        if let Some(shown) = state.peer_certificates().and_then(<[_]>::first) {
            // Whoever has shown one is not taken for somebody who has shown none.
            let Some(read) = certificate(shown) else {
                let reason = "it cannot be read".to_owned();
                return Err(self.fail(TlsFailure::BadCertificate { reason }));
            };
            self.peer.certificate = Some(read);
        }
        let finished = self.engine.finish_handshake();
        finished.map_err(|error| self.fail(TlsFailure::from_library(&error)))?;
        // A broker is who its certificate says; a client has yet to say its Hello.
        self.is_known |= self.side == Side::Client;
        self.phase = Phase::Open;
        Ok(())
    }
}

/// What a certificate says that was believed.
fn certificate(shown: &[u8]) -> Option<PeerCertificate> {
    let x509::Facts { common_name, dns_names, uris, .. } = x509::facts(shown)?;
    Some(PeerCertificate { common_name, dns_names, uris, fingerprint: sha256(shown)? })
}
