//! Users and policy: read whole or not at all, each mistake by its line, and no secret in any of
//! it; and files that are damaged at random.

use bus_core::router::{Deed, Who};
use bus_core::{Pattern, Token, UserName};

use crate::users::{CertificateMatch, TokenHash, User, Users};

use super::*;

const HASH: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

fn good() -> String {
    format!(
        "name = \"lab\"\n[[allow]]\nuser = [\"alice\", \"uid:7\"]\nsend = [\"jobs.>\", \"mail\"]\nadminister = \">\"\n\
         [[user]]\nname = \"alice\"\ntoken = [\"sha256:{HASH}\", \"sha256:{}\"]\nuid = 1000\ngroups = [50, 60]\n\
         [[user]]\nname = \"site\"\ncertificate = [\"site.example\", \"sha256:{HASH}\"]\nadmin = true\n\
         [[allow]]\nuser = \"*\"\nsubscribe = [\"news.*\"]\n[[allow]]\nuser = \"anonymous\"\n\
         [[allow]]\nuser = \"group:root\"\nbridge = \"site.>\"\n",
        HASH.replace('c', "d")
    )
}

#[test]
fn users_and_policy_are_read() {
    let config = parse_config(&good()).expect("a good file");
    let name = |text| UserName::new(text).expect("a name");
    let bytes: Vec<u8> = [0xc0, 0xff, 0xee, 0].repeat(8);
    let bytes: [u8; 32] = bytes.try_into().expect("32 bytes");
    let other = bytes.map(|byte| if byte == 0xc0 { 0xd0 } else { byte });
    let mut users = Users::default();
    let alice = User::new(name("alice")).uid(1000).groups(vec![50, 60]);
    let alice = alice.token(TokenHash::from_bytes(bytes)).token(TokenHash::from_bytes(other));
    users.add(alice);
    let site = User::new(name("site")).admin(true);
    let site = site.certificate(CertificateMatch::Name("site.example".into()));
    users.add(site.certificate(CertificateMatch::Fingerprint(bytes)));
    assert_eq!(config.users, users);
    let whom: Vec<_> = config.policy.allowances().iter().map(|it| it.who().clone()).collect();
    let alice = Who::User(name("alice"));
    assert_eq!(whom, [alice, Who::Uid(7), Who::Everybody, Who::Anonymous, Who::Gid(0)]);
    let pattern = |text| Pattern::new(text).expect("a pattern");
    let expected = [
        (Deed::Send, pattern("jobs.>")),
        (Deed::Send, pattern("mail")),
        (Deed::Administer, pattern(">")),
    ];
    let granted = config.policy.allowances()[0].granted();
    assert_eq!(granted.len(), 3);
    assert!(expected.iter().all(|it| granted.contains(it)), "{granted:?}");
}

#[test]
fn what_is_shown_of_a_configuration_has_the_whole_policy_and_no_hash() {
    let config = parse_config(&good()).expect("a good file");
    let shown = render_config(&config);
    for part in
        ["name = \"alice\"", "# hashes of tokens, not shown: 2", "uid = 1000", "\"site.example\""]
    {
        assert!(shown.contains(part), "{shown} lacks {part}");
    }
    // The fingerprint of a certificate is no secret.
    assert_eq!(shown.matches(HASH).count(), 1, "{shown}");
    let users =
        shown.replace("# hashes of tokens, not shown: 2", &format!("token = \"sha256:{HASH}\""));
    let users = users.replace(&format!(", \"sha256:{HASH}\"]"), "]");
    let again = parse_config(&users).expect("it is a file");
    // Allowances are in the order of their words.
    let sorted = |config: &BrokerConfig| -> Vec<String> {
        let all = config.policy.allowances().iter().map(|one| {
            let mut granted = one.granted().to_vec();
            granted.sort();
            format!("{:?} {granted:?}", one.who())
        });
        all.collect()
    };
    assert_eq!(sorted(&again), sorted(&config));
    let debug = format!("{config:?}");
    // The bytes of the second hash, which no fingerprint shares.
    assert!(debug.contains("alice") && !debug.contains("208, 255"), "{debug}");
    assert!(debug.contains("TokenHash(not shown)"), "{debug}");
}

/// A file must be refused, at this line and with these words, and no secret.
fn check(file: &str, line: usize, parts: &[&str]) {
    let file = file.replace("HASH", HASH);
    let error = parse_config(&file).expect_err(&file);
    assert_eq!(error.line(), line, "{file}: {error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{file}: {error} lacks `{part}`");
    }
    let shown = error.to_string();
    assert!(!shown.contains("secret_secret") && !shown.contains(&HASH[..9]), "{shown}");
}

const USER: &str = "[[user]]\nname = \"alice\"\ntoken = \"sha256:HASH\"\n";

fn with(more: &str) -> String {
    format!("{USER}{more}")
}

#[test]
fn mistakes_of_users_are_named_with_their_line() {
    let secret = "bus_secret_secret_secret_secret_secret_secret";
    check("[user]\nname = \"a\"", 1, &["`user`", "[[user]]", "a table"]);
    check("user = 3", 1, &["`user`", "[[user]]", "the integer 3"]);
    check("user = [3]", 1, &["`user`", "the integer 3"]);
    check("[[user]]\ntoken = \"sha256:HASH\"", 1, &["no `name`"]);
    check("[[user]]\nname = \"a\"", 1, &["`a`", "neither `token` nor `certificate`"]);
    check(&with("nam = \"x\""), 4, &["`nam`", "[[user]]", "`name`?"]);
    check(&with("send = \">\""), 4, &["`send`", "under an [[allow]]"]);
    check(&with("queues = 3"), 4, &["`queues`", "under [limits]"]);
    check("token = \"sha256:HASH\"", 1, &["`token`", "under a [[user]]"]);
    check("[[user]]\nname = \"a b\"", 2, &["`user.name`", "' '"]);
    check("[[user]]\nname = \"anonymous\"", 2, &["`anonymous`"]);
    check(
        &format!("[[user]]\nname = \"a\"\ntoken = \"{secret}\""),
        3,
        &["`user.token`", "`bus token`"],
    );
    check(
        "[[user]]\nname = \"a\"\ntoken = [\"sha256:HASH\",\n\"sha256:HASH0\"]",
        4,
        &["`user.token`"],
    );
    check("[[user]]\nname = \"a\"\ntoken = \"sha256:ä\"", 3, &["`user.token`"]);
    check(
        "[[user]]\nname = \"a\"\ncertificate = \"sha256:12\"",
        3,
        &["`user.certificate`", "fingerprint"],
    );
    check("[[user]]\nname = \"a\"\ncertificate = \"\"", 3, &["`user.certificate`"]);
    check(&with("uid = -1"), 4, &["`user.uid`", "-1"]);
    check(&with("uid = \"x\""), 4, &["`user.uid`", "\"x\""]);
    check(&with("uid = 4294967295"), 4, &["`user.uid`"]);
    check(&with("uid = 0"), 1, &["root", "admin = true"]);
    check(&with("groups = [1, \"x\"]"), 4, &["`user.groups`", "\"x\""]);
    check(&with("admin = 1"), 4, &["`user.admin`", "true or false"]);
    check(&with(USER), 4, &["shares its name"]);
    check(
        &with("[[user]]\nname = \"b\"\ntoken = \"sha256:HASH\""),
        4,
        &["shares one of its tokens", "`alice`"],
    );
}

#[test]
fn mistakes_of_the_policy_are_named_with_their_line() {
    check("[[allow]]\nsend = \">\"", 1, &["no `user`"]);
    check("[[allow]]\nuser = \"alise\"", 2, &["no [[user]]", "`alise`"]);
    check(&with("[[allow]]\nuser = \"alise\""), 5, &["`alise`", "did you mean `alice`?"]);
    check("[[allow]]\nuser = \"uid:nobody-of-that-name\"", 2, &["no user of this machine"]);
    check("[[allow]]\nuser = \"group:nobody-of-that-name\"", 2, &["no group of this machine"]);
    check("[[allow]]\nuser = \"role:x\"", 2, &["`allow.user`", "\"anonymous\" or \"*\""]);
    check("[[allow]]\nuser = 7", 2, &["`allow.user`", "the integer 7"]);
    check("[[allow]]\nuser = \"*\"\nsned = \">\"", 3, &["`sned`", "[[allow]]", "`send`?"]);
    check("[[allow]]\nuser = \"*\"\nsend = 3", 3, &["`allow.send`", "a list of patterns"]);
    check("[[allow]]\nuser = \"*\"\nsend = [\"a\",\n\"a.>.b\"]", 4, &["`allow.send`", "`a.>.b`"]);
}

#[test]
fn the_samples_in_the_readme_are_good_files() {
    let readme = include_str!("../../../../README.md");
    let samples = readme.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
    // That of a program that depends on the client is no file of a broker.
    let samples: Vec<&str> = samples.filter(|sample| !sample.contains("[dependencies]")).collect();
    let bridges = parse_config(samples[1]).expect("a good file").bridges;
    assert_eq!(bridges.len(), 1);
    let sample = samples[0].replace("\"sha256:...\"", &format!("\"sha256:{HASH}\""));
    // Not every machine has that group.
    let config = parse_config(&sample.replace("group:staff", "group:root")).expect("a good file");
    assert_eq!((config.users.len(), config.policy.allowances().len()), (1, 2));
}

/// A small generator, for the same cases everywhere.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn files_damaged_at_random_are_read_or_refused_and_no_secret_is_shown() {
    damaged_at_random(&good(), &["sha256:", "user", "allow"], |config| {
        render_config(config);
    });
}

/// Damages a good file in many ways, also with these words: it is refused by its line, or read and
/// looked at.
pub(super) fn damaged_at_random(good: &str, words: &[&str], look: impl Fn(&BrokerConfig)) {
    let pieces = [
        "[[", "]]", "\"", "=", "\n", "[", "{", "'''", "-", "9e999", "ä", "\u{0}", ".", ",", "*",
        ">",
    ];
    let pieces = [&pieces, words].concat();
    let (mut state, mut read) = (7, 0);
    for _ in 0..5_000 {
        let mut file: Vec<char> = good.chars().collect();
        for _ in 0..1 + next(&mut state) % 4 {
            let at = next(&mut state) % file.len();
            let until = (at + next(&mut state) % 12).min(file.len());
            let piece = pieces[next(&mut state) % pieces.len()];
            match next(&mut state) % 3 {
                0 => drop(file.drain(at..until)),
                1 => drop(file.splice(at..at, piece.chars())),
                _ => drop(file.splice(at..until, piece.chars())),
            }
            if file.is_empty() {
                break;
            }
        }
        let file: String = file.into_iter().collect();
        match parse_config(&file) {
            Ok(config) => {
                read += 1;
                look(&config);
            }
            Err(error) => {
                let shown = error.to_string();
                let lines = file.lines().count() + 1;
                assert!(error.line() <= lines.max(1), "{shown}: {file}");
                assert!(!shown.contains("\n"), "{shown}");
            }
        }
    }
    assert!((50..4_900).contains(&read), "{read} of them were good");
}

#[test]
fn the_hash_of_a_token_is_the_one_that_other_programs_make() {
    // printf %s bus_0123456789abcdef0123456789abcdef | sha256sum
    let token = Token::new("bus_0123456789abcdef0123456789abcdef").expect("a token");
    let digits: String =
        TokenHash::of(&token).bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits, "b68cb9b36bb8d7cb4e6c181e868a952511003dbf9e131ea7bcdf20067e7c010c");
}
