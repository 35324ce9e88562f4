//! SQLite on a full disk: publishing fails with a clear answer, readers stay; with space again, all goes on.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::publisher::Publishers;
use crate::reader::Readers;
use crate::scene::{Folder, settle};

const READERS: usize = 50;

/// The disk, and what lies on it beside the log.
const DISK: &str = "size=24m";
const BALLAST_BYTES: usize = 20 << 20;

const EVENT_BYTES: usize = 2048;

/// A small file system in memory, unmounted with its value.
struct Disk(Folder);

impl Disk {
    /// Mounts it; an error where that is not allowed.
    fn mount() -> Result<Self, String> {
        let folder = Folder::new("disk");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", DISK, "tmpfs"])
            .arg(folder.path());
        match mount.output() {
            Ok(Output { status, .. }) if status.success() => Ok(Self(folder)),
            Ok(Output { stderr, .. }) => Err(String::from_utf8_lossy(&stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a node that a failed test leaves behind for a moment still has the file open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_publishes_and_space_brings_them_back() {
    let disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            println!("SKIPPED: a full disk needs a small file system, which takes root: {reason}");
            return;
        }
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();
    let broker = format!("sqlite:{}", disk.path().join("log.db").display());
    let cluster = Cluster::start(1, &broker, &[]).await;
    let addresses = cluster.addresses();
    let readers = Readers::start(&addresses, READERS).await;
    let pace = Duration::from_millis(2);
    let publishers = Publishers::start_with(addresses.clone(), "p", 4, pace, EVENT_BYTES);
    publishers.wait_for_failure().await;
    let stored = publishers.count();
    std::fs::remove_file(&ballast).unwrap();
    publishers.wait_for_more(200).await;
    let settled = settle(&cluster, 1, publishers, readers).await;
    let (report, failures) = (&settled.report, &settled.failures);
    println!(
        "SQLite, full disk after {stored} events: {report}; {} publishes failed, the slowest after {:.2?}",
        failures.unavailable, failures.slowest
    );
    settled.assert_exact();
    assert_eq!(settled.opened, 1, "a stream was closed");
    assert_eq!(failures.unanswered, 0, "the node did not answer");
}
