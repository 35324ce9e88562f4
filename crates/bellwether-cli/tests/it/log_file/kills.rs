//! A repair that is killed, at any moment: the file is the old one or the new one, and nothing is lost.

use std::fs;
use std::time::Instant;

use super::files::{Folder, Got, change, read_to, whole_log};
use crate::support::{command, run};

const COUNT: u64 = 4000;
const STEPS: u32 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_the_middle_of_a_repair_loses_nothing() {
    let folder = Folder::new();
    whole_log(&folder, COUNT).await;
    change(&folder.log(), b"event 2000.", b"Event");
    let damaged = fs::read(folder.log()).unwrap();
    let begun = Instant::now();
    let mut child = command(&["repair", &folder.name()]).spawn().unwrap();
    child.wait().await.unwrap();
    let whole = begun.elapsed();
    assert_eq!(folder.forget_copies(&damaged), 1);
    let (mut cut, mut finished) = (0, 0);
    for step in 0..STEPS {
        fs::write(folder.log(), &damaged).unwrap();
        let mut child = command(&["repair", &folder.name()]).spawn().unwrap();
        // From before it has begun to after it has ended.
        let moment = whole * 5 / 4 * step / STEPS;
        match tokio::time::timeout(moment, child.wait()).await {
            Ok(_) => finished += 1,
            Err(_) => {
                child.start_kill().unwrap();
                child.wait().await.unwrap();
                cut += 1;
            }
        }
        let checked = run(&["check", &folder.name()], b"").await;
        match checked.code {
            Some(0) => {}
            Some(1) => {
                assert!(
                    checked
                        .text()
                        .starts_with("record 2000 of topic \"t\" is not what was written\n")
                );
                assert!(
                    checked.text().contains(": 1 problem;"),
                    "{}",
                    checked.text()
                );
            }
            _ => panic!("{step}: {}", checked.err),
        }
        let done = run(&["repair", &folder.name()], b"").await;
        assert_eq!(done.code, Some(0), "{step}: {}", done.err);
        folder.forget_copies(&damaged);
        assert!(!folder.path().join("events.sqlite-repairing").exists());
    }
    assert!(cut > 3, "{cut} were cut short, {finished} were not");
    let got = read_to(&folder, COUNT).await;
    assert_eq!(got.len() as u64, COUNT);
    assert_eq!(got[1999], Got::Damaged(Some(1)));
}
