//! `bus top`: a live picture of queues, topics, clients and bridges, with rates and depths.
//!
//! The picture is in `screen.rs`, its figures in `model.rs`, how they are asked for in `sample.rs`; here is
//! the terminal. Invariants: it is given back as it was on every way out, also a panic and a signal; the
//! broker is asked at most four times a second, and never before it has answered.

mod line;
mod model;
mod sample;
mod screen;

use std::io::IsTerminal;
use std::time::Duration;

use bus_client::{Client, ClientEvent};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::exit::{Exit, Problem};
use crate::output::Out;
use crate::serve::Signals;
use crate::table::table;
use crate::{session, value};
use line::Line;
use model::{Figure, Kind, Look, Pane};
use sample::Looker;
use screen::{Screen, Wish};

/// How often the broker is asked at most.
const INTERVAL_MIN: Duration = Duration::from_millis(250);
/// How long the keyboard is waited for, until it is seen whether anybody still wants a key.
const KEY_LIMIT: Duration = Duration::from_millis(100);
/// Keys that wait to be taken.
const KEYS_MAX: usize = 64;

/// Flags of `top`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  bus top                          live; tab changes what is shown, q ends it
  bus top --filter jobs.           only names with that in them
  bus top --once                   one picture as text, of two looks a second apart
  bus top --once --json            the same for a script

Marked with `!` are queues with blocked senders, topics that hold publishers back, clients that do
not read what is sent to them, whose sends wait for room or that are away, and bridges that are not
connected. Why the first of them is, from where it is scrolled to, stands below; with --once it
stands behind each.")]
pub struct Args {
    /// Time between two looks, at least 250ms
    #[arg(long, short, value_name = "DURATION", value_parser = interval_value, default_value = "1")]
    interval: Duration,
    /// Show only names that contain this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// Print once, and end
    #[arg(long)]
    once: bool,
    /// Print one JSON object
    #[arg(long, requires = "once")]
    json: bool,
}

fn interval_value(text: &str) -> Result<Duration, String> {
    match value::duration(text)? {
        given if given < INTERVAL_MIN => Err(format!("`{text}` is less than {INTERVAL_MIN:?}")),
        given => Ok(given),
    }
}

/// Runs it.
pub async fn run(url: &str, args: Args) -> Result<(), Problem> {
    let interactive = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !args.once && !interactive {
        return Err(Problem::usage("this needs a terminal: `bus top --once` prints one picture"));
    }
    session::with_client(url, session::lasting("top"), async |client| {
        let mut screen = Screen::new(args.filter.clone());
        let mut looker = Looker::new(client.clone());
        screen.take(looker.look().await?);
        if args.once {
            sleep(args.interval).await;
            screen.take(looker.look().await?);
            print(&screen, args.json)?;
            let is_empty = Pane::ALL.iter().all(|pane| screen.rows(*pane).is_empty());
            return match is_empty && !args.filter.is_empty() {
                // As `ls` and `stat` end.
                true => {
                    let text = format!("there is nothing with `{}` in its name", args.filter);
                    Err(Problem::new(Exit::Nothing, text))
                }
                false => Ok(()),
            };
        }
        let mut signals = Signals::new()?;
        // With a hook that gives the terminal back before a panic is told.
        let terminal = ratatui::try_init().map_err(|error| unusable(&error))?;
        let shown = show(client, terminal, screen, args.interval, looker, &mut signals).await;
        ratatui::restore();
        shown
    })
    .await
}

fn unusable(error: &std::io::Error) -> Problem {
    Problem::new(Exit::File, format!("the terminal cannot be used: {error}"))
}

/// Draws until it is to end.
async fn show(
    client: &Client,
    mut terminal: DefaultTerminal,
    mut screen: Screen,
    pause: Duration,
    looker: Looker,
    signals: &mut Signals,
) -> Result<(), Problem> {
    let (mut keys, mut looks) = (keyboard(), looks(looker, pause));
    let (mut events, mut line) = (client.events(), Line::new(pause));
    loop {
        screen.gone = line.trouble();
        terminal.draw(|frame| screen.draw(frame)).map_err(|error| unusable(&error))?;
        tokio::select! {
            biased;
            () = signals.next() => return Ok(()),
            key = keys.recv() => match key {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if screen.press(key) == Wish::Quit {
                        return Ok(());
                    }
                }
                // A size that changed is drawn anew.
                Some(_) => {}
                None => return Err(Problem::new(Exit::File, "the keyboard is gone")),
            },
            look = looks.recv() => match look {
                Some(Ok(look)) => {
                    line.answered();
                    screen.take(look);
                }
                Some(Err(Problem::Said(_, text))) => screen.trouble = text,
                Some(Err(other)) => return Err(other),
                None => return Ok(()),
            },
            event = events.next() => match event {
                Some(ClientEvent::Closed { reason }) => {
                    return Err(Problem::new(Exit::Unreachable, reason));
                }
                Some(event) => line.note(event),
                None => return Ok(()),
            },
            // For how long there is none is told anew.
            () = sleep(line.pause()) => {}
        }
    }
}

/// Looks, one after the other. A key that is pressed meanwhile breaks none off.
fn looks(mut looker: Looker, pause: Duration) -> mpsc::Receiver<Result<Look, Problem>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            sleep(pause).await;
            // Nobody wants them any more.
            if sender.send(looker.look().await).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Keys, from a thread of their own. It ends soon after nobody wants them any more.
fn keyboard() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            let came = match event::poll(KEY_LIMIT) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            let Ok(came) = came else { return };
            if sender.blocking_send(came).is_err() {
                return;
            }
        }
    });
    receiver
}

fn print(screen: &Screen, as_json: bool) -> Result<(), Problem> {
    let mut out = Out::new();
    if as_json {
        let mut all = Map::new();
        for pane in Pane::ALL {
            all.insert(
                pane.title().into(),
                screen.rows(pane).iter().map(|row| json_row(pane, row)).collect(),
            );
        }
        out.json(&all)?;
        return out.flush();
    }
    let mut parts = vec![screen.broker().to_owned()];
    for pane in Pane::ALL {
        let rows = screen.rows(pane);
        if rows.is_empty() {
            continue;
        }
        let title = pane.title().to_uppercase();
        let mut header = vec!["", title.as_str()];
        header.extend(pane.columns().iter().map(|(title, ..)| *title));
        let mut right: Vec<bool> = (0..header.len()).map(|column| column > 1).collect();
        let marked = rows.iter().any(|row| row.why.is_some());
        if marked {
            header.push("REASON");
            right.push(false);
        }
        let cells = rows.iter().map(|row| {
            let mark = if row.why.is_some() { "!" } else { "" };
            let mut cells = vec![mark.to_owned(), row.name.clone()];
            let figures = row.figures.iter().zip(pane.columns());
            cells.extend(figures.map(|(figure, (_, _, kind))| screen::show(figure, *kind)));
            cells.extend(marked.then(|| row.why.clone().unwrap_or_default()));
            cells
        });
        parts.push(table(&header, &right, cells.collect()));
    }
    out.line(parts.join("\n\n"))?;
    out.flush()
}

fn json_row(pane: Pane, row: &model::Row) -> Value {
    let mut told = Map::new();
    told.insert("name".into(), json!(row.name));
    told.insert("slow".into(), json!(row.why.is_some()));
    told.insert("reason".into(), json!(row.why));
    for (figure, (_, key, kind)) in row.figures.iter().zip(pane.columns()) {
        let value = match (figure, kind) {
            (Figure::Text(text), _) => json!(text),
            (Figure::Number(None), _) => Value::Null,
            // What is behind that is noise: of the moments at which it was asked.
            (Figure::Number(Some(rate)), Kind::Rate) => json!((rate * 100.0).round() / 100.0),
            (Figure::Number(Some(whole)), _) => json!(whole.round() as u64),
        };
        told.insert((*key).into(), value);
    }
    Value::Object(told)
}
