//! `bus rm`, `bus retire` and `bus purge`: three ways to be rid of something.

use bus_client::{Admin, ErrorKind, Object, Retired};
use serde_json::json;

use crate::exit::{Problem, say};
use crate::output::Out;
use crate::session;

/// Flags of all three.
#[derive(clap::Args)]
pub struct Args {
    /// The names
    #[arg(required = true)]
    names: Vec<String>,
    /// Queues, where a topic has the same name
    #[arg(long, conflicts_with = "topic")]
    queue: bool,
    /// Topics, where a queue has the same name
    #[arg(long)]
    topic: bool,
    /// Print one JSON object for each
    #[arg(long)]
    json: bool,
}

/// Which way.
#[derive(Clone, Copy)]
pub enum Action {
    Remove,
    Retire,
    Purge,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Action::Remove => "rm",
            Action::Retire => "retire",
            Action::Purge => "purge",
        }
    }
}

/// Runs it. As with rm(1) a name that fails does not save the others.
pub async fn run(url: &str, action: Action, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once(action.verb()), async |client| {
        let admin = client.admin();
        let mut out = Out::new();
        let mut first = None;
        for name in &args.names {
            match one(&admin, action, name, &args, &mut out).await {
                Ok(()) => {}
                Err(Problem::Said(exit, text)) => {
                    say(text);
                    first = first.or(Some(exit));
                }
                Err(other) => return Err(other),
            }
        }
        first.map_or(Ok(()), |exit| Err(Problem::Told(exit)))
    })
    .await
}

async fn one(
    admin: &Admin,
    action: Action,
    name: &str,
    args: &Args,
    out: &mut Out,
) -> Result<(), Problem> {
    let object = which(admin, name, args).await?;
    let word = match object {
        Object::Queue => "queue",
        Object::Topic => "topic",
    };
    let (count, holders) = match action {
        Action::Remove => (admin.remove(object, name).await?, 0),
        Action::Purge => (admin.purge(object, name).await?, 0),
        Action::Retire => {
            let Retired { messages, holders } = admin.retire(object, name).await?;
            (messages, holders)
        }
    };
    let verb = action.verb();
    match args.json {
        true => out.json(&match action {
            Action::Retire => {
                json!({ "done": verb, word: name, "messages": count, "holders": holders })
            }
            _ => json!({ "done": verb, word: name, "count": count }),
        })?,
        false => out.line(sentence(action, word, name, count, holders))?,
    }
    out.flush()
}

/// What bears the name, unless it was said.
async fn which(admin: &Admin, name: &str, args: &Args) -> Result<Object, Problem> {
    if args.queue || args.topic {
        return Ok(if args.topic { Object::Topic } else { Object::Queue });
    }
    match admin.stat(name).await {
        Ok(page) if !page.queues.is_empty() && !page.topics.is_empty() => {
            let text = format!("`{name}` is a queue and a topic: say --queue or --topic");
            Err(Problem::usage(text))
        }
        Ok(page) if !page.topics.is_empty() => Ok(Object::Topic),
        // For a name that is not there the broker knows which one comes near.
        Ok(_) => Ok(Object::Queue),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Object::Queue),
        Err(error) => Err(error.into()),
    }
}

fn sentence(action: Action, object: &str, name: &str, count: u64, holders: u64) -> String {
    match (action, object) {
        (Action::Remove, "queue") => format!("removed queue {name}; messages gone: {count}"),
        (Action::Remove, _) => format!("removed topic {name}"),
        (Action::Retire, _) if holders == 0 => {
            format!("retired {object} {name}, which nobody held; messages gone: {count}")
        }
        (Action::Retire, "queue") => format!(
            "retired queue {name}; messages left to those who hold it: {count} (handles and \
             unsettled deliveries: {holders})"
        ),
        (Action::Retire, _) => format!("retired topic {name}; publishers that hold it: {holders}"),
        (Action::Purge, _) => format!("purged {object} {name}; messages gone: {count}"),
    }
}
