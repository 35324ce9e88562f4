//! [`Cluster`]: nodes of `bellwether serve` as child processes, and their addresses as they come and go.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwether_testkit::{Program, within};
use tokio::process::Command;

use crate::http;

/// How long a node may take to start, to drain and to end.
const SLOW: Duration = Duration::from_secs(30);

/// Where the running nodes listen; shared with readers and publishers.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(Arc<Mutex<Vec<Option<String>>>>);

impl Addresses {
    /// The address of a running node, beginning the search with this one.
    pub(crate) fn any_from(&self, first: usize) -> Option<String> {
        let addresses = self.0.lock().unwrap();
        let count = addresses.len();
        (0..count).find_map(|step| addresses[(first + step) % count].clone())
    }

    fn set(&self, node: usize, address: Option<String>) {
        self.0.lock().unwrap()[node] = address;
    }
}

/// The nodes. Dropping them kills them.
#[derive(Debug)]
pub(crate) struct Cluster {
    arguments: Vec<String>,
    nodes: Vec<Option<Program>>,
    addresses: Addresses,
}

impl Cluster {
    /// Starts this number of nodes on a broker.
    pub(crate) async fn start(nodes: usize, broker: &str, arguments: &[&str]) -> Self {
        let first = ["serve", "--bind", "127.0.0.1:0", "--broker", broker];
        let arguments = first.iter().chain(arguments).map(|&text| text.to_owned());
        let mut cluster = Self {
            arguments: arguments.collect(),
            nodes: (0..nodes).map(|_| None).collect(),
            addresses: Addresses(Arc::new(Mutex::new(vec![None; nodes]))),
        };
        for node in 0..nodes {
            cluster.start_node(node).await;
        }
        cluster
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    pub(crate) fn address(&self, node: usize) -> String {
        self.addresses.any_from(node).unwrap()
    }

    /// Starts a node and waits until it is ready; how long that took.
    pub(crate) async fn start_node(&mut self, node: usize) -> Duration {
        let since = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        command
            .args(&self.arguments)
            .env_remove("BELLWETHER_BROKER");
        let program = Program::start_command(command).await;
        let address = program.addr().to_owned();
        self.nodes[node] = Some(program);
        self.addresses.set(node, Some(address));
        self.wait_until_ready(node, true).await;
        since.elapsed()
    }

    /// Kills a node (SIGKILL) and waits until it has gone.
    pub(crate) async fn kill(&mut self, node: usize) {
        self.addresses.set(node, None);
        let mut program = self.nodes[node].take().unwrap();
        program.signal("KILL").await;
        program.wait_exit(SLOW).await;
    }

    /// Asks a node to stop (SIGTERM) and waits until it has ended well; how long that took.
    pub(crate) async fn terminate(&mut self, node: usize) -> Duration {
        let since = Instant::now();
        self.addresses.set(node, None);
        let mut program = self.nodes[node].take().unwrap();
        program.terminate().await;
        let status = program.wait_exit(SLOW).await;
        assert!(status.success(), "{status}: {:?}", program.lines());
        since.elapsed()
    }

    /// Stops a node where it stands (SIGSTOP). What is published goes to the others.
    pub(crate) async fn freeze(&self, node: usize) {
        self.addresses.set(node, None);
        self.nodes[node].as_ref().unwrap().signal("STOP").await;
    }

    /// Lets a frozen node go on (SIGCONT).
    pub(crate) async fn thaw(&self, node: usize) {
        let program = self.nodes[node].as_ref().unwrap();
        program.signal("CONT").await;
        self.addresses.set(node, Some(program.addr().to_owned()));
    }

    /// Waits until a node says that it is ready, or that it is not; how long that took.
    pub(crate) async fn wait_until_ready(&self, node: usize, is_ready: bool) -> Duration {
        let since = Instant::now();
        let address = self.address(node);
        let expected = if is_ready { 200 } else { 503 };
        let ask = async {
            loop {
                let answer = http::get(&address, "/ready", SLOW).await;
                if answer.is_ok_and(|answer| answer.status == expected) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let asked = within(SLOW, ask).await;
        assert!(
            asked.is_some(),
            "node {node} did not become ready: {is_ready}"
        );
        since.elapsed()
    }
}
