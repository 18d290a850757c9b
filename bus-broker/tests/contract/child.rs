//! What a child of these tests does: a broker, or a client that does one thing after the other.

use bus_broker::{Broker, BrokerConfig};
use bus_client::{Client, Error, Object, Queue, QueueChange, QueueOptions, Selector};

use crate::process::{say, task};

#[test]
fn child_process() {
    let Some(task) = task() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(carry_out(&task));
}

fn say_result<T>(result: Result<T, Error>) {
    say(match &result {
        Ok(_) => "ok",
        Err(error) => error.kind().word(),
    });
}

/// `serve URL`, or `URL QUEUE ACTION...`, where each action says how it went.
async fn carry_out(task: &str) {
    let mut words = task.split(' ');
    let (url, name) = (words.next().expect("a URL"), words.next().expect("a name"));
    if url == "serve" {
        let config = BrokerConfig::default().listen(name.parse().expect("a URL"));
        let _broker = Broker::start(config).await.expect("it is its own folder");
        say("serving");
        return std::future::pending().await;
    }
    let client = match Client::connect(url).await {
        Ok(client) => client,
        Err(error) => return say(error.kind().word()),
    };
    let mut queue = None;
    for action in words {
        if let Some(mode) = action.strip_prefix("create=") {
            let mode = u16::from_str_radix(mode, 8).expect("an octal mode");
            let opened = client.queue_with(name, QueueOptions::default().exclusive().mode(mode));
            queue = opened.await.map_err(|error| say(error.kind().word())).ok();
            if queue.is_some() {
                say("ok");
            }
            continue;
        }
        if queue.is_none() {
            match client.queue_with(name, QueueOptions::default().must_exist()).await {
                Ok(opened) => queue = Some(opened),
                Err(error) => return say(error.kind().word()),
            }
        }
        act(&client, queue.as_ref().expect("it is open"), action).await;
    }
}

async fn act(client: &Client, queue: &Queue, action: &str) {
    let name = queue.name().as_str();
    match action {
        "open" => say("ok"),
        "send" => say_result(queue.try_send("from a child").await),
        "receive" => match queue.try_receive(Selector::Any).await {
            Ok(delivery) => say_result(delivery.ack().await),
            Err(error) => say(error.kind().word()),
        },
        "wait" => {
            say("waiting");
            say_result(queue.receive(Selector::Any).await);
        }
        "purge" => say_result(client.admin().purge(Object::Queue, name).await),
        "chown" => {
            let change = QueueChange { owner: Some(0), ..QueueChange::default() };
            say_result(client.admin().set_queue(name, change).await);
        }
        "hold" => {
            let mut consumer = queue.consumer(Selector::Any, 2).await.expect("consumes");
            let _held = consumer.next().await.expect("goes on").expect("a delivery");
            // What was taken is known to the broker before this is answered.
            client.ping().await.expect("answers");
            say("holding");
            std::future::pending().await
        }
        "work" => {
            let mut consumer = queue.consumer(Selector::Any, 100).await.expect("consumes");
            while let Some(delivery) = consumer.next().await {
                let delivery = delivery.expect("a delivery");
                if delivery.payload().as_ref() == b"poison" {
                    std::process::abort();
                }
                // The answer does not matter: it goes out with what comes next.
                drop(delivery.ack());
            }
        }
        other => panic!("no such action: {other}"),
    }
}
