//! What is requested: the settings of a source as a request, and what a redirect makes of it. Pure.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};

use crate::address::Address;
use crate::location::{origin, resolve};

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Servers allow a whole head 8 to 32 KiB; an id beyond this would only make them refuse the request.
const MAX_SENT_ID_BYTES: usize = 4096;

/// The request as the caller has set it up.
#[derive(Clone, Debug)]
pub(crate) struct RequestTemplate {
    pub(crate) url: Uri,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The value of `Accept-Encoding`, if codings are asked for.
    pub(crate) accept_encoding: Option<HeaderValue>,
}

/// Where the request has come to, redirect by redirect.
#[derive(Clone, Debug)]
pub(crate) struct RedirectTarget {
    pub(crate) url: Uri,
    method: Method,
    /// The body goes along.
    has_body: bool,
    /// No other origin has been on the way. Once false it stays so, even if the way leads back: another origin has then
    /// sent the request there.
    pub(crate) is_trusted: bool,
    redirects: u32,
}

impl RedirectTarget {
    /// The first request of each connection goes to the URL that the caller gave, whatever redirects there were
    /// before: so that server decides each time, and credentials stay tied to it.
    pub(crate) fn first(template: &RequestTemplate) -> Self {
        Self {
            url: template.url.clone(),
            method: template.method.clone(),
            has_body: !template.body.is_empty(),
            is_trusted: true,
            redirects: 0,
        }
    }

    /// Follows a redirect (Fetch, section 4.4, "HTTP-redirect fetch").
    ///
    /// # Errors
    ///
    /// Why it must not be followed.
    pub(crate) fn redirected(
        mut self,
        status: StatusCode,
        headers: &HeaderMap,
        max_redirects: u32,
    ) -> Result<Self, &'static str> {
        if self.redirects >= max_redirects {
            return Err("there are more redirects than allowed");
        }
        let location = headers.get(LOCATION).ok_or("it has no location")?;
        const NO_URL: &str = "its location is no URL with http or https";
        let url = resolve(&self.url, location.as_bytes()).ok_or(NO_URL)?;
        // A redirect is as easily mistyped as an argument.
        let address: Address = url.to_string().parse().map_err(|_| NO_URL)?;
        let (url, user) = address.into_parts();
        if user.is_some() {
            return Err("its location holds a user name");
        }
        if self.url.scheme_str() == Some("https") && url.scheme_str() != Some("https") {
            return Err("it leads from https to http");
        }
        // The older statuses turn POST into GET, as all clients do; 303 does so to all but GET and HEAD.
        let becomes_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            StatusCode::SEE_OTHER => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.has_body = false;
        }
        self.is_trusted &= origin(&self.url) == origin(&url);
        self.url = url;
        self.redirects += 1;
        Ok(self)
    }

    /// The request for this target.
    ///
    /// The caller's header fields are all taken for credentials, since an API key may have any name: another origin
    /// gets none of them, but for the type of the body that goes there.
    pub(crate) fn request(
        &self,
        template: &RequestTemplate,
        last_event_id: &str,
    ) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.url.clone();
        *request.method_mut() = self.method.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("bellwether-client/", env!("CARGO_PKG_VERSION"))),
        );
        for name in template.headers.keys() {
            let is_about_body = name == CONTENT_TYPE || name.as_str().starts_with("content-");
            let goes = match is_about_body {
                true => self.has_body && (self.is_trusted || name == CONTENT_TYPE),
                false => self.is_trusted,
            };
            if goes {
                headers.remove(name);
                for value in template.headers.get_all(name) {
                    headers.append(name, value.clone());
                }
            }
        }
        if let Some(codings) = &template.accept_encoding {
            headers.insert(ACCEPT_ENCODING, codings.clone());
        }
        if let Some(id) = sendable(last_event_id) {
            headers.insert(LAST_EVENT_ID, id);
        }
        if self.has_body {
            *request.body_mut() = template.body.clone();
        }
        request
    }
}

/// The id as a header value, in UTF-8 (WHATWG HTML 9.2.4); `None` if it is empty or cannot be one.
///
/// An id with control characters can't travel in a header; the request goes without it rather than not at all.
fn sendable(id: &str) -> Option<HeaderValue> {
    if id.is_empty() || id.len() > MAX_SENT_ID_BYTES {
        return None;
    }
    HeaderValue::from_bytes(id.as_bytes()).ok()
}

/// Whether this status sends the client elsewhere.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether the response is `text/event-stream`; parameters do not matter.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get_all(http::header::CONTENT_TYPE)
        .iter()
        .next_back()
    else {
        return false;
    };
    let essence = value.as_bytes().split(|byte| *byte == b';').next();
    essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"text/event-stream")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(method: Method) -> RequestTemplate {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-api-key", "k"),
            ("content-type", "application/json"),
            ("content-language", "de"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        RequestTemplate {
            url: "https://a.example/x/y".parse().unwrap(),
            method,
            headers,
            body: Bytes::from_static(b"{}"),
            accept_encoding: None,
        }
    }

    fn follow(
        target: RedirectTarget,
        status: u16,
        location: &str,
    ) -> Result<RedirectTarget, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(location).unwrap());
        target.redirected(StatusCode::from_u16(status).unwrap(), &headers, 3)
    }

    #[test]
    fn another_origin_gets_no_header_of_the_caller_even_after_the_way_back() {
        let template = template(Method::POST);
        let here = follow(RedirectTarget::first(&template), 307, "../z").unwrap();
        let request = here.request(&template, "7");
        assert_eq!(request.uri(), "https://a.example/z");
        assert_eq!(request.headers()["authorization"], "Bearer x");

        let there = follow(here, 308, "https://b.example/").unwrap();
        let request = there.request(&template, "7");
        for secret in ["authorization", "cookie", "x-api-key", "content-language"] {
            assert!(!request.headers().contains_key(secret), "{secret}");
        }
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.headers()["last-event-id"], "7");
        assert_eq!(request.body(), "{}");

        // A hop within the other origin is no way back to trust.
        let further = follow(there.clone(), 307, "/further").unwrap();
        let request = further.request(&template, "7");
        assert!(!request.headers().contains_key("authorization"));

        let back = follow(there, 307, "https://a.example/x/y").unwrap();
        let request = back.request(&template, "");
        assert!(!request.headers().contains_key("authorization"));
        assert!(!request.headers().contains_key("last-event-id"));
    }

    #[test]
    fn another_port_is_another_origin() {
        let template = template(Method::GET);
        let target = follow(
            RedirectTarget::first(&template),
            302,
            "https://a.example:8443/",
        )
        .unwrap();
        assert!(!target.is_trusted);
    }

    #[test]
    fn a_post_becomes_a_get_without_body_where_http_says_so() {
        for (method, status, becomes) in [
            (Method::POST, 301, Method::GET),
            (Method::POST, 302, Method::GET),
            (Method::POST, 303, Method::GET),
            (Method::PUT, 303, Method::GET),
            (Method::PUT, 301, Method::PUT),
            (Method::POST, 307, Method::POST),
            (Method::POST, 308, Method::POST),
        ] {
            let template = template(method);
            let target = follow(RedirectTarget::first(&template), status, "/z").unwrap();
            let request = target.request(&template, "");
            assert_eq!(request.method(), becomes, "{status}");
            let keeps = becomes != Method::GET;
            assert_eq!(!request.body().is_empty(), keeps, "{status}");
            assert_eq!(request.headers().contains_key("content-type"), keeps);
        }
    }

    #[test]
    fn redirects_that_lead_nowhere_are_refused() {
        let first = RedirectTarget::first(&template(Method::GET));
        for location in [
            "http://a.example/",
            "ftp://a.example/",
            "https://me@a.example/",
            "https://a.example:80800/",
            "//a.example:8o/",
            "https://",
        ] {
            assert!(follow(first.clone(), 302, location).is_err(), "{location}");
        }
        let bare = first
            .clone()
            .redirected(StatusCode::FOUND, &HeaderMap::new(), 3);
        assert!(bare.is_err());
        let mut target = first;
        for _ in 0..3 {
            target = follow(target, 302, "/again").unwrap();
        }
        assert!(follow(target, 302, "/again").is_err());
    }

    #[test]
    fn an_id_goes_out_as_utf_8_or_not_at_all() {
        assert_eq!(sendable("ä…").unwrap().as_bytes(), "ä…".as_bytes());
        assert_eq!(sendable(" x").unwrap().as_bytes(), b" x");
        assert!(sendable("").is_none());
        assert!(sendable("a\u{1}b").is_none());
        assert!(sendable("a\u{7f}").is_none());
        assert!(sendable(&"x".repeat(MAX_SENT_ID_BYTES)).is_some());
        assert!(sendable(&"x".repeat(MAX_SENT_ID_BYTES + 1)).is_none());
    }

    #[test]
    fn the_type_is_compared_without_parameters_and_case() {
        let ask = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            is_event_stream(&headers)
        };
        for yes in [
            "text/event-stream",
            "text/event-stream;",
            "Text/Event-Stream ; charset=windows-1252",
        ] {
            assert!(ask(yes), "{yes}");
        }
        for no in [
            "x bogus",
            "text/x-bogus",
            "text/event-stream2",
            "",
            ";text/event-stream",
        ] {
            assert!(!ask(no), "{no}");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
    }
}
