//! Users of the configuration, and what shows that a peer is one of them.
//!
//! Only hashes of tokens are kept, and they are compared in a time that does not depend on what is
//! in them. Nothing here is shown by `Debug` that helps anybody to be a user. A token goes before a
//! certificate: it says which user of several its holder wants to be.

use std::fmt;
use std::sync::Arc;

use bus_core::router::Identity;
use bus_core::session::Hello;
use bus_core::sys::effective_uid;
use bus_core::transport::{Peer, PeerCertificate};
use bus_core::{ErrorKind, Failure, Sender, Token, UserName};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a token. A token has 256 random bits, so that nothing slower is needed.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

/// What a certificate must bear to be a user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateMatch {
    /// One of its names: common name, DNS name or URI. Letters may be large or small.
    Name(String),
    /// The SHA-256 of the whole certificate.
    Fingerprint([u8; 32]),
}

/// A user of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: UserName,
    tokens: Vec<TokenHash>,
    certificates: Vec<CertificateMatch>,
    uid: Option<u32>,
    groups: Vec<u32>,
    admin: bool,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Users(Vec<Arc<User>>);

/// What a peer has shown, to be looked at again when the configuration changes.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    Token(TokenHash),
    Certificate(PeerCertificate),
}

/// Who a peer is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identified {
    pub identity: Identity,
    /// The user that it has shown to be, and how.
    pub shown: Option<(Arc<User>, Proof)>,
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &Token) -> TokenHash {
        TokenHash(Sha256::digest(token.secret().as_bytes()).into())
    }

    /// A hash by its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> TokenHash {
        TokenHash(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &TokenHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TokenHash(not shown)")
    }
}

impl CertificateMatch {
    fn is(&self, shown: &PeerCertificate) -> bool {
        match self {
            CertificateMatch::Name(name) => {
                let names = shown.common_name.iter().chain(&shown.dns_names).chain(&shown.uris);
                names.into_iter().any(|other| other.eq_ignore_ascii_case(name))
            }
            CertificateMatch::Fingerprint(fingerprint) => *fingerprint == shown.fingerprint,
        }
    }
}

impl User {
    /// A user that nobody can show to be, so far.
    pub fn new(name: UserName) -> User {
        let (tokens, certificates, groups) = (Vec::new(), Vec::new(), Vec::new());
        User { name, tokens, certificates, uid: None, groups, admin: false }
    }

    /// Whoever has this token too; several make it possible to replace one.
    pub fn token(mut self, hash: TokenHash) -> User {
        self.tokens.push(hash);
        self
    }

    /// Whoever has shown such a certificate too.
    pub fn certificate(mut self, certificate: CertificateMatch) -> User {
        self.certificates.push(certificate);
        self
    }

    /// Counts as this uid for owner and mode of queues, topics and services, where the kernel does
    /// not say who it is. Without one it has the rights of others.
    pub fn uid(mut self, uid: u32) -> User {
        self.uid = Some(uid);
        self
    }

    /// Counts as a member of these groups, the first of which is that of what it creates. They
    /// count together with a uid only.
    pub fn groups(mut self, groups: Vec<u32>) -> User {
        self.groups = groups;
        self
    }

    /// May do everything, as root may.
    pub fn admin(mut self, admin: bool) -> User {
        self.admin = admin;
        self
    }

    /// Its name.
    pub fn name(&self) -> &UserName {
        &self.name
    }

    pub(crate) fn tokens(&self) -> &[TokenHash] {
        &self.tokens
    }

    pub(crate) fn certificates(&self) -> &[CertificateMatch] {
        &self.certificates
    }

    pub(crate) fn counts_as(&self) -> (Option<u32>, &[u32], bool) {
        (self.uid, &self.groups, self.admin)
    }

    /// Whether whoever is the one has what the other has.
    fn is_same(&self, other: &User) -> bool {
        self.name == other.name && self.counts_as() == other.counts_as()
    }
}

impl Users {
    pub fn add(&mut self, user: User) {
        self.0.push(Arc::new(user));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.0.iter().map(|user| &**user)
    }

    /// The user with this token. All tokens are looked at, so that the time does not tell whose it
    /// might be.
    fn by_token(&self, hash: &TokenHash) -> Option<&Arc<User>> {
        let mut found = None;
        for user in &self.0 {
            let compare = |all: Choice, kept: &TokenHash| all | kept.0.ct_eq(&hash.0);
            if user.tokens.iter().fold(Choice::from(0), compare).into() {
                found = Some(user);
            }
        }
        found
    }

    /// The user whose certificate this is; none if it is nobody's.
    fn by_certificate(&self, shown: &PeerCertificate) -> Result<Option<&Arc<User>>, Failure> {
        let mut found =
            self.0.iter().filter(|user| user.certificates.iter().any(|it| it.is(shown)));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => Err(unauthenticated(format!(
                "this certificate would be that of the users `{}` and `{}`: the broker's configuration must tell them apart",
                one.name, other.name
            ))),
            (found, _) => Ok(found),
        }
    }

    /// Whether whoever has shown this is still the same user.
    pub fn still_shows(&self, (user, proof): &(Arc<User>, Proof)) -> bool {
        let now = match proof {
            Proof::Token(hash) => self.by_token(hash),
            Proof::Certificate(shown) => self.by_certificate(shown).ok().flatten(),
        };
        now.is_some_and(|now| now.is_same(user))
    }

    /// Who a peer is: by the kernel's word, and by what it shows. What the kernel says of a uid and
    /// groups stands; to that a user only adds its name, and its being an administrator.
    ///
    /// # Errors
    /// When it shows something that makes it nobody.
    pub fn identify(&self, peer: &Peer, hello: &Hello) -> Result<Identified, Failure> {
        let shown = match (&hello.credential, &peer.certificate) {
            (Some(token), _) => {
                let hash = TokenHash::of(token);
                let Some(user) = self.by_token(&hash) else {
                    return Err(unauthenticated(
                        "the broker does not know this token: ask whoever runs it for one, or leave the token out"
                            .into(),
                    ));
                };
                Some((user.clone(), Proof::Token(hash)))
            }
            (None, Some(certificate)) => {
                let user = self.by_certificate(certificate)?;
                user.map(|user| (user.clone(), Proof::Certificate(certificate.clone())))
            }
            (None, None) => None,
        };
        let mut identity = by_the_kernel(peer, &hello.name);
        if let Some((user, _)) = &shown {
            identity.sender.user = Some(user.name.clone());
            identity.admin |= user.admin;
            if identity.sender.uid.is_none() && user.uid.is_some() {
                identity.sender.uid = user.uid;
                identity.sender.gid = user.groups.first().copied();
                identity.groups.clone_from(&user.groups);
            }
        }
        Ok(Identified { identity, shown })
    }
}

fn unauthenticated(text: String) -> Failure {
    Failure::new(ErrorKind::Unauthenticated, text)
}

/// Why a session ends whose user is no longer the same.
pub(crate) fn taken_away(user: &User) -> Failure {
    unauthenticated(format!(
        "the credentials of user `{}` were taken away or changed: connect with the new ones",
        user.name
    ))
}

/// Who the peer is, by the kernel's word; the name alone is its own.
pub(crate) fn by_the_kernel(peer: &Peer, name: &str) -> Identity {
    let name = name.to_owned();
    match &peer.credentials {
        None => Identity { sender: Sender { name, ..Sender::default() }, ..Identity::default() },
        Some(found) => Identity {
            sender: Sender {
                session: 0,
                name,
                pid: found.pid,
                uid: Some(found.uid),
                gid: Some(found.gid),
                user: None,
            },
            groups: found.groups.clone(),
            admin: found.uid == 0 || found.uid == effective_uid(),
            system: false,
        },
    }
}

#[cfg(test)]
mod tests;
