//! Generators whose client has left: dropped where they stand, or given a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether::{Request, ServerSentEvent, stream};
use tokio::time::sleep;

use super::{app, ask, frame, silent};

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_generator_that_never_asks_is_dropped_where_it_stands() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let router = app!(move || {
        let flag = Flag(Arc::clone(&flag));
        stream!(
            let _flag = flag;
            yield ServerSentEvent::text("one");
            std::future::pending::<()>().await;
        )
    });
    let mut body = ask(router).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    drop(body);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_generator_that_holds_its_request_gets_a_moment_for_its_clean_up() {
    let (done, cleaned) = tokio::sync::oneshot::channel();
    let done = Arc::new(std::sync::Mutex::new(Some(done)));
    let router = app!(move |request: Request| {
        let done = done.lock().unwrap().take().unwrap();
        stream!(
            while !request.is_disconnected() {
                yield ServerSentEvent::text("tick");
                sleep(Duration::from_secs(1)).await;
            }
            sleep(Duration::from_secs(2)).await;
            let _ = done.send(());
        )
    });
    let mut body = ask(router).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    drop(body);
    cleaned.await.expect("the clean-up code runs to its end");
}

#[tokio::test(start_paused = true)]
async fn the_moment_of_a_generator_whose_client_has_left_is_bounded() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let router = app!(move |request: Request| {
        let flag = Flag(Arc::clone(&flag));
        stream!(
            let _held = (flag, request);
            loop {
                yield ServerSentEvent::text("I do not look");
                sleep(Duration::from_secs(1)).await;
            }
        )
    });
    let mut body = ask(router).await.into_body();
    frame(&mut body).await.unwrap().unwrap();
    drop(body);
    sleep(Duration::from_millis(4_900)).await;
    assert!(!dropped.load(Ordering::SeqCst));
    sleep(Duration::from_millis(200)).await;
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn disconnected_can_be_awaited_also_outside_the_generator() {
    let (done, left) = tokio::sync::oneshot::channel();
    let done = Arc::new(std::sync::Mutex::new(Some(done)));
    let router = app!(move |request: Request| {
        let done = done.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            request.disconnected().await;
            let _ = done.send(());
        });
        silent()
    });
    let body = ask(router).await.into_body();
    drop(body);
    left.await.unwrap();
}
