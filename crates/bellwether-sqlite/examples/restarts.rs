//! A durable log: each run of this program reads what the runs before it published, then publishes once more.
//!
//! Run: `cargo run -p bellwether-sqlite --example restarts [file]`, several times. The default file is in the system's
//! folder for temporary files. `sqlite3 FILE 'SELECT * FROM events'` shows the log too.

#![allow(clippy::print_stdout, reason = "the output is the program's purpose")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_sqlite::SqliteBroker;
use bellwether_topics::{ServerSentEvent, Topics};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join("bellwether-restarts.db"),
        PathBuf::from,
    );
    println!("the log is {}", path.display());
    for line in run(&path).await? {
        println!("{line}");
    }
    Ok(())
}

/// Publishes to the log in this file, and returns all that it holds.
pub(crate) async fn run(path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let broker = SqliteBroker::builder(path)
        .max_records(10_000)
        .max_age(Some(Duration::from_secs(24 * 3600)))
        .open()?;
    let topics = Topics::with(broker).await?;
    let runs = topics.topic("runs")?;

    // Once this is awaited, the event is on the disk.
    let event = ServerSentEvent::text(format!("process {} was here", std::process::id()));
    let last = runs.publish(&event)?.await?;

    let mut reader = runs.subscribe().from_start().open()?;
    let mut lines = Vec::new();
    while let Some(delivery) = reader.next().await {
        let Some(frame) = delivery.into_frame() else {
            lines.push("what was here before is gone".to_owned());
            continue;
        };
        lines.push(
            String::from_utf8_lossy(&frame.bytes())
                .trim_end()
                .to_owned(),
        );
        if frame.cursor() == last {
            break;
        }
    }
    topics.close().await?;
    Ok(lines)
}
