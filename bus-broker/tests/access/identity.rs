//! Who is taken for whom: by a token, by the kernel's word, or as anonymous.

use bus_broker::{BrokerConfig, CertificateMatch, Deed, StartError, Who};
use bus_client::{ErrorKind, Object, QueueOptions, Selector};

use crate::broker::{failed, stat};
use crate::stage::{
    ALICE_UID, BOB_UID, allow, config, connect, hash, named, policy, start, tcp, token,
    try_connect, user,
};

#[tokio::test]
async fn a_token_makes_a_remote_client_a_user_who_owns_what_it_creates() {
    let broker = start(config()).await;
    let (alice, bob) = (connect(&broker, 'a').await, connect(&broker, 'b').await);
    let queue = alice.queue("jobs").await.expect("opens");
    queue.send("one").await.expect("sends");
    let figures = stat(&alice, &queue).await;
    assert_eq!((figures.access.owner, figures.access.group), (Some(ALICE_UID), Some(61400)));
    assert_eq!(figures.creator.user.as_ref().map(|user| user.as_str()), Some("alice"));
    // With the mode 0700 it is hers alone, also for other connections of hers.
    assert_eq!(failed(bob.queue("jobs").await), ErrorKind::PermissionDenied);
    let again = connect(&broker, 'a').await;
    let delivery = again.queue("jobs").await.expect("opens").receive(Selector::Any).await;
    let delivery = delivery.expect("receives");
    let sender = delivery.sender();
    assert_eq!(sender.user.as_ref().map(|user| user.as_str()), Some("alice"));
    assert_eq!((sender.uid, sender.pid, &*sender.name), (Some(ALICE_UID), None, "tool"));
    assert!(sender.to_string().contains("user alice"), "{sender}");
    delivery.ack().await.expect("acks");
    let clients = alice.admin().clients().await.expect("lists");
    let users: Vec<_> = clients.iter().filter_map(|client| client.sender.user.clone()).collect();
    assert_eq!(users.len(), 3, "{clients:?}");
    assert!(clients.iter().any(|client| client.sender.uid == Some(BOB_UID)));
}

#[tokio::test]
async fn an_unknown_token_is_refused_by_kind_and_nobody_else_suffers() {
    let broker = start(config()).await;
    let error = try_connect(tcp(&broker), Some(token('x'))).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let text = error.to_string();
    assert!(text.contains("does not know this token") && !text.contains("xxxx"), "{text}");
    // Inside the process, where the kernel says who it is, it is no better.
    let error = try_connect(broker.url(), Some(token('x'))).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    connect(&broker, 'a').await.ping().await.expect("answers");
}

#[tokio::test]
async fn who_shows_nothing_is_anonymous_and_may_what_others_may() {
    let broker = start(config()).await;
    let (alice, nobody) =
        (connect(&broker, 'a').await, try_connect(tcp(&broker), None).await.expect("connects"));
    let queue = alice.queue_with("box", QueueOptions::default().mode(0o702)).await.expect("opens");
    let other = nobody.queue("box").await.expect("others may send");
    other.send("hello").await.expect("sends");
    assert_eq!(failed(other.receive(Selector::Any).await), ErrorKind::PermissionDenied);
    let delivery = queue.receive(Selector::Any).await.expect("receives");
    assert_eq!((delivery.sender().uid, delivery.sender().user.clone()), (None, None));
}

#[tokio::test]
async fn the_policy_limits_users_anonymous_ones_and_nobody_who_administers() {
    let allowances = [
        allow(named("alice"), &[Deed::Create, Deed::Send, Deed::Receive], "jobs.>"),
        allow(Who::Everybody, &[Deed::Subscribe], "news.*"),
        allow(Who::Anonymous, &[Deed::Call], "time"),
    ];
    let chief = user("chief").admin(true).token(hash('c'));
    let broker = start(config().user(chief).policy(policy(&allowances))).await;
    let (alice, bob, chief) =
        (connect(&broker, 'a').await, connect(&broker, 'b').await, connect(&broker, 'c').await);
    let jobs = alice.queue("jobs.a").await.expect("she may create it");
    jobs.send("one").await.expect("she may send");
    let error = alice.queue("mail").await.expect_err("another name");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    for part in ["user alice", "`mail`", "policy"] {
        assert!(error.to_string().contains(part), "{error} lacks {part}");
    }
    assert_eq!(failed(bob.queue("jobs.a").await), ErrorKind::PermissionDenied);
    assert_eq!(
        failed(alice.admin().purge(Object::Queue, "jobs.a").await),
        ErrorKind::PermissionDenied
    );
    assert_eq!(failed(bob.publisher("news.x").await), ErrorKind::PermissionDenied);
    assert_eq!(failed(bob.subscribe("news.>").await), ErrorKind::PermissionDenied);
    bob.subscribe("news.*").await.expect("everybody may");
    let nobody = try_connect(tcp(&broker), None).await.expect("connects");
    nobody.subscribe("news.x").await.expect("everybody may");
    assert_eq!(failed(nobody.serve("time", 1).await), ErrorKind::PermissionDenied);
    chief.publisher("news.x").await.expect("chief may everything");
    chief.admin().purge(Object::Queue, "jobs.a").await.expect("chief may everything");
}

#[tokio::test]
async fn sessions_are_resumed_only_by_the_same_user() {
    use crate::raw::{Raw, honest, resuming};
    use bus_core::session::Hello;
    let broker = start(config()).await;
    let hello = |digit| Hello {
        grace: std::time::Duration::from_secs(10),
        credential: Some(token(digit)),
        ..honest()
    };
    let mut raw = Raw::connect(tcp(&broker)).await;
    let welcome = raw.hello(&hello('a')).await.expect("taken");
    drop(raw);
    for (credential, expected) in
        [(Some(token('b')), false), (None, false), (Some(token('a')), true)]
    {
        let mut raw = Raw::connect(tcp(&broker)).await;
        let answer = raw.hello(&Hello { credential, ..resuming(&welcome) }).await;
        match answer {
            Ok(welcome) => assert_eq!(welcome.resumed, expected),
            Err(failure) => {
                assert!(!expected, "{failure}");
                assert_eq!(failure.kind(), ErrorKind::SessionDenied);
            }
        }
    }
}

#[tokio::test]
async fn tcp_for_other_hosts_needs_users_or_the_word_insecure() {
    let open = || BrokerConfig::default().listen("tcp://0.0.0.0:0".parse().expect("a URL"));
    let refused = match bus_broker::Broker::start(open()).await {
        Err(error @ StartError::Insecure { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it has started"),
    };
    assert!(refused.contains("[[user]]") && refused.contains("--insecure"), "{refused}");
    start(open().insecure(true)).await;
    // Nobody can show a certificate there.
    let named = user("alice").certificate(CertificateMatch::Name("alice".into()));
    let refused = bus_broker::Broker::start(open().user(named)).await.err();
    assert!(matches!(refused, Some(StartError::Insecure { .. })), "{refused:?}");
    let broker = start(open().user(user("alice").token(hash('a')))).await;
    // Without its last user it would be open to everybody.
    let error = broker.reload(open()).await.expect_err("refused");
    assert!(error.to_string().contains("goes on with what it has"), "{error}");
    let url = tcp(&broker).replace("0.0.0.0", "127.0.0.1");
    try_connect(&url, Some(token('a'))).await.expect("the old users are there");
}
