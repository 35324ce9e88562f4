//! Layers that drive the body they wrap in their own way: by a task of theirs, by a waker of theirs, or into an error.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::middleware;
use axum::response::Response;
use bellwether::{Application, CloseReason, Drain, StreamDefaults};
use bellwether_testkit::{BodyEnd, RawClient};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use crate::subscriptions::{Path, closed_for, news, open, publish, subscribes};
use crate::support::serve;

/// What came from a body that a task of its own reads.
struct Pumped(mpsc::Receiver<Frame<Bytes>>);

impl HttpBody for Pumped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

fn pump(mut body: Body) -> Body {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            if send.send(frame).await.is_err() {
                return;
            }
        }
    });
    Body::new(Pumped(receive))
}

/// Asks its body only after a wake-up of its own waker, as sets of futures do.
struct Patient {
    body: Body,
    woken: Arc<Woken>,
}

struct Woken {
    is_due: AtomicBool,
    outer: std::sync::Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_due.store(true, Ordering::SeqCst);
        if let Some(waker) = self.outer.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        *self.woken.outer.lock().unwrap() = Some(cx.waker().clone());
        if !self.woken.is_due.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            // Set back, since there may be more at once.
            self.woken.is_due.store(true, Ordering::SeqCst);
        }
        polled
    }
}

fn patient(body: Body) -> Body {
    let woken = Arc::new(Woken {
        is_due: AtomicBool::new(true),
        outer: std::sync::Mutex::default(),
    });
    Body::new(Patient { body, woken })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_that_drives_the_body_in_its_own_way_gets_every_event_and_keep_alive() {
    type Wrap = fn(Body) -> Body;
    let ways: [(&str, Wrap); 2] = [("a task", pump), ("a waker", patient)];
    for (way, wrap) in ways {
        for path in Path::BOTH {
            let (_, news) = news();
            let defaults = StreamDefaults::new().keep_alive(Duration::from_millis(100));
            let application = Application::new().streams(path.defaults(defaults));
            let layer =
                middleware::map_response(
                    move |response: Response| async move { response.map(wrap) },
                );
            let (running, address) =
                serve(subscribes(application, &news, |s| s).layer(layer)).await;
            let mut client = open(address, &running).await;
            for number in 0..20 {
                publish(&news, number);
                let event = client.next_event().await.unwrap();
                assert_eq!(event.data, number.to_string(), "{way}, {path:?}");
            }
            for _ in 0..2 {
                while client.read_body_chunk().await.unwrap() != ":\n" {}
            }
            drop(client);
            closed_for(&running, CloseReason::ClientLeft).await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_a_layer_has_failed_is_counted_as_an_error_and_cut() {
    /// Fails after the first frame.
    struct Failing(Body, bool);

    impl HttpBody for Failing {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            if self.1 {
                return Poll::Ready(Some(Err(axum::Error::new("the layer has failed"))));
            }
            let polled = Pin::new(&mut self.0).poll_frame(cx);
            self.1 = polled.is_ready();
            polled
        }
    }

    for path in Path::BOTH {
        let (_, news) = news();
        let layer = middleware::map_response(async |response: Response| {
            response.map(|body| Body::new(Failing(body, false)))
        });
        let application = subscribes(path.application(), &news, |s| s).layer(layer);
        let (running, address) = serve(application).await;
        let mut client = RawClient::connect_and_get(address, "/").await;
        assert_eq!(client.read_head().await.status, 200);
        assert_eq!(client.read_to_end().await.1, BodyEnd::Cut, "{path:?}");
        closed_for(&running, CloseReason::Error).await;
    }
}

#[tokio::test]
async fn a_stream_that_opens_during_a_stop_says_that_its_connection_closes() {
    for path in Path::BOTH {
        let (_, news) = news();
        let drain = Drain::default().window(Duration::from_secs(1));
        let slow = middleware::from_fn(
            |request: axum::extract::Request, next: middleware::Next| async move {
                bellwether::stopping().await;
                next.run(request).await
            },
        );
        let application = subscribes(path.application().drain(drain), &news, |s| s).layer(slow);
        let (running, address) = serve(application).await;
        let mut client = RawClient::connect_and_get(address, "/").await;
        // Another connection's answer shows that the server has read what came before.
        let mut other = RawClient::connect(address).await;
        other.send("nonsense\r\n\r\n").await;
        other.read_head().await;
        let stop = tokio::spawn(running.stop());
        let head = client.read_head().await;
        assert_eq!(head.header("connection"), Some("close"), "{path:?}");
        assert_eq!(client.read_to_end().await.1, BodyEnd::Clean);
        stop.await.unwrap().unwrap();
    }
}
