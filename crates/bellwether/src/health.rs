//! The readiness route: tells a load balancer whether to send new clients here.
//!
//! It is opt-in and says one word. Liveness needs no route of its own: a process that answers is
//! alive, and one that is stopping must not be killed for it.

use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderValue, StatusCode, header};

/// A route that answers `200 ready` while `is_ready` is true and `503 stopping` after that.
///
/// `is_ready` is called once per request, on the request's task, so it must not block. The answer
/// is never stored (`Cache-Control: no-store`): a cached "ready" would outlive the server.
pub(crate) fn readiness<S, F>(is_ready: F) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> bool + Clone + Send + Sync + 'static,
{
    get(move || {
        let response = answer(is_ready());
        async move { response }
    })
}

fn answer(is_ready: bool) -> Response {
    let (status, word) = if is_ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    };
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (status, headers, word).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Router;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn readiness_turns_from_200_ready_to_503_stopping() {
        let ready = Arc::new(AtomicBool::new(true));
        let question = Arc::clone(&ready);
        let app: Router = Router::new().route(
            "/ready",
            readiness(move || question.load(Ordering::Relaxed)),
        );

        for (is_ready, status, word) in [(true, 200, "ready"), (false, 503, "stopping")] {
            ready.store(is_ready, Ordering::Relaxed);
            let request = Request::get("/ready").body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, word);
        }
    }
}
