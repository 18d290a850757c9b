//! The few things that the bus looks up in a certificate: its names, and how long it is valid.
//!
//! Whether it is to be believed is decided elsewhere, by the verifiers of the TLS library. What
//! is not understood here is left out; it never panics.

use super::date::Moment;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub common_name: Option<String>,
    pub dns_names: Vec<String>,
    pub uris: Vec<String>,
    pub not_before: Moment,
    pub not_after: Moment,
}

const INTEGER: u8 = 0x02;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of alternative names.
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
/// The object ids 2.5.4.3 and 2.5.29.17.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Looks into a certificate. `None` if it is none.
pub(super) fn facts(certificate: &[u8]) -> Option<Facts> {
    let mut body = Der(Der(Der(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
    if body.peek() == Some(VERSION) {
        body.next()?;
    }
    let _serial = body.take(INTEGER)?;
    let _algorithm = body.take(SEQUENCE)?;
    let _issuer = body.take(SEQUENCE)?;
    let mut validity = Der(body.take(SEQUENCE)?);
    let not_before = Moment::parse(validity.next()?.1)?;
    let not_after = Moment::parse(validity.next()?.1)?;
    let common_name = common_name(Der(body.take(SEQUENCE)?));
    let mut names = Vec::new();
    while let Some((tag, content)) = body.next() {
        if tag == EXTENSIONS {
            names = alternative_names(Der(content)).unwrap_or_default();
        }
    }
    let of_kind = |wanted: u8| {
        let found = names.iter().filter(|(kind, _)| *kind == wanted);
        found.map(|(_, name)| name.clone()).collect::<Vec<_>>()
    };
    let (dns_names, uris) = (of_kind(DNS), of_kind(URI));
    Some(Facts { common_name, dns_names, uris, not_before, not_after })
}

/// The common name of a subject, if there is exactly one: of two nobody knows which one counts.
fn common_name(mut subject: Der<'_>) -> Option<String> {
    let mut found = None;
    while let Some((SET, set)) = subject.next() {
        let mut set = Der(set);
        while let Some((SEQUENCE, attribute)) = set.next() {
            let mut attribute = Der(attribute);
            if attribute.take(OBJECT_ID) != Some(COMMON_NAME) {
                continue;
            }
            if found.is_some() {
                return None;
            }
            let (UTF8 | PRINTABLE | IA5, name) = attribute.next()? else { return None };
            found = Some(plain(name)?);
        }
    }
    found
}

fn alternative_names(mut content: Der<'_>) -> Option<Vec<(u8, String)>> {
    let mut extensions = Der(content.take(SEQUENCE)?);
    while let Some((SEQUENCE, extension)) = extensions.next() {
        let mut extension = Der(extension);
        if extension.take(OBJECT_ID)? != ALTERNATIVE_NAMES {
            continue;
        }
        if extension.peek() == Some(BOOLEAN) {
            extension.next()?;
        }
        let mut names = Der(Der(extension.take(OCTETS)?).take(SEQUENCE)?);
        let mut found = Vec::new();
        while let Some((kind, name)) = names.next() {
            if matches!(kind, DNS | URI)
                && let Some(name) = plain(name).filter(|name| name.is_ascii())
            {
                found.push((kind, name));
            }
        }
        return Some(found);
    }
    None
}

/// A name that can be shown and compared: text without control characters.
fn plain(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && !name.chars().any(char::is_control)).then(|| name.to_owned())
}

/// Values in the encoding of certificates, one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// What kind the next one is.
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next one, if it is of this kind.
    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (tag, content) = self.next()?;
        (tag == wanted).then_some(content)
    }

    /// The next one: its kind, and what is in it.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            // A length of up to three bytes: no certificate has 16 MiB.
            0x81..=0x83 => {
                let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = behind;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_before = rcgen::date_time_ymd(2026, 11, 26);
        params.not_after = rcgen::date_time_ymd(2052, 1, 1);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn names_and_validity_are_found() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Example");
            params.distinguished_name.push(DnType::CommonName, "Ada");
            params.subject_alt_names = vec![
                SanType::DnsName("bus.example".try_into().expect("a name")),
                SanType::IpAddress([127, 0, 0, 1].into()),
                SanType::URI("busbar:user:ada".try_into().expect("a URI")),
            ];
        });
        let found = facts(&der).expect("a certificate");
        assert_eq!(found.common_name.as_deref(), Some("Ada"));
        assert_eq!(found.dns_names, ["bus.example"]);
        assert_eq!(found.uris, ["busbar:user:ada"]);
        assert_eq!(found.not_before.to_string(), "2026-11-26 00:00:00 UTC");
        assert_eq!(found.not_after.to_string(), "2052-01-01 00:00:00 UTC");
    }

    #[test]
    fn a_name_with_a_control_character_is_none() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "root\0.example");
        });
        assert_eq!(facts(&der).expect("a certificate").common_name, None);
    }

    #[test]
    fn of_two_common_names_none_counts() {
        // `ou` and `cn` differ in the last byte of their ids; so one is made of the other.
        let mut der = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationalUnitName, "Eve");
            params.distinguished_name.push(DnType::CommonName, "Ada");
        });
        assert_eq!(facts(&der).expect("a certificate").common_name.as_deref(), Some("Ada"));
        let unit = [0x55, 0x04, 0x0b];
        for place in 0..der.len() - 3 {
            if der[place..place + 3] == unit {
                der[place + 2] = 0x03;
            }
        }
        assert_eq!(facts(&der).expect("a certificate").common_name, None);
    }

    #[test]
    fn what_is_cut_or_changed_does_not_panic() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "Ada");
            params.subject_alt_names =
                vec![SanType::DnsName("bus.example".try_into().expect("a name"))];
        });
        for length in 0..der.len() {
            assert!(facts(&der[..length]).is_none(), "{length} bytes of {}", der.len());
        }
        for place in 0..der.len() {
            for value in [0, 0x7f, 0x80, 0x83, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[place] = value;
                drop(facts(&changed));
            }
        }
    }
}
