//! Tests of your own streams, without a socket: ask an application, read its events, leave, come back.
//!
//! With the feature `testing`, which belongs under `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! bellwether = { version = "0.1", features = ["testing"] }
//! tokio = { version = "1", features = ["macros", "test-util"] }
//! ```
//!
//! | to | use |
//! |---|---|
//! | ask an application or a router | [`oneshot`] with the request of [`request`] or of [`request_after`] |
//! | read some events, or all until the end | [`TestResponse::read_events`], [`TestResponse::read_all`] |
//! | see how a stream ended | [`TestResponse::end`] |
//! | leave in the middle | [`TestResponse::leave_after_events`], [`TestResponse::leave_after_bytes`], or drop the response |
//! | check that every reader that comes back gets the rest | [`check_resume`] |
//! | skip over sleeps | tokio's `#[tokio::test(start_paused = true)]` |
//!
//! Everything works with tokio's paused time. A generator that sleeps for an hour then takes no time at all, and
//! keep-alives come as they would.
//!
//! ```
//! use std::time::Duration;
//! use bellwether::testing::{End, oneshot, request};
//! use bellwether::{Application, ServerSentEvent, Stream, get, stream};
//!
//! #[get("/hours")]
//! fn hours() -> impl Stream<Item = ServerSentEvent> {
//!     stream!(
//!         for hour in 1..=3 {
//!             tokio::time::sleep(Duration::from_secs(3600)).await;
//!             yield ServerSentEvent::json(hour).id(hour);
//!         }
//!     )
//! }
//!
//! // In a test, `#[tokio::test(start_paused = true)]` does this.
//! # fn main() {
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
//! runtime.block_on(async {
//!     let mut response = oneshot(Application::new().route(hours), request("/hours")).await;
//!     assert_eq!(response.status(), 200);
//!     let events = response.read_all().await;
//!     assert_eq!(events.len(), 3);
//!     assert_eq!(events[2].data, "3");
//!     assert_eq!(events[2].last_event_id, "3");
//!     assert_eq!(response.end(), Some(&End::Clean));
//! });
//! # }
//! ```
//!
//! What belongs to the server is not here: limits, timeouts and the drain need
//! [`Application::start`](crate::Application::start) and a socket.

mod app;
mod reader;
mod response;
mod resume;

pub use app::{App, oneshot, request, request_after};
pub use bellwether_wire::Message;
pub use reader::End;
pub use response::TestResponse;
pub use resume::{ResumeError, check_resume};
