//! A client of a broker elsewhere: over TLS, with a token, as a user with few rights.
//!
//! Run it with `cargo run -p bus-examples --bin remote_client`. It brings the broker, on loopback;
//! `docs/remote.md` shows the same with two hosts, from a shell.

use bus_broker::{Allowance, Authority, Broker, BrokerConfig, Deed, Making, Policy};
use bus_broker::{TlsServerFiles, TokenHash, User, Who};
use bus_client::{Client, ClientOptions, ErrorKind, Pattern, PublisherOptions, Token, UserName};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // A private authority and a certificate for the broker: `bus cert` does it from a shell.
    let folder = tempfile::tempdir()?;
    let making = Making { days: 1, force: false };
    let (authority, _) = Authority::create(folder.path(), making)?;
    let made = authority.server("broker", &["127.0.0.1".to_owned()], making)?;
    let files = TlsServerFiles {
        certificate: made.certificate,
        key: made.key,
        ..TlsServerFiles::default()
    };

    // Who alice is, and what she may do. `bus token alice` makes a token.
    let token = Token::new("bus_an_example_is_no_place_for_a_real_token")?;
    let alice = UserName::new("alice")?;
    let rights = Allowance::to(Who::User(alice.clone()))
        .grant(Deed::Publish, Pattern::new("weather.>")?)
        .grant(Deed::Subscribe, Pattern::new("weather.>")?);
    let config = BrokerConfig::default()
        .listen("tls://127.0.0.1:0".parse()?)
        .tls(files)
        .user(User::new(alice).token(TokenHash::of(&token)))
        .policy(Policy::new(vec![rights]));
    let broker = Broker::start(config).await?;

    // The client trusts that authority and nobody else, and shows its token only now that the
    // connection is encrypted.
    let options = ClientOptions::default().tls_authority(authority.certificate()).token(token);
    let client = Client::connect_with(&broker.urls()[0], options).await?;

    let mut weather = client.subscribe("weather.*").await?;
    let open = PublisherOptions::default();
    let publisher = client.publisher_with("weather.oslo", open).await?;
    publisher.publish("snow").await?;
    let received = weather.next().await.ok_or("the subscription has ended")??;
    println!("{} says of {}: {:?}", received.sender(), received.topic(), received.payload());

    // Everything else is refused, and the answer says why.
    let refused = client.queue("orders").await.err().ok_or("it should be refused")?;
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    println!("refused: {refused}");
    Ok(())
}
