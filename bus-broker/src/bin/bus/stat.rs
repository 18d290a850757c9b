//! `bus stat`: everything about a name, or about the broker.

use bus_client::{Admin, Error, ErrorKind};
use serde_json::json;

use crate::exit::Problem;
use crate::output::Out;
use crate::{session, stat_json, stat_text};

/// Flags of `stat`.
#[derive(clap::Args)]
pub struct Args {
    /// A queue, topic or service [default: the broker itself]
    name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    session::with_client(url, session::once("stat"), async |client| {
        let mut out = Out::new();
        let admin = client.admin();
        match &args.name {
            None => {
                let info = admin.broker().await?;
                match args.json {
                    true => out.json(&stat_json::broker(&info))?,
                    false => out.line(stat_text::broker(&info))?,
                }
            }
            Some(name) => named(&admin, name, args.json, &mut out).await?,
        }
        out.flush()
    })
    .await
}

async fn named(admin: &Admin, name: &str, json: bool, out: &mut Out) -> Result<(), Problem> {
    let page = match admin.stat(name).await {
        Ok(page) => page,
        Err(error) => return Err(with_hint(admin, name, error).await),
    };
    if json {
        return out.json(&json!({
            "queues": page.queues.iter().map(stat_json::queue).collect::<Vec<_>>(),
            "topics": page.topics.iter().map(stat_json::topic).collect::<Vec<_>>(),
            "services": page.services.iter().map(stat_json::service).collect::<Vec<_>>(),
        }));
    }
    let queues = page.queues.iter().map(stat_text::queue);
    let topics = page.topics.iter().map(stat_text::topic);
    let services = page.services.iter().map(stat_text::service);
    let texts: Vec<String> = queues.chain(topics).chain(services).collect();
    out.line(texts.join("\n\n"))
}

/// For a name that is not there: which one comes near.
async fn with_hint(admin: &Admin, name: &str, error: Error) -> Problem {
    let missing = error.kind() == ErrorKind::NotFound;
    let problem = Problem::from(error);
    if !missing {
        return problem;
    }
    let mut names: Vec<String> = Vec::new();
    // Without the lists there is no hint.
    let named = admin.queues(">").await.into_iter().flatten().filter(|stat| !stat.retired);
    names.extend(named.map(|stat| stat.name.to_string()));
    names.extend(admin.topics(">").await.into_iter().flatten().map(|stat| stat.name.to_string()));
    names.extend(admin.services(">").await.into_iter().flatten().map(|stat| stat.name.to_string()));
    let distance = |other: &String| strsim::damerau_levenshtein(name, other);
    match names.iter().min_by_key(|other| distance(other)) {
        Some(near) if distance(near) <= 1 + name.len() / 4 => {
            problem.hint(format_args!("; did you mean `{near}`?"))
        }
        _ => problem,
    }
}
