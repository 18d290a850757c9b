//! A broker with users, and clients that show who they are.

use bus_broker::{Allowance, Broker, BrokerConfig, Deed, Policy, TokenHash, User, Who};
use bus_client::{Client, ClientOptions, Error, Pattern, Token, UserName};

/// Who there is.
pub const ALICE_UID: u32 = 61301;
pub const BOB_UID: u32 = 61302;

pub fn token(digit: char) -> Token {
    Token::new(&format!("bus_{}", digit.to_string().repeat(64))).expect("a token")
}

pub fn hash(digit: char) -> TokenHash {
    TokenHash::of(&token(digit))
}

pub fn user(name: &str) -> User {
    User::new(UserName::new(name).expect("a name"))
}

pub fn named(name: &str) -> Who {
    Who::User(UserName::new(name).expect("a name"))
}

pub fn allow(who: Who, deeds: &[Deed], pattern: &str) -> Allowance {
    let pattern = Pattern::new(pattern).expect("a pattern");
    deeds.iter().fold(Allowance::to(who), |all, deed| all.grant(*deed, pattern.clone()))
}

/// A listener on loopback, alice with `a`, bob with `b`, both with a uid.
pub fn config() -> BrokerConfig {
    let listen = "tcp://127.0.0.1:0".parse().expect("a URL");
    let alice = user("alice").uid(ALICE_UID).groups(vec![61400]).token(hash('a'));
    BrokerConfig::default()
        .listen(listen)
        .user(alice)
        .user(user("bob").uid(BOB_UID).token(hash('b')))
}

/// All may everything, but for this.
pub fn policy(all: &[Allowance]) -> Policy {
    Policy::new(all.to_vec())
}

pub async fn start(config: BrokerConfig) -> Broker {
    Broker::start(config).await.expect("the broker starts")
}

pub fn tcp(broker: &Broker) -> &str {
    broker.urls().iter().find(|url| url.starts_with("tcp:")).expect("it listens on TCP")
}

pub async fn try_connect(url: &str, credential: Option<Token>) -> Result<Client, Error> {
    let options = ClientOptions::default().name("tool");
    let options = match credential {
        Some(token) => options.token(token),
        None => options,
    };
    Client::connect_with(url, options).await
}

/// A client over TCP with this token.
pub async fn connect(broker: &Broker, digit: char) -> Client {
    try_connect(tcp(broker), Some(token(digit))).await.expect("connects")
}
