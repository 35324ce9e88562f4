//! The routes for probes: readiness tells a load balancer whether to send new clients here, liveness that the process
//! answers.
//!
//! Both are opt-in. Readiness says one word, or why not. Liveness says one word always: a process that is stopping, or
//! whose broker is away, must not be killed for it.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderValue, StatusCode, header};

/// Whether and where readiness is answered, and what it takes.
#[derive(Default, Clone)]
pub(crate) struct Readiness {
    pub(crate) path: Option<String>,
    pub(crate) conditions: Vec<Condition>,
}

/// What has to hold for new clients to be sent here.
#[derive(Clone)]
pub(crate) struct Condition {
    pub(crate) holds: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The answer while it does not.
    pub(crate) otherwise: String,
}

impl Readiness {
    /// `ready`, or the reason why not. A stop has precedence over the conditions; of those, the first that is false is named.
    fn verdict(&self, is_stopping: bool) -> Result<&str, &str> {
        if is_stopping {
            return Err("stopping");
        }
        let failed = self
            .conditions
            .iter()
            .find(|condition| !(condition.holds)());
        failed.map_or(Ok("ready"), |condition| Err(&condition.otherwise))
    }

    /// A route that answers `200 ready`, or `503` and why not.
    ///
    /// Everything is asked once per request, on the request's task, so it must not block. The answer is never stored
    /// (`Cache-Control: no-store`): a cached "ready" would outlive the server.
    pub(crate) fn route<S, F>(self, is_stopping: F) -> MethodRouter<S>
    where
        S: Clone + Send + Sync + 'static,
        F: Fn() -> bool + Clone + Send + Sync + 'static,
    {
        get(move || {
            let response = answer(self.verdict(is_stopping()));
            async move { response }
        })
    }
}

/// A route that answers `200 alive`.
pub(crate) fn liveness<S>() -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    get(async || answer(Ok("alive")))
}

fn answer(verdict: Result<&str, &str>) -> Response {
    let (status, text) = match verdict {
        Ok(text) => (StatusCode::OK, text),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
    };
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (status, headers, text.to_owned()).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Router;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn flag(value: &Arc<AtomicBool>) -> impl Fn() -> bool + Clone + use<> {
        let value = Arc::clone(value);
        move || value.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn readiness_says_200_ready_or_503_and_the_first_reason() {
        let [stopping, broker, disk] = [false, true, true].map(|on| Arc::new(AtomicBool::new(on)));
        let condition = |value, otherwise: &str| Condition {
            holds: Arc::new(flag(value)),
            otherwise: otherwise.into(),
        };
        let readiness = Readiness {
            path: None,
            conditions: vec![condition(&broker, "no broker"), condition(&disk, "no disk")],
        };
        let app: Router = Router::new().route("/ready", readiness.route(flag(&stopping)));

        for (is_stopping, has_broker, has_disk, status, text) in [
            (false, true, true, 200, "ready"),
            (false, true, false, 503, "no disk"),
            (false, false, false, 503, "no broker"),
            (false, true, true, 200, "ready"),
            (true, false, false, 503, "stopping"),
        ] {
            stopping.store(is_stopping, Ordering::Relaxed);
            broker.store(has_broker, Ordering::Relaxed);
            disk.store(has_disk, Ordering::Relaxed);
            let request = Request::get("/ready").body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, text);
        }
    }
}
