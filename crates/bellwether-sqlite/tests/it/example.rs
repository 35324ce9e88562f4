//! The example shows what the runs before it published.

use crate::folder::Folder;

#[path = "../../examples/restarts.rs"]
#[allow(dead_code, reason = "its `main` is for the command line")]
mod restarts;

#[tokio::test]
async fn each_run_of_the_example_shows_those_before_it() {
    let folder = Folder::new();
    for runs in 1..=3 {
        let lines = restarts::run(&folder.log()).await.unwrap();
        assert_eq!(lines.len(), runs);
        let id = lines[0].lines().last().unwrap();
        assert!(id.starts_with("id: 1.") && id.contains(".1."), "{id}");
        assert!(lines[runs - 1].contains("was here"));
    }
}
