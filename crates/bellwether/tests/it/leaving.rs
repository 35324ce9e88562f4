//! Clients that leave, in every way there is: each is noticed, and nothing of it stays behind.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether::{
    Application, ClientConnection, CloseReason, HttpError, Json, Request, Running,
    ServerEventsResponse, ServerSentEvent, Stream, Timeouts, Topics, get, post, stream,
};
use bellwether_testkit::{RawClient, eventually};
use tokio::time::sleep;

use crate::support::serve;

const SOON: Duration = bellwether_testkit::TEST_TIMEOUT;

/// One event, then silence without an end; no keep-alive that would find out who has left.
fn quiet() -> ServerEventsResponse {
    let events = stream!(
        yield ServerSentEvent::text("one");
        std::future::pending::<()>().await;
    );
    ServerEventsResponse::new(events).no_keep_alive()
}

/// Waits until the one open stream is closed for this reason.
async fn closed_for(running: &Running, reason: CloseReason) {
    eventually("the stream to close", SOON, || running.streams().open == 0).await;
    assert_eq!(
        running.streams().closed(reason),
        1,
        "{:?}",
        running.streams()
    );
}

async fn open(address: SocketAddr) -> RawClient {
    let mut client = RawClient::connect_and_get(address, "/").await;
    client.read_head().await;
    assert_eq!(client.next_event().await.unwrap().data, "one");
    client
}

#[tokio::test]
async fn a_client_that_closes_is_noticed_at_once() {
    let (running, address) = serve(Application::new().route(("/", get(quiet)))).await;
    open(address).await.finish().await;
    closed_for(&running, CloseReason::ClientLeft).await;
}

#[tokio::test]
async fn a_client_that_resets_is_noticed_at_once() {
    let (running, address) = serve(Application::new().route(("/", get(quiet)))).await;
    open(address).await.reset();
    closed_for(&running, CloseReason::ClientLeft).await;
}

#[tokio::test]
async fn a_client_that_closes_only_its_own_side_has_left() {
    let (running, address) = serve(Application::new().route(("/", get(quiet)))).await;
    let mut client = open(address).await;
    client.half_close().await;
    closed_for(&running, CloseReason::ClientLeft).await;
}

#[tokio::test]
async fn a_stray_byte_before_the_close_hides_nothing() {
    for stray in ["x", "\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let (running, address) = serve(Application::new().route(("/", get(quiet)))).await;
        let mut client = open(address).await;
        client.send(stray).await;
        client.finish().await;
        closed_for(&running, CloseReason::ClientLeft).await;
    }
}

#[tokio::test]
async fn a_generator_that_waits_for_its_client_to_leave_is_told_at_once() {
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    let handler = move |request: Request| {
        let count = Arc::clone(&count);
        stream!(
            yield ServerSentEvent::text("one");
            request.disconnected().await;
            count.fetch_add(1, Ordering::SeqCst);
        )
    };
    let (running, address) = serve(Application::new().route(("/", get(handler)))).await;
    open(address).await.finish().await;
    eventually("the clean-up", SOON, || told.load(Ordering::SeqCst) == 1).await;
    eventually("its end", SOON, || running.streams().leaving == 0).await;
}

#[tokio::test]
async fn a_handler_whose_body_is_json_knows_all_the_same_that_its_client_has_left() {
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    let handler = move |client: ClientConnection, Json(text): Json<String>| {
        let count = Arc::clone(&count);
        stream!(
            yield ServerSentEvent::text(text);
            // A clone that outlives the first asks the same.
            let clone = client.clone();
            drop(client);
            clone.disconnected().await;
            if clone.is_disconnected() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        )
    };
    let (running, address) = serve(Application::new().route(("/", post(handler)))).await;
    let mut client = RawClient::connect(address).await;
    let headers = [
        ("content-type", "application/json"),
        ("content-length", "5"),
    ];
    client.request("POST", "/", &headers).await;
    client.send("\"one\"").await;
    client.read_head().await;
    assert_eq!(client.next_event().await.unwrap().data, "one");
    client.finish().await;
    eventually("the clean-up", SOON, || told.load(Ordering::SeqCst) == 1).await;
    eventually("its end", SOON, || running.streams().leaving == 0).await;
}

#[tokio::test]
async fn a_reader_that_reads_nothing_is_cut_as_too_slow() {
    let flood = || {
        stream!(loop {
            yield ServerSentEvent::text("x".repeat(16 * 1024));
        })
    };
    let application = Application::new()
        .timeouts(Timeouts::default().write_stall(Duration::from_millis(300)))
        .route(("/", get(flood)));
    let (running, address) = serve(application).await;
    let client = RawClient::connect_and_get(address, "/").await;
    eventually("the cut", SOON, || {
        running.streams().closed(CloseReason::TooSlow) == 1
    })
    .await;
    assert_eq!(running.streams().open, 0);
    drop(client);
}

/// The ways to leave, from before the first byte to the middle of an event.
async fn leave(address: SocketAddr, way: usize) {
    let mut client = RawClient::connect(address).await;
    match way % 10 {
        0 => return client.finish().await,
        1 => {
            client.send("GET / HTTP/1.1\r\nHo").await;
            return client.finish().await;
        }
        2 => {
            client.send("GET / HTTP/1.1\r\nHo").await;
            return client.reset();
        }
        _ => client.get("/", &[]).await,
    }
    match way % 10 {
        3 => return client.finish().await,
        4 => return client.reset(),
        _ => drop(client.read_head().await),
    }
    match way % 10 {
        5 => client.finish().await,
        6 => client.reset(),
        7 => {
            client.half_close().await;
            client.closed().await;
        }
        8 => {
            client.send("x").await;
            client.finish().await;
        }
        _ => {
            client.next_event().await.unwrap();
            client.reset();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_way_five_thousand_clients_leave_every_count_returns_to_zero() {
    const CLIENTS: usize = 5_000;
    const AT_ONCE: usize = 250;
    let cleaned = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&cleaned);
    // A generator with clean-up code of its own, for half of the clients.
    let handler = move |request: Request| {
        let count = Arc::clone(&count);
        stream!(
            let mut disconnected = std::pin::pin!(request.disconnected());
            loop {
                yield ServerSentEvent::text("x".repeat(100));
                tokio::select! {
                    () = &mut disconnected => break,
                    () = sleep(Duration::from_millis(20)) => {}
                }
            }
            count.fetch_add(1, Ordering::SeqCst);
        )
    };
    let (running, address) = serve(Application::new().route(("/", get(handler)))).await;
    for batch in 0..CLIENTS / AT_ONCE {
        let clients: Vec<_> = (0..AT_ONCE)
            .map(|i| tokio::spawn(leave(address, batch * AT_ONCE + i)))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    }
    eventually("every stream to close", SOON * 2, || {
        let streams = running.streams();
        streams.open == 0 && streams.leaving == 0
    })
    .await;
    let streams = running.streams();
    let closed: u64 = CloseReason::ALL
        .iter()
        .map(|reason| streams.closed(*reason))
        .sum();
    assert_eq!(closed, streams.opened);
    assert!(streams.opened >= (CLIENTS / 2) as u64, "{streams:?}");
    assert_eq!(
        cleaned.load(Ordering::SeqCst),
        streams.opened,
        "each generator has cleaned up"
    );
    running.stop().await.unwrap();
}

/// A network namespace joined to ours by a pair of devices; gone when dropped.
struct Apart {
    name: String,
    device: String,
    here: &'static str,
    there: &'static str,
}

fn run(command: &str) -> Result<(), String> {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

impl Apart {
    fn new() -> Result<Self, String> {
        let number = std::process::id() % 100_000;
        let apart = Self {
            name: format!("bellwether-{number}"),
            device: format!("bw{number}"),
            here: "10.213.7.1",
            there: "10.213.7.2",
        };
        let Self {
            name,
            device,
            here,
            there,
        } = &apart;
        run("command -v ip && command -v iptables")
            .map_err(|_| "the commands ip and iptables are not both here".to_owned())?;
        run(&format!("ip netns add {name}"))?;
        run(&format!(
            "ip link add {device} type veth peer name {device}p"
        ))?;
        run(&format!("ip link set {device}p netns {name}"))?;
        run(&format!(
            "ip addr add {here}/30 dev {device} && ip link set {device} up"
        ))?;
        run(&format!("ip -n {name} addr add {there}/30 dev {device}p"))?;
        run(&format!("ip -n {name} link set {device}p up"))?;
        run(&format!("ip netns exec {name} iptables -L -n"))?;
        Ok(apart)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // What was never made cannot be removed; nothing depends on it.
        let _ = run(&format!("ip netns del {}", self.name));
        let _ = run(&format!("ip link del {}", self.device));
    }
}

fn ticking() -> impl Stream<Item = ServerSentEvent> {
    stream!(
        yield ServerSentEvent::text("one");
        std::future::pending::<()>().await;
    )
}

#[tokio::test]
async fn a_client_that_vanished_behind_dropped_packets_is_noticed_within_its_time() {
    let apart = match Apart::new() {
        Ok(apart) => apart,
        Err(reason) => {
            println!("SKIPPED: a client that vanished behind dropped packets: {reason}");
            return;
        }
    };
    // A fifteenth of the defaults: keep-alive 1 s and 2 s of silence, instead of 15 s and 30 s.
    let (keep_alive, silence) = (Duration::from_secs(1), Duration::from_secs(2));
    let listener = bellwether::Listener::tcp((apart.here, 0)).await.unwrap();
    let topics = Topics::new();
    let generator = move || ServerEventsResponse::new(ticking()).keep_alive(keep_alive);
    let subscription = move || {
        let news = topics.topic("news")?;
        let response = ServerEventsResponse::new(news.subscribe().open()?);
        Ok::<_, HttpError>(response.keep_alive(keep_alive))
    };
    let running = Application::new()
        .timeouts(Timeouts::default().peer_silence(silence))
        .route(("/generator", get(generator)))
        .route(("/subscription", get(subscription)))
        .start(listener)
        .await
        .unwrap();
    let address = running.address().socket_addr().unwrap();
    let script = format!(
        "for path in generator subscription; do \
         exec {{fd}}<>/dev/tcp/{}/{}; printf \"GET /$path HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\" >&$fd; \
         done; exec cat <&$fd",
        address.ip(),
        address.port()
    );
    let mut client = tokio::process::Command::new("ip")
        .args(["netns", "exec", &apart.name, "bash", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("both paths' streams", SOON, || {
        running.streams().open == 2 && (running.streams().engine == 1 || !cfg!(target_os = "linux"))
    })
    .await;
    let name = &apart.name;
    run(&format!("ip netns exec {name} iptables -I INPUT -j DROP")).unwrap();
    run(&format!("ip netns exec {name} iptables -I OUTPUT -j DROP")).unwrap();
    // Under the defaults this bound is a minute.
    let bound = (keep_alive + silence).mul_f64(1.3) + Duration::from_secs(3);
    eventually("the vanished clients to be noticed", bound, || {
        running.streams().open == 0
    })
    .await;
    client.kill().await.unwrap();
}
