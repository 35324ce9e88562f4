//! Functions under `#[get("/path")]` and its siblings are routes, and say what they are.

use std::convert::Infallible;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use bellwether::{
    Application, IntoRoute, Route, ServerEventsResponse, ServerSentEvent, delete, get, patch, post,
    put,
};
use futures_core::Stream;

use crate::handlers::{
    AppState, Refusing, Topics, answer, data_of, request, state, texts, with_json,
};

mod routes {
    use super::*;

    /// Says hello.
    #[get("/hello")]
    pub(super) fn hello() -> impl Stream<Item = ServerSentEvent> {
        texts(["hello"])
    }

    #[get("/response")]
    pub(super) async fn response() -> ServerEventsResponse {
        ServerEventsResponse::new(texts(["response"]))
    }

    #[post("/greet/{name}")]
    pub(super) async fn greet(
        State(app): State<AppState>,
        Path(name): Path<String>,
        State(topics): State<Topics>,
        body: String,
    ) -> String {
        format!("{} {name} {} {body}", app.greeting, topics.0.len())
    }

    #[put("/refuse", state = AppState)]
    pub(super) fn refuse(_: Refusing) -> Result<impl Stream<Item = ServerSentEvent>, Infallible> {
        Ok(texts([]))
    }

    #[patch("/{{literal}}/{*rest}")]
    pub(super) fn rest(Path(rest): Path<String>) -> String {
        rest
    }

    #[delete("/")]
    #[expect(unused_variables, reason = "other attributes stay on the function")]
    pub(super) fn remove(unused: HeaderMap) {}
}

fn router<S: Clone + Send + Sync + 'static>(route: impl IntoRoute<S>) -> Router<S> {
    let (path, methods) = route.into_route().into_parts();
    Router::new().route(&path, methods)
}

#[tokio::test]
async fn a_function_under_an_attribute_is_a_route_for_every_state_that_fits() {
    use routes::*;

    assert_eq!(
        data_of(router(hello), request("GET", "/hello")).await,
        ["hello"]
    );
    assert_eq!(
        data_of(router(response), request("GET", "/response")).await,
        ["response"]
    );
    let app: Router<AppState> = router(hello)
        .merge(router(greet))
        .merge(router(refuse))
        .merge(router(rest))
        .merge(router(remove));
    let app = app.with_state(state());
    assert_eq!(
        data_of(app.clone(), request("GET", "/hello")).await,
        ["hello"]
    );
    let greeted = answer(app.clone(), with_json("POST", "/greet/bell", "!")).await;
    assert_eq!(greeted, (StatusCode::OK, "hello bell 2 !".to_owned()));
    let refused = answer(app.clone(), request("PUT", "/refuse")).await;
    assert_eq!(refused.0, StatusCode::IM_A_TEAPOT);
    let rest = answer(app.clone(), request("PATCH", "/{literal}/a/b")).await;
    assert_eq!(rest, (StatusCode::OK, "a/b".to_owned()));
    assert_eq!(
        answer(app, request("DELETE", "/")).await,
        (StatusCode::OK, String::new())
    );
}

#[test]
fn a_route_tells_what_is_known_of_it() {
    let known: [(Route<AppState>, _, _, _); 5] = [
        (
            routes::hello.into_route(),
            "/hello",
            &["GET"][..],
            Some(true),
        ),
        (
            routes::response.into_route(),
            "/response",
            &["GET"],
            Some(true),
        ),
        (
            routes::greet.into_route(),
            "/greet/{name}",
            &["POST"],
            Some(false),
        ),
        (("/pair", get(|| "pair")).into_route(), "/pair", &[], None),
        (
            Route::new(format!("/{}", "owned"), get(|| "pair")),
            "/owned",
            &[],
            None,
        ),
    ];
    for (route, path, methods, is_stream) in known {
        assert_eq!(route.path(), path);
        assert_eq!(route.method_names(), methods);
        assert_eq!(route.is_stream(), is_stream);
    }
}

#[test]
fn an_application_takes_every_form_of_route() {
    fn build() -> Application {
        Application::new()
            .route(routes::hello)
            .route(("/pair", get(|| texts(["pair"]))))
            .route(Route::new("/route", post(async || "route")))
    }
    let _ = build();
}

/// The line of this file at which a path is given for the second time.
const SECOND_TIME: u32 = line!() + 9;

/// Run by the test below in a process of its own, whose panic is its only business.
#[test]
fn a_path_twice() {
    if std::env::var_os("BELLWETHER_TEST_TWICE").is_some() {
        let application: Application =
            Application::new().route(("/events", get(|| texts(["one"]))));
        // The next line is the one that the panic names.
        let _ = application.route(("/events", get(|| texts(["two"]))));
    }
}

#[test]
fn a_path_that_is_given_twice_is_named_with_the_line_of_the_program_that_gives_it() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attributes::a_path_twice", "--nocapture"])
        .env("BELLWETHER_TEST_TWICE", "1")
        // A backtrace has the line too, and few people read so far.
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success());
    assert!(text.contains("`GET /events`"), "{text}");
    // The path in front depends on where cargo was called.
    let place = format!("tests/it/attributes.rs:{SECOND_TIME}:");
    assert!(text.contains(&place), "{place} is not in {text}");
}

#[test]
fn a_probe_at_the_path_of_a_route_is_refused_and_does_not_panic() {
    let application = || Application::<()>::new().route(("/up", get(|| "up")));
    let error = application().health("/up").into_router().unwrap_err();
    assert!(error.is_configuration());
    assert!(error.to_string().contains("`health` at /up"), "{error}");
    let error = application().liveness("/up").into_router().unwrap_err();
    assert!(error.to_string().contains("`liveness` at /up"), "{error}");
}
