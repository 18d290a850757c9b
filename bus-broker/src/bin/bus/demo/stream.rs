//! The topic: one publisher, a subscriber in shared memory, one on the local socket, one over TCP.

use serde_json::Value;

use super::{PATIENCE, Stage, ready};
use crate::exit::{Exit, Problem};
use crate::helper::Helper;
use crate::output::Out;
use crate::value::show_count;

const TOPIC: &str = "demo.prices";
const SIZE: &str = "64";

/// Plays it.
pub async fn play(stage: &Stage<'_>, out: &mut Out) -> Result<(), Problem> {
    let mut sinks = Vec::new();
    for (label, url) in [
        ("subscriber A", stage.local),
        ("subscriber B", &stage.socket),
        ("subscriber C", stage.tcp),
    ] {
        let arguments = ["--topic", TOPIC, "--size", SIZE];
        sinks.push((label, ready(label, "sink", url, &arguments).await?));
    }
    let mut source = Helper::start(
        "publisher",
        &[
            "__role",
            "source",
            "--url",
            stage.local,
            "--topic",
            TOPIC,
            "--size",
            SIZE,
            "--seconds",
            "0.7",
            "--warm-up",
            "0.1",
        ],
    )?;
    let pid = source.pid();
    let published = source.json(PATIENCE).await?;
    out.line(format_args!(
        "\ntopic {TOPIC}: each message goes to every subscriber\n  \
         publisher     process {pid:<7} {:<13} published {} messages of {SIZE} bytes",
        text(&published, "transport"),
        show_count(number(&published, "messages")),
    ))?;
    for (label, mut sink) in sinks {
        let pid = sink.pid();
        let result = sink.json(PATIENCE).await?;
        sink.finish().await?;
        out.line(format_args!("  {label:<13} process {pid:<7} {}", received(&result)?))?;
    }
    source.finish().await?;
    out.flush()
}

fn received(result: &Value) -> Result<String, Problem> {
    let messages = number(result, "messages");
    if number(result, "wrong") > 0 || messages != number(result, "published") {
        return Err(Problem::new(Exit::Lost, format!("messages were lost or reordered: {result}")));
    }
    let seconds = result["seconds"].as_f64().unwrap_or_default();
    let rate = if seconds > 0.0 { (messages as f64 / seconds) as u64 } else { 0 };
    Ok(format!(
        "{:<13} received  {}, all in order, {} messages/s",
        text(result, "transport"),
        show_count(messages),
        show_count(rate)
    ))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}
