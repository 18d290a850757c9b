//! The work queue: each job goes to one worker, and each worker takes the types it selects.

use std::time::{Duration, Instant};

use bus_client::{Message, MessageType, Object, QueueOptions};
use serde_json::Value;

use super::{PATIENCE, Stage, ready};
use crate::exit::{Exit, Problem};
use crate::output::Out;

const QUEUE: &str = "demo.jobs";
/// Types of the jobs, in the order in which they are sent; sent over and over.
const TYPES: [u64; 6] = [6, 3, 5, 1, 4, 2];
const ROUNDS: usize = 8;

/// Plays it.
pub async fn play(stage: &Stage<'_>, out: &mut Out) -> Result<(), Problem> {
    let queue = stage.client.queue_with(QUEUE, QueueOptions::default().mode(0o777)).await?;
    let mut count = 0;
    for _ in 0..ROUNDS {
        for number in TYPES {
            let Some(kind) = MessageType::new(number) else { continue };
            queue.send(Message::new(kind, format!("job {count}"))).await?;
            count += 1;
        }
    }
    out.line(format_args!(
        "\nqueue {QUEUE}: each message goes to one receiver\n  \
         {count} jobs sent, types 6 3 5 1 4 2 over and over"
    ))?;
    let mut workers = Vec::new();
    for (label, url, selector) in [
        ("worker A", stage.local, "<=3"),
        ("worker B", stage.local, "5"),
        ("worker C", stage.tcp, "any"),
    ] {
        let arguments = ["--queue", QUEUE, "--selector", selector, "--job-ms", "5"];
        workers.push((label, selector, ready(label, "worker", url, &arguments).await?));
    }
    let begin = Instant::now();
    for (_, _, worker) in &mut workers {
        worker.go().await?;
    }
    until_done(stage, count).await?;
    let elapsed = begin.elapsed();
    // Whoever waits at the queue is told, and ends.
    stage.client.admin().remove(Object::Queue, QUEUE).await?;
    let mut taken = 0;
    for (label, selector, mut worker) in workers {
        let pid = worker.pid();
        let result = worker.json(PATIENCE).await?;
        worker.finish().await?;
        let types = types_of(&result);
        taken += types.len();
        check(selector, &types)?;
        let shown: Vec<String> = types.iter().map(u64::to_string).collect();
        out.line(format_args!(
            "  {label}      process {pid:<7} {:<13} selects {selector:<4} and got {}",
            result["transport"].as_str().unwrap_or_default(),
            shown.join(" ")
        ))?;
    }
    if taken != count {
        return Err(Problem::new(Exit::Lost, format!("{count} jobs were sent, {taken} done")));
    }
    out.line(format_args!(
        "  all {count} acknowledged, each once, in {elapsed:.0?} at 5 ms a job"
    ))?;
    out.flush()
}

/// Waits until every job is acknowledged.
async fn until_done(stage: &Stage<'_>, count: usize) -> Result<(), Problem> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = stage.client.admin().stat(QUEUE).await?;
        let acked = page.queues.first().map_or(0, |queue| queue.acked);
        if acked >= count as u64 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let text = format!("only {acked} of {count} jobs were done in {PATIENCE:?}");
            return Err(Problem::new(Exit::TimedOut, text));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn types_of(result: &Value) -> Vec<u64> {
    result["types"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// With all jobs there from the beginning, `<=n` takes the lowest types first.
fn check(selector: &str, types: &[u64]) -> Result<(), Problem> {
    if selector == "<=3" && !types.is_sorted() {
        return Err(Problem::new(Exit::Lost, "a job of a lower type had to wait"));
    }
    Ok(())
}
