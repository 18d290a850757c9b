//! The few things that the bus looks up in a certificate: its names, and how long it is valid.
//!
//! Reading is a library's work. Whether a certificate is to be believed is decided elsewhere, by
//! the verifiers of the TLS library; so the reader is lenient where they are, as about serial
//! numbers. What is not understood is left out; it never panics.

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::time::Time;

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

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Looks into a certificate. `None` if it is none.
pub(super) fn facts(certificate: &[u8]) -> Option<Facts> {
    let certificate = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let body = certificate.tbs_certificate();
    let moment = |time: Time| Moment::from_unix(time.to_unix_duration().as_secs());
    let (not_before, not_after) = (body.validity().not_before, body.validity().not_after);
    // Of two lists of names nobody knows which one counts, so that neither does.
    let names = body.get_extension::<SubjectAltName>().ok().flatten();
    let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
    for name in names.iter().flat_map(|(_, names)| &names.0) {
        match name {
            GeneralName::DnsName(name) => dns_names.extend(plain(name.as_bytes())),
            GeneralName::UniformResourceIdentifier(uri) => uris.extend(plain(uri.as_bytes())),
            _ => {}
        }
    }
    Some(Facts {
        common_name: common_name(body.subject()),
        dns_names,
        uris,
        not_before: moment(not_before),
        not_after: moment(not_after),
    })
}

/// The common name of a subject, if there is exactly one: of two nobody knows which one counts.
fn common_name(subject: &Name) -> Option<String> {
    let mut found = subject.iter().filter(|attribute| attribute.oid == COMMON_NAME);
    let (Some(name), None) = (found.next(), found.next()) else { return None };
    match name.value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => plain(name.value.value()),
        _ => None,
    }
}

/// A name that can be shown and compared: text without control characters.
fn plain(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && !name.chars().any(char::is_control)).then(|| name.to_owned())
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
    fn a_serial_number_that_is_too_long_is_no_obstacle() {
        let der = certificate(|params| {
            params.serial_number = Some(vec![0x55; 30].into());
            params.distinguished_name.push(DnType::CommonName, "Ada");
        });
        assert_eq!(facts(&der).expect("a certificate").common_name.as_deref(), Some("Ada"));
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
