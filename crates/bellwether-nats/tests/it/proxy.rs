//! A TCP proxy between log and server that loses responses and connections, and what appends do then.

use std::sync::Arc;
use std::time::Duration;

use bellwether_nats::NatsBroker;
use bellwether_testkit::{NatsServer, or_skip};
use bellwether_topics::Offset;
use bellwether_topics::broker::Broker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support;

/// Forwards bytes, and injects faults into the connections that exist, never into later ones.
struct TcpProxy {
    address: String,
    faults: watch::Sender<Faults>,
}

/// How often each fault was injected. A connection compares with the counts at its start.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// All further bytes from the server are dropped.
    mutes: u32,
    /// The connection is closed.
    cuts: u32,
}

impl TcpProxy {
    async fn start(server: &NatsServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: format!("nats://{}", listener.local_addr().unwrap()),
            faults: watch::Sender::new(Faults::default()),
        };
        let target = format!("127.0.0.1:{}", server.port());
        let faults = this.faults.subscribe();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(forward(client, server, faults.clone()));
            }
        });
        this
    }

    fn mute(&self) {
        self.faults.send_modify(|faults| faults.mutes += 1);
    }

    fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }
}

async fn forward(client: TcpStream, server: TcpStream, faults: watch::Receiver<Faults>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let Faults { mutes, cuts } = *faults.borrow();
    let mut cut = faults.clone();
    let requests = tokio::io::copy(&mut from_client, &mut to_server);
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from_server.read(&mut buffer).await?;
            if count == 0 {
                return std::io::Result::Ok(());
            }
            if faults.borrow().mutes == mutes {
                to_client.write_all(&buffer[..count]).await?;
            }
        }
    };
    tokio::select! {
        _ = requests => {}
        _ = answers => {}
        _ = cut.wait_for(|faults| faults.cuts != cuts) => {}
    }
}

struct Setup {
    _server: NatsServer,
    proxy: TcpProxy,
    broker: NatsBroker,
    /// Connected without the proxy.
    witness: NatsBroker,
}

async fn start() -> Option<Setup> {
    let server = or_skip(NatsServer::start("").await)?;
    let proxy = TcpProxy::start(&server).await;
    let stream = support::stream_name();
    let broker = NatsBroker::builder(&proxy.address).stream(&stream);
    let broker = broker.connect().await.unwrap();
    let witness = NatsBroker::builder(&server.url()).stream(&stream);
    let witness = witness.connect().await.unwrap();
    Some(Setup {
        _server: server,
        proxy,
        broker,
        witness,
    })
}

impl Setup {
    /// Appends, loses all responses, and cuts the connection once the server has stored the records.
    async fn append_and_lose_the_answers(
        &self,
        records: Vec<bellwether_topics::broker::NewRecord>,
    ) -> Vec<Result<bellwether_topics::broker::Stored, bellwether_topics::broker::BrokerError>>
    {
        let head = self.witness.bounds().await.unwrap().head.low() + records.len() as u64;
        self.proxy.mute();
        let appending = tokio::spawn({
            let broker = self.broker.clone();
            async move { broker.append(&records).await }
        });
        support::until("the server stores the records", async || {
            self.witness.bounds().await.unwrap().head == Offset::new(head)
        })
        .await;
        self.proxy.cut();
        appending.await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_answer_was_lost_is_sent_again_and_stored_once() {
    let Some(world) = start().await else {
        return;
    };
    for (number, key) in [(0, None), (1, Some("k"))] {
        let mut record = support::record("t", number);
        record.idempotency_key = key.map(Arc::from);
        let tag = record.tag;
        let answers = world.append_and_lose_the_answers(vec![record]).await;
        let stored = answers[0].as_ref().unwrap();
        assert!(!stored.is_duplicate, "it is its own first");
        assert_eq!(stored.cursor.tag, tag);
    }
    assert_eq!(support::all_numbers(&world.witness).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_whose_answers_were_lost_is_not_sent_again_out_of_order() {
    let Some(world) = start().await else {
        return;
    };
    let records = (0..3).map(|number| support::record("t", number)).collect();
    for answer in world.append_and_lose_the_answers(records).await {
        let error = answer.unwrap_err();
        assert!(!error.is_refused());
        assert!(error.to_string().contains("may be stored"), "{error}");
    }
    assert_eq!(support::all_numbers(&world.witness).await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_ends_the_tail_at_once_and_a_silent_one_soon() {
    let Some(world) = start().await else {
        return;
    };
    support::fill(&world.witness, 0..5).await;
    let open = async || support::tail_from(&world.broker, Offset::new(5)).await;
    let mut tail = open().await;
    world.proxy.cut();
    support::fails_within(Duration::from_secs(2), &mut tail).await;

    support::until("the log reconnects", async || {
        world.broker.bounds().await.is_ok()
    })
    .await;
    let mut tail = open().await;
    world.proxy.mute();
    support::fails_within(Duration::from_secs(4), &mut tail).await;
    // The client abandons the silent connection, and the next one works.
    support::until("the log answers", async || {
        world.broker.bounds().await.is_ok()
    })
    .await;
    drop(open().await);
}
