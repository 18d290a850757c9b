//! Who is who: tokens, certificates, and the kernel's word beside them.

use std::time::Duration;

use bus_core::sys::Credentials;

use super::*;

fn name(text: &str) -> UserName {
    UserName::new(text).expect("a name")
}

fn token(digit: char) -> Token {
    Token::new(&digit.to_string().repeat(40)).expect("a token")
}

fn hello(credential: Option<Token>) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        name: "tool".into(),
        grace: Duration::ZERO,
        resume: None,
        lane_bytes: 0,
        rings: false,
        credential,
    }
}

fn remote() -> Peer {
    Peer { address: "tcp://192.0.2.1:9".into(), ..Peer::default() }
}

fn local(uid: u32) -> Peer {
    let credentials = Credentials { uid, gid: uid, groups: vec![uid], pid: Some(1) };
    Peer { credentials: Some(credentials), ..Peer::default() }
}

fn with_certificate(names: &[&str], first: u8) -> Peer {
    let certificate = PeerCertificate {
        common_name: None,
        dns_names: names.iter().map(|name| name.to_string()).collect(),
        uris: vec!["busbar:user:somebody".into()],
        fingerprint: [first; 32],
    };
    Peer { certificate: Some(certificate), ..remote() }
}

fn users() -> Users {
    let mut users = Users::default();
    let alice = User::new(name("alice")).uid(501).groups(vec![50, 60]);
    let hash = |digit| TokenHash::of(&token(digit));
    users.add(alice.token(hash('a')).token(hash('b')));
    let host = CertificateMatch::Name("site.example".into());
    users.add(User::new(name("site")).certificate(host).token(hash('c')));
    let exact = CertificateMatch::Fingerprint([7; 32]);
    users.add(User::new(name("chief")).admin(true).certificate(exact));
    users
}

#[test]
fn a_token_makes_its_holder_a_user_and_a_wrong_one_nobody() {
    let users = users();
    for digit in ['a', 'b'] {
        let found = users.identify(&remote(), &hello(Some(token(digit)))).expect("known");
        let sender = &found.identity.sender;
        assert_eq!((sender.uid, sender.gid, sender.pid), (Some(501), Some(50), None));
        assert_eq!(sender.user, Some(name("alice")));
        assert_eq!((found.identity.groups, found.identity.admin), (vec![50, 60], false));
    }
    let wrong = users.identify(&remote(), &hello(Some(token('d')))).expect_err("unknown");
    assert_eq!(wrong.kind(), ErrorKind::Unauthenticated);
    assert!(!wrong.text().contains("ddd"), "{wrong}");
    let nobody = users.identify(&remote(), &hello(None)).expect("anonymous");
    assert_eq!((nobody.identity.sender.uid, nobody.identity.sender.user), (None, None));
}

#[test]
fn a_certificate_is_a_users_by_name_or_fingerprint() {
    let users = users();
    let shown = |names: &[&str], first| {
        let found = users.identify(&with_certificate(names, first), &hello(None));
        found.map(|found| found.identity.sender.user.map(|user| user.to_string()))
    };
    assert_eq!(shown(&["other", "SITE.example"], 1), Ok(Some("site".into())));
    assert_eq!(shown(&["x.site.example"], 1), Ok(None));
    assert_eq!(shown(&[], 7), Ok(Some("chief".into())));
    let both = shown(&["site.example"], 7).expect_err("two users");
    assert_eq!(both.kind(), ErrorKind::Unauthenticated);
    // The token says which user it wants to be.
    let hello = hello(Some(token('a')));
    let found = users.identify(&with_certificate(&["site.example"], 7), &hello);
    assert_eq!(found.expect("known").identity.sender.user, Some(name("alice")));
}

#[test]
fn the_kernels_word_stands_beside_what_is_shown() {
    let users = users();
    let found = users.identify(&local(7), &hello(Some(token('a')))).expect("known");
    let sender = &found.identity.sender;
    assert_eq!((sender.uid, sender.gid), (Some(7), Some(7)));
    assert_eq!(sender.user, Some(name("alice")));
    assert_eq!(found.identity.groups, [7]);
    let wrong = users.identify(&local(7), &hello(Some(token('d'))));
    assert_eq!(wrong.expect_err("unknown").kind(), ErrorKind::Unauthenticated);
}

#[test]
fn whoever_is_another_user_after_a_change_is_found_out() {
    let old = users();
    let shown = |digit| {
        let found = old.identify(&remote(), &hello(Some(token(digit)))).expect("known");
        found.shown.expect("shown")
    };
    let alice = || User::new(name("alice")).groups(vec![50, 60]);
    let hash = |digit| TokenHash::of(&token(digit));
    let still = |user: User, digit| {
        let mut users = Users::default();
        users.add(user);
        users.still_shows(&shown(digit))
    };
    assert!(still(alice().uid(501).token(hash('b')).token(hash('e')), 'b'));
    assert!(!still(alice().uid(501).token(hash('b')), 'a'), "its token is gone");
    assert!(!still(alice().uid(502).token(hash('a')), 'a'), "it has another uid");
    assert!(!still(alice().uid(501).token(hash('a')).admin(true), 'a'), "it has more rights");
    assert!(!Users::default().still_shows(&shown('a')), "it is gone");
}

#[test]
fn no_hash_and_no_token_is_shown() {
    let hex = |hash: &TokenHash| format!("{:?}", hash.bytes());
    let shown = format!("{:?} {:?}", users(), hello(Some(token('a'))));
    assert!(shown.contains("alice") && !shown.contains("aaaa"), "{shown}");
    assert!(!shown.contains(&hex(&TokenHash::of(&token('a')))), "{shown}");
}
