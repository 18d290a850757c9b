//! `bus ls`: what there is, as `ipcs` shows it, and more.

use bus_broker::sorted_subscribers;
use bus_client::{
    Admin, ClientStat, ErrorKind, Pattern, QueueStat, ServiceStat, SubscriptionStat, TopicStat,
};
use serde_json::{Map, Value};

use crate::exit::{Exit, Problem, say};
use crate::output::Out;
use crate::table::table;
use crate::value::{show_bytes, show_count};
use crate::{session, stat_json, subscribers, users};

/// Flags of `ls`.
#[derive(clap::Args)]
pub struct Args {
    /// Only names that match: a name, or a pattern (`*` is one token, `>` the rest)
    pattern: Option<String>,
    /// Queues
    #[arg(long, short)]
    queues: bool,
    /// Topics
    #[arg(long, short)]
    topics: bool,
    /// Services
    #[arg(long, short)]
    services: bool,
    /// Clients (names do not count)
    #[arg(long, short)]
    clients: bool,
    /// Groups that share a subscription, where its pattern has names in common with the given one
    #[arg(long, short)]
    groups: bool,
    /// Subscribers, members of groups too, that would hear something of what the pattern matches
    #[arg(long, short = 'S')]
    subscriptions: bool,
    /// All of them
    #[arg(long, short, conflicts_with_all = [
        "queues", "topics", "services", "clients", "groups", "subscriptions",
    ])]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was asked for; `None` was not.
#[derive(Default)]
struct Found {
    queues: Option<Vec<QueueStat>>,
    topics: Option<Vec<TopicStat>>,
    services: Option<Vec<ServiceStat>>,
    clients: Option<Vec<ClientStat>>,
    groups: Option<Vec<subscribers::Group>>,
    subscriptions: Option<Vec<SubscriptionStat>>,
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let pattern = args.pattern.as_deref().unwrap_or(">");
    // Before connecting: a broker is not needed to refuse it.
    Pattern::new(pattern).map_err(bus_client::Error::from)?;
    session::with_client(url, session::once("ls"), async |client| {
        let found = find(&client.admin(), pattern, &args).await?;
        let mut out = Out::new();
        match args.json {
            true => out.json(&found.json())?,
            false => print(&mut out, &found)?,
        }
        out.flush()?;
        let groups_count = args.groups || args.all || args.pattern.is_none();
        match (&args.pattern, found.is_empty(groups_count)) {
            (Some(pattern), true) => {
                Err(Problem::new(Exit::Nothing, format!("there is nothing like `{pattern}`")))
            }
            (None, true) if !args.json => {
                say("there is nothing of that here now");
                Ok(())
            }
            _ => Ok(()),
        }
    })
    .await
}

async fn find(admin: &Admin, pattern: &str, args: &Args) -> Result<Found, Problem> {
    let asked = args.groups || args.subscriptions;
    let some = args.queues || args.topics || args.services || args.clients || asked;
    let mut found = Found::default();
    if args.queues || !some {
        found.queues = Some(admin.queues(pattern).await?);
    }
    if args.topics || !some {
        found.topics = Some(admin.topics(pattern).await?);
    }
    if args.services || !some {
        found.services = Some(admin.services(pattern).await?);
    }
    if args.clients || args.all {
        found.clients = Some(admin.clients().await?);
    }
    if asked || !some {
        let listed = match admin.subscriptions(pattern).await {
            // The other lists are as good without.
            Err(error) if !asked && error.kind() == ErrorKind::Unsupported => return Ok(found),
            listed => sorted_subscribers(listed?),
        };
        found.groups = (args.groups || !some).then(|| subscribers::groups(&listed));
        found.subscriptions = (args.subscriptions || args.all).then_some(listed);
    }
    Ok(found)
}

impl Found {
    /// Whether nothing was found; groups count if they were asked for, since they have no names of that kind.
    fn is_empty(&self, groups_count: bool) -> bool {
        let none = |count: Option<usize>| count.unwrap_or(0) == 0;
        none(self.queues.as_ref().map(Vec::len))
            && none(self.topics.as_ref().map(Vec::len))
            && none(self.services.as_ref().map(Vec::len))
            && none(self.clients.as_ref().map(Vec::len))
            && none(self.groups.as_ref().filter(|_| groups_count).map(Vec::len))
            && none(self.subscriptions.as_ref().map(Vec::len))
    }

    fn json(&self) -> Value {
        let mut map = Map::new();
        if let Some(queues) = &self.queues {
            map.insert("queues".into(), queues.iter().map(stat_json::queue).collect());
        }
        if let Some(topics) = &self.topics {
            map.insert("topics".into(), topics.iter().map(stat_json::topic).collect());
        }
        if let Some(services) = &self.services {
            map.insert("services".into(), services.iter().map(stat_json::service).collect());
        }
        if let Some(clients) = &self.clients {
            map.insert("clients".into(), clients.iter().map(stat_json::client).collect());
        }
        if let Some(groups) = &self.groups {
            map.insert("groups".into(), groups.iter().map(subscribers::group_json).collect());
        }
        if let Some(listed) = &self.subscriptions {
            let listed = listed.iter().map(stat_json::subscription).collect();
            map.insert("subscriptions".into(), listed);
        }
        Value::Object(map)
    }
}

fn print(out: &mut Out, found: &Found) -> Result<(), Problem> {
    let mut tables = Vec::new();
    if let Some(rows) = found.queues.as_ref().filter(|rows| !rows.is_empty()) {
        tables.push(queues(rows));
    }
    if let Some(rows) = found.topics.as_ref().filter(|rows| !rows.is_empty()) {
        tables.push(topics(rows));
    }
    if let Some(rows) = found.services.as_ref().filter(|rows| !rows.is_empty()) {
        tables.push(services(rows));
    }
    if let Some(rows) = found.clients.as_ref().filter(|rows| !rows.is_empty()) {
        tables.push(clients(rows));
    }
    if let Some(rows) = found.groups.as_ref().filter(|rows| !rows.is_empty()) {
        tables.push(subscribers::group_table(rows));
    }
    if let Some(rows) = found.subscriptions.as_ref().filter(|rows| !rows.is_empty()) {
        tables.push(subscribers::table_of(rows));
    }
    match tables.is_empty() {
        true => Ok(()),
        false => out.line(tables.join("\n\n")),
    }
}

/// The columns after the name: numbers are aligned to the right.
pub fn aligned(text_columns: usize, columns: usize) -> Vec<bool> {
    (0..columns).map(|column| column >= text_columns).collect()
}

fn queues(rows: &[QueueStat]) -> String {
    let header = [
        "QUEUE", "OWNER", "GROUP", "MODE", "ID", "MESSAGES", "BYTES", "LEASED", "BLOCKED",
        "WAITING", "HANDLES",
    ];
    let row = |stat: &QueueStat| {
        // Of a queue that lives at another broker these are known there.
        let at_home = |shown: String| if stat.hosted.is_some() { "-".to_owned() } else { shown };
        let note = match (stat.retired, &stat.hosted) {
            (true, _) => " (retired)",
            (_, Some(_)) => " (hosted)",
            _ => "",
        };
        vec![
            format!("{}{note}", stat.name),
            users::user(stat.access.owner),
            users::group(stat.access.group),
            format!("{:04o}", stat.access.mode),
            stat.id.to_string(),
            at_home(show_count(stat.messages)),
            at_home(show_bytes(stat.bytes)),
            show_count(stat.leased),
            show_count(stat.blocked),
            show_count(stat.waiting),
            show_count(stat.handles),
        ]
    };
    table(&header, &aligned(4, header.len()), rows.iter().map(row).collect())
}

fn topics(rows: &[TopicStat]) -> String {
    let header = [
        "TOPIC",
        "OWNER",
        "GROUP",
        "MODE",
        "ID",
        "PUBLISHED",
        "DELIVERED",
        "DROPPED",
        "HELD",
        "KEPT",
        "PUBLISHERS",
        "SUBSCRIBERS",
    ];
    let row = |stat: &TopicStat| {
        vec![
            stat.name.to_string(),
            users::user(stat.access.owner),
            users::group(stat.access.group),
            format!("{:04o}", stat.access.mode),
            stat.id.to_string(),
            show_count(stat.published),
            show_count(stat.delivered),
            show_count(stat.dropped),
            show_count(stat.held),
            show_count(stat.kept),
            show_count(stat.publishers),
            show_count(stat.subscribers),
        ]
    };
    table(&header, &aligned(4, header.len()), rows.iter().map(row).collect())
}

fn services(rows: &[ServiceStat]) -> String {
    let header = [
        "SERVICE", "OWNER", "GROUP", "MODE", "SERVERS", "RUNNING", "PENDING", "REQUESTS",
        "REPLIES", "LATE", "EXPIRED",
    ];
    let row = |stat: &ServiceStat| {
        vec![
            stat.name.to_string(),
            users::user(stat.access.owner),
            users::group(stat.access.group),
            format!("{:04o}", stat.access.mode),
            show_count(stat.servers),
            show_count(stat.running),
            show_count(stat.pending),
            show_count(stat.requests),
            show_count(stat.replies),
            show_count(stat.late),
            show_count(stat.expired),
        ]
    };
    table(&header, &aligned(4, header.len()), rows.iter().map(row).collect())
}

fn clients(rows: &[ClientStat]) -> String {
    let header = [
        "CLIENT",
        "USER",
        "TRANSPORT",
        "PID",
        "SESSION",
        "CHANNELS",
        "LEASES",
        "IN",
        "OUT",
        "PARKED",
        "UNSENT",
    ];
    let row = |stat: &ClientStat| {
        vec![
            stat.sender.name.clone(),
            users::shown(&stat.sender),
            if stat.connected { stat.transport.clone() } else { "away".into() },
            stat.sender.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            stat.sender.session.to_string(),
            show_count(stat.channels),
            show_count(stat.leases),
            show_bytes(stat.bytes_in),
            show_bytes(stat.bytes_out),
            show_bytes(stat.parked_bytes),
            show_bytes(stat.unsent_bytes),
        ]
    };
    table(&header, &aligned(3, header.len()), rows.iter().map(row).collect())
}
