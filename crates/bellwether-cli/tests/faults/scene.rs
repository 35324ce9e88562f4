//! What most tests here begin and end with.

use std::path::{Path, PathBuf};

use crate::check::{Log, Report};
use crate::cluster::Cluster;
use crate::publisher::{Failures, Publishers, publish_last};
use crate::reader::{Readers, read_back};

/// How many readers there are, over all nodes.
pub(crate) const READERS: usize = 300;

/// How a test ended.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) report: Report,
    pub(crate) failures: Failures,
    /// How many streams a reader opened, at most.
    pub(crate) opened: usize,
}

/// Ends publishing, waits until every reader has the last event, and compares all that was acknowledged and delivered
/// with the log, which is the same on each of these nodes.
pub(crate) async fn settle(
    cluster: &Cluster,
    nodes: usize,
    publishers: Publishers,
    readers: Readers,
) -> Settled {
    let (mut acknowledged, failures) = publishers.finish().await;
    acknowledged.push(publish_last(&cluster.addresses()).await);
    let opened = readers.most_opened();
    let runs = readers.finish().await;
    let log = Log::of(&read_back(&cluster.address(0)).await);
    for node in 1..nodes {
        let other = Log::of(&read_back(&cluster.address(node)).await);
        assert!(other == log, "node {node} has another log than the first");
    }
    let mut report = Report::default();
    report.check_log(&log, &acknowledged);
    for run in &runs {
        report.check_reader(run, &log);
    }
    Settled {
        report,
        failures,
        opened,
    }
}

impl Settled {
    /// That nothing was lost, doubled or out of order, and no reader was told of a gap.
    pub(crate) fn assert_exact(&self) {
        assert!(self.report.is_exact(), "{}", self.report);
        assert_eq!(self.report.gaps, 0, "{}", self.report);
    }
}

/// An empty folder that goes with its value.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("bellwether-faults-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes `to` a copy of `from`, with all folders in it, and nothing else.
pub(crate) fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
