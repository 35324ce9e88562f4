//! Writes an error page as HTML, JSON or plain text: pure, and everything is escaped.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::json;

use super::accept::Format;
use crate::http_error::reason;

/// The page loads nothing, runs nothing, sends nothing and cannot be framed; its style is inline.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("style.css");

/// What an error page says.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) status: StatusCode,
    /// What everybody may read.
    pub(super) message: &'a str,
    /// Internals; `None` unless they are to be shown.
    pub(super) details: Option<Details<'a>>,
}

/// What only a developer may read.
#[derive(Debug)]
pub(super) struct Details<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) route: Option<&'a str>,
    /// The error and its sources, outermost first.
    pub(super) chain: Vec<String>,
}

impl Page<'_> {
    pub(super) fn rendered(&self, format: Format) -> String {
        match format {
            Format::Html => self.html(),
            Format::Json => self.json(),
            Format::Text => self.text(),
        }
    }

    fn json(&self) -> String {
        let mut page = json!({ "status": self.status.as_u16(), "message": self.message });
        if let Some(details) = &self.details {
            page["method"] = details.method.into();
            page["path"] = details.path.into();
            page["route"] = details.route.into();
            page["details"] = details.chain.clone().into();
        }
        page.to_string()
    }

    fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.status.as_u16(), reason(self.status));
        if self.message != reason(self.status) {
            text.push_str(self.message);
            text.push('\n');
        }
        if let Some(details) = &self.details {
            let route = details.route.unwrap_or("none");
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\n{} {} (route: {route})",
                details.method, details.path
            );
            for line in &details.chain {
                let _ = writeln!(text, "- {line}");
            }
        }
        text
    }

    fn html(&self) -> String {
        let status = self.status.as_u16();
        let reason = escaped(reason(self.status));
        let message = escaped(self.message);
        let details = self.details.as_ref().map(Details::html).unwrap_or_default();
        let message = if message == reason {
            String::new()
        } else {
            format!("<p>{message}</p>\n")
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{status} {reason}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1><span>{status}</span> {reason}</h1>\n{message}{details}</main>\n</body>\n</html>\n"
        )
    }
}

impl Details<'_> {
    fn html(&self) -> String {
        let method = escaped(self.method);
        let path = escaped(self.path);
        let route = match self.route {
            Some(route) => format!("<code>{}</code>", escaped(route)),
            None => "none matched".to_owned(),
        };
        let mut html = String::from("<section>\n");
        if let Some((first, sources)) = self.chain.split_first() {
            let _ = writeln!(html, "<pre>{}</pre>", escaped(first));
            if !sources.is_empty() {
                html.push_str("<h2>Caused by</h2>\n<ol>\n");
                for source in sources {
                    let _ = writeln!(html, "<li><pre>{}</pre></li>", escaped(source));
                }
                html.push_str("</ol>\n");
            }
        }
        let _ = write!(
            html,
            "<dl>\n<dt>Request</dt><dd><code>{method} {path}</code></dd>\n\
             <dt>Route</dt><dd>{route}</dd>\n</dl>\n\
             <footer>You see this because <code>show_error_details</code> is on.</footer>\n\
             </section>\n"
        );
        html
    }
}

/// The text with the five characters that mean something in HTML replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</pre><script>alert('x')</script>\"&";

    #[test]
    fn everything_on_the_html_page_is_escaped() {
        let page = Page {
            status: StatusCode::NOT_FOUND,
            message: HOSTILE,
            details: Some(Details {
                method: HOSTILE,
                path: HOSTILE,
                route: Some(HOSTILE),
                chain: vec![HOSTILE.to_owned(), HOSTILE.to_owned()],
            }),
        };
        let html = page.rendered(Format::Html);
        assert!(!html.contains("<script"), "{html}");
        let escaped = "&lt;/pre&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;";
        assert_eq!(html.matches(escaped).count(), 6, "{html}");
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let mut page = Page {
            status: StatusCode::GONE,
            message: "no such room",
            details: None,
        };
        assert_eq!(
            page.rendered(Format::Json),
            r#"{"message":"no such room","status":410}"#
        );
        assert_eq!(page.rendered(Format::Text), "410 Gone\nno such room\n");
        let html = page.rendered(Format::Html);
        assert!(html.contains("<title>410 Gone</title>"), "{html}");
        assert!(html.contains("<p>no such room</p>"), "{html}");
        page.message = "Gone";
        assert_eq!(page.rendered(Format::Text), "410 Gone\n");
        assert!(!page.rendered(Format::Html).contains("<p>"));
    }

    #[test]
    fn details_come_in_each_format() {
        let page = Page {
            status: StatusCode::BAD_GATEWAY,
            message: "Bad Gateway",
            details: Some(Details {
                method: "GET",
                path: "/rooms/7",
                route: Some("/rooms/{id}"),
                chain: vec!["connect".to_owned(), "refused".to_owned()],
            }),
        };
        assert_eq!(
            page.rendered(Format::Text),
            "502 Bad Gateway\n\nGET /rooms/7 (route: /rooms/{id})\n- connect\n- refused\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&page.rendered(Format::Json)).unwrap_or_default();
        assert_eq!(json["details"], json!(["connect", "refused"]));
        assert_eq!(json["route"], "/rooms/{id}");
        let html = page.rendered(Format::Html);
        for part in ["connect", "refused", "GET /rooms/7", "/rooms/{id}"] {
            assert!(html.contains(part), "{part}");
        }
    }
}
