//! Every shape that a handler may have answers, with axum's extractors and axum's rejections.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    Form, Router,
    body::{Body, to_bytes},
    extract::{FromRef, FromRequestParts, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{self, MethodFilter},
};
use bellwether::{
    IntoEvent, Json, ServerEventsResponse, ServerSentEvent, any, delete, events, events_from, get,
    on, options, patch, post, put, stream,
};
use bellwether_wire::Decoder;
use futures_core::Stream;
use serde::Deserialize;
use tower::ServiceExt;

// What handlers of these tests are made of.

pub(crate) fn texts<const N: usize>(
    texts: [&'static str; N],
) -> impl Stream<Item = ServerSentEvent> {
    stream!(for text in texts {
        yield ServerSentEvent::text(text);
    })
}

#[derive(Debug)]
pub(crate) struct Teapot;

impl IntoResponse for Teapot {
    fn into_response(self) -> Response {
        (StatusCode::IM_A_TEAPOT, "short and stout").into_response()
    }
}

#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) greeting: &'static str,
    pub(crate) topics: Topics,
}

#[derive(Clone)]
pub(crate) struct Topics(pub(crate) Arc<[&'static str]>);

impl FromRef<AppState> for Topics {
    fn from_ref(state: &AppState) -> Self {
        state.topics.clone()
    }
}

pub(crate) fn state() -> AppState {
    AppState {
        greeting: "hello",
        topics: Topics(Arc::new(["a", "b"])),
    }
}

#[derive(Deserialize)]
struct Range {
    from: u32,
    to: u32,
}

// How they are asked.

pub(crate) async fn answer(app: Router, request: Request) -> (StatusCode, String) {
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) fn request(method: &str, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap()
}

pub(crate) fn with_json(method: &str, path: &str, body: &'static str) -> Request {
    let request = Request::builder().method(method).uri(path);
    request
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap()
}

/// The data of all events that the app sends in answer to a request.
pub(crate) async fn data_of(app: Router, request: Request) -> Vec<String> {
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream; charset=utf-8"
    );
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let mut decoder = Decoder::new();
    let mut input = &body[..];
    let mut data = Vec::new();
    while let Some(message) = decoder.decode(&mut input).unwrap() {
        data.push(message.data);
    }
    data
}

fn one(methods: routing::MethodRouter) -> Router {
    Router::new().route("/", methods)
}

#[tokio::test]
async fn a_function_that_returns_a_stream_answers_with_its_events() {
    fn handler() -> impl Stream<Item = ServerSentEvent> {
        texts(["one", "two"])
    }
    async fn asynchronous() -> impl Stream<Item = ServerSentEvent> {
        texts(["one", "two"])
    }
    fn boxed() -> Pin<Box<dyn Stream<Item = ServerSentEvent> + Send>> {
        Box::pin(texts(["one", "two"]))
    }
    for methods in [
        get(handler),
        get(asynchronous),
        get(boxed),
        get(|| texts(["one", "two"])),
    ] {
        assert_eq!(
            data_of(one(methods), request("GET", "/")).await,
            ["one", "two"]
        );
    }
}

#[tokio::test]
async fn every_kind_of_item_is_sent() {
    fn json() -> impl Stream<Item = Json<[u8; 2]>> {
        stream!(
            yield Json([1, 2]);
        )
    }
    fn text() -> impl Stream<Item = String> {
        stream!(
            yield "a\nb".to_owned();
        )
    }
    fn fallible() -> impl Stream<Item = Result<ServerSentEvent, std::io::Error>> {
        stream!(
            yield Ok(ServerSentEvent::json(0));
        )
    }
    fn sent() -> impl Stream<Item: IntoEvent> {
        events_from(|sender| async move {
            sender.send(ServerSentEvent::json("7".parse::<u8>()?)).await;
            Ok(())
        })
    }
    assert_eq!(
        data_of(one(get(json)), request("GET", "/")).await,
        ["[1,2]"]
    );
    assert_eq!(data_of(one(get(text)), request("GET", "/")).await, ["a\nb"]);
    assert_eq!(
        data_of(one(get(fallible)), request("GET", "/")).await,
        ["0"]
    );
    assert_eq!(data_of(one(get(sent)), request("GET", "/")).await, ["7"]);
}

#[tokio::test]
async fn a_result_answers_with_its_stream_or_with_its_error() {
    #[expect(clippy::needless_pass_by_value, reason = "extractors come by value")]
    fn handler(headers: HeaderMap) -> Result<impl Stream<Item = ServerSentEvent>, Teapot> {
        if headers.contains_key("x-coffee") {
            Err(Teapot)
        } else {
            Ok(texts(["tea"]))
        }
    }
    async fn asynchronous(
        headers: HeaderMap,
    ) -> Result<impl Stream<Item = ServerSentEvent>, Teapot> {
        handler(headers)
    }
    for methods in [get(handler), get(asynchronous)] {
        let app = one(methods);
        assert_eq!(data_of(app.clone(), request("GET", "/")).await, ["tea"]);
        let mut coffee = request("GET", "/");
        coffee
            .headers_mut()
            .insert("x-coffee", header::HeaderValue::from_static("please"));
        let (status, body) = answer(app, coffee).await;
        assert_eq!(
            (status, &*body),
            (StatusCode::IM_A_TEAPOT, "short and stout")
        );
    }
}

#[tokio::test]
async fn a_ready_response_answers_from_sync_and_async_functions() {
    fn text() -> &'static str {
        "text"
    }
    async fn asynchronous() -> &'static str {
        "text"
    }
    fn fallible() -> Result<&'static str, Teapot> {
        Ok("text")
    }
    let all = [
        get(text),
        get(asynchronous),
        get(fallible),
        get("text"),
        get(async || "text"),
    ];
    for methods in all {
        let answered = answer(one(methods), request("GET", "/")).await;
        assert_eq!(answered, (StatusCode::OK, "text".to_owned()));
    }
}

#[tokio::test]
async fn an_event_response_answers_from_sync_and_async_functions() {
    fn handler() -> ServerEventsResponse {
        ServerEventsResponse::new(texts(["x"]))
    }
    async fn asynchronous() -> ServerEventsResponse {
        handler()
    }
    async fn fallible(State(()): State<()>) -> Result<ServerEventsResponse, Teapot> {
        Ok(handler())
    }
    for methods in [get(handler), get(asynchronous), get(fallible)] {
        assert_eq!(data_of(one(methods), request("GET", "/")).await, ["x"]);
    }
}

#[tokio::test]
async fn what_axum_accepts_with_a_layer_around_it_is_accepted() {
    use axum::handler::Handler;

    async fn handler() -> &'static str {
        "inner"
    }
    let layered = handler.layer(axum::middleware::map_response(
        async |mut response: Response| {
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        },
    ));
    let answered = answer(one(get(layered)), request("GET", "/")).await;
    assert_eq!(answered, (StatusCode::ACCEPTED, "inner".to_owned()));
}

#[tokio::test]
async fn arguments_are_extracted_as_in_axum() {
    fn parts(
        State(app): State<AppState>,
        State(topics): State<Topics>,
        Path(name): Path<String>,
        Query(range): Query<Range>,
        headers: HeaderMap,
    ) -> impl Stream<Item = String> {
        stream!(
            yield format!("{} {name} {}", app.greeting, topics.0.join("+"));
            for i in range.from..range.to {
                yield i.to_string();
            }
            yield format!("{:?}", headers.get("x-mark"));
        )
    }
    async fn body(
        State(app): State<AppState>,
        Json(numbers): Json<Vec<u32>>,
    ) -> Result<impl Stream<Item = String>, Teapot> {
        let sum: u32 = numbers.iter().sum();
        Ok(stream!(
            yield format!("{} {sum}", app.greeting);
        ))
    }
    async fn plain(State(app): State<AppState>, body: String) -> String {
        format!("{} {body}", app.greeting)
    }
    fn whole(request: Request) -> impl Stream<Item = String> {
        stream!(
            yield request.uri().to_string();
        )
    }
    let app = Router::new()
        .route("/parts/{name}", get(parts))
        .route("/body", post(body).put(plain))
        .route("/whole", get(whole))
        .route(
            "/closure",
            get(|State(app): State<AppState>| texts([app.greeting])),
        )
        .with_state(state());

    let parts = data_of(app.clone(), request("GET", "/parts/bell?from=2&to=4")).await;
    assert_eq!(parts, ["hello bell a+b", "2", "3", "None"]);
    let body = data_of(app.clone(), with_json("POST", "/body", "[1,2,3]")).await;
    assert_eq!(body, ["hello 6"]);
    let plain = answer(app.clone(), with_json("PUT", "/body", "raw")).await;
    assert_eq!(plain, (StatusCode::OK, "hello raw".to_owned()));
    assert_eq!(
        data_of(app.clone(), request("GET", "/whole?q")).await,
        ["/whole?q"]
    );
    assert_eq!(data_of(app, request("GET", "/closure")).await, ["hello"]);
}

#[tokio::test]
async fn sixteen_arguments_are_accepted() {
    type M = axum::http::Method;
    #[expect(clippy::too_many_arguments, reason = "that is the question")]
    fn sixteen(
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        _: M,
        method: M,
        body: String,
    ) -> impl Stream<Item = String> {
        stream!(
            yield format!("{method} {body}");
        )
    }
    let data = data_of(one(post(sixteen)), with_json("POST", "/", "b")).await;
    assert_eq!(data, ["POST b"]);
}

#[tokio::test]
async fn a_rejection_answers_as_in_axum_and_the_function_is_not_called() {
    fn unreachable<T>(_: T) -> impl Stream<Item = ServerSentEvent> {
        assert!(
            size_of::<T>() == usize::MAX,
            "called in spite of the rejection"
        );
        texts([])
    }
    let app = Router::new()
        .route("/path/{number}", get(unreachable::<Path<u32>>))
        .route("/query", get(unreachable::<Query<Range>>))
        .route("/json", post(unreachable::<Json<u32>>))
        .route("/form", post(unreachable::<Form<u32>>))
        .route("/async", post(async |json: Json<u32>| unreachable(json)));
    let cases = [
        (request("GET", "/path/x"), StatusCode::BAD_REQUEST),
        (request("GET", "/query?from=1"), StatusCode::BAD_REQUEST),
        (
            with_json("POST", "/json", "nonsense"),
            StatusCode::BAD_REQUEST,
        ),
        (
            with_json("POST", "/json", "\"x\""),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            with_json("POST", "/form", "a=b"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (request("POST", "/json"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            with_json("POST", "/async", "nonsense"),
            StatusCode::BAD_REQUEST,
        ),
        (request("POST", "/query"), StatusCode::METHOD_NOT_ALLOWED),
    ];
    for (request, expected) in cases {
        let asked = format!("{} {}", request.method(), request.uri());
        let (status, body) = answer(app.clone(), request).await;
        assert_eq!(status, expected, "{asked}");
        assert_eq!(
            body.is_empty(),
            status == StatusCode::METHOD_NOT_ALLOWED,
            "{asked}: {body}"
        );
    }
}

#[tokio::test]
async fn a_client_without_need_of_events_is_answered_before_extractors_and_function() {
    fn unreachable(_: Refusing) -> impl Stream<Item = ServerSentEvent> {
        texts([])
    }
    async fn asynchronous(refusing: Refusing) -> impl Stream<Item = ServerSentEvent> {
        unreachable(refusing)
    }
    async fn page() -> &'static str {
        "page"
    }
    let app = Router::new()
        .route("/sync", get(unreachable))
        .route("/async", get(asynchronous))
        .route("/page", get(page))
        .with_state(state());
    for path in ["/sync", "/async"] {
        let mut asked = request("GET", path);
        let json = header::HeaderValue::from_static("application/json");
        asked.headers_mut().insert(header::ACCEPT, json.clone());
        assert_eq!(
            answer(app.clone(), asked).await.0,
            StatusCode::NOT_ACCEPTABLE
        );
        assert_eq!(
            answer(app.clone(), request("HEAD", path)).await,
            (StatusCode::OK, "".into())
        );
        let mut page = request("GET", "/page");
        page.headers_mut().insert(header::ACCEPT, json);
        assert_eq!(
            answer(app.clone(), page).await,
            (StatusCode::OK, "page".into())
        );
    }
}

/// An extractor of one state type only, which refuses every request with its own status.
pub(crate) struct Refusing;

impl FromRequestParts<AppState> for Refusing {
    type Rejection = Teapot;

    async fn from_request_parts(_: &mut Parts, _: &AppState) -> Result<Self, Teapot> {
        Err(Teapot)
    }
}

#[tokio::test]
async fn an_own_extractor_rejects_with_its_own_status() {
    fn handler(_: Refusing) -> impl Stream<Item = ServerSentEvent> {
        texts([])
    }
    let app = Router::new().route("/", get(handler)).with_state(state());
    assert_eq!(
        answer(app, request("GET", "/")).await.0,
        StatusCode::IM_A_TEAPOT
    );
}

#[tokio::test]
async fn each_method_has_its_function_and_chains_as_in_axum() {
    let name = |name: &'static str| move || texts([name]);
    let merged = get(async || "page")
        .post(events(name("POST")))
        .merge(put(name("PUT")))
        .merge(patch(name("PATCH")))
        .merge(delete(name("DELETE")))
        .merge(options(name("OPTIONS")))
        .merge(on(MethodFilter::TRACE, name("TRACE")));
    let app = Router::new()
        .route("/", merged)
        .route("/any", any(name("any")))
        .fallback(events(name("fallback")));

    let page = answer(app.clone(), request("GET", "/")).await;
    assert_eq!(page, (StatusCode::OK, "page".to_owned()));
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
        assert_eq!(data_of(app.clone(), request(method, "/")).await, [method]);
        assert_eq!(data_of(app.clone(), request(method, "/any")).await, ["any"]);
    }
    assert_eq!(
        data_of(app, request("GET", "/elsewhere")).await,
        ["fallback"]
    );
}

#[test]
fn the_future_of_a_handler_is_send() {
    fn is_send(_: impl Future<Output = Response> + Send) {}
    use axum::handler::Handler;
    is_send(events(|| texts(["x"])).call(request("GET", "/"), ()));
}
