//! What a served directory gives away, and what it does not.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use http_body_util::BodyExt;

use super::*;

const CANARY: &str = "canary: this file is outside of the root";

/// A directory with a site in `site/` and a canary beside it, removed at the end.
struct Sandbox(PathBuf);

impl Sandbox {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "bellwether-files-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let sandbox = Self(std::env::temp_dir().join(name));
        for directory in ["site/sub", "site/empty", "site/.git", "outside"] {
            fs::create_dir_all(sandbox.0.join(directory)).unwrap();
        }
        for (path, text) in [
            ("site/index.html", "<p>home"),
            ("site/sub/index.html", "<p>sub"),
            ("site/app.js", "let a = 1;"),
            ("site/a b.txt", "0123456789"),
            ("site/blob.unknown", "<script>alert(1)</script>"),
            ("site/no-extension", "?"),
            ("site/.env", CANARY),
            ("site/.git/config", CANARY),
            ("outside/secret.txt", CANARY),
            ("secret.txt", CANARY),
        ] {
            fs::write(sandbox.0.join(path), text).unwrap();
        }
        sandbox
    }

    fn files(&self) -> Files {
        serve_files(&self.0.join("site")).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn send(files: &Files, request: Request<Body>) -> (http::response::Parts, String) {
    let (parts, body) = files.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8_lossy(&body).into_owned())
}

async fn get(files: &Files, path: &str) -> (http::response::Parts, String) {
    send(files, Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_file_comes_with_its_type_its_validators_and_safe_headers() {
    let sandbox = Sandbox::new();
    let (head, body) = get(&sandbox.files(), "/app.js?v=1").await;
    assert_eq!((head.status, body.as_str()), (StatusCode::OK, "let a = 1;"));
    assert_eq!(
        head.headers["content-type"],
        "text/javascript; charset=utf-8"
    );
    assert_eq!(head.headers["x-content-type-options"], "nosniff");
    assert_eq!(head.headers["cache-control"], "no-cache");
    assert!(head.headers.contains_key("etag"));
    assert!(head.headers.contains_key("last-modified"));
    assert!(!head.headers.contains_key("content-disposition"));
}

#[tokio::test]
async fn a_directory_answers_with_its_index_and_is_never_listed() {
    let sandbox = Sandbox::new();
    let files = sandbox.files();
    assert_eq!(get(&files, "/").await.1, "<p>home");
    assert_eq!(get(&files, "/sub/").await.1, "<p>sub");
    let (head, _) = get(&files, "/sub?a=b").await;
    assert_eq!(head.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(head.headers["location"], "/sub/?a=b");
    assert_eq!(get(&files, "/empty/").await.0.status, StatusCode::NOT_FOUND);
    assert_eq!(
        get(&files, "/app.js/").await.0.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_redirect_never_names_another_host() {
    let sandbox = Sandbox::new();
    let (head, _) = get(&sandbox.files(), "http://evil.example/sub").await;
    assert_eq!(head.headers["location"], "/sub/");
    assert_eq!(
        get(&sandbox.files(), "//sub").await.0.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_unchanged_file_is_a_304() {
    let sandbox = Sandbox::new();
    let files = sandbox.files();
    let etag = get(&files, "/app.js").await.0.headers["etag"].clone();
    let request = Request::get("/app.js")
        .header("if-none-match", etag)
        .body(Body::empty());
    let (head, body) = send(&files, request.unwrap()).await;
    assert_eq!((head.status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(head.headers["cache-control"], "no-cache");
}

#[tokio::test]
async fn ranges_are_served_unless_the_file_may_have_changed() {
    let sandbox = Sandbox::new();
    let files = sandbox.files();
    let ranged = |value: &str| Request::get("/a%20b.txt").header("range", value);

    let (head, body) = send(&files, ranged("bytes=2-4").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (head.status, body.as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    assert_eq!(head.headers["content-range"], "bytes 2-4/10");

    let request = ranged("bytes=2-4")
        .header("if-range", "\"old\"")
        .body(Body::empty());
    let (head, body) = send(&files, request.unwrap()).await;
    assert_eq!((head.status, body.as_str()), (StatusCode::OK, "0123456789"));

    let (head, _) = send(&files, ranged("bytes=0-1,3-4").body(Body::empty()).unwrap()).await;
    assert_eq!(head.status, StatusCode::OK);
    let (head, body) = send(&files, ranged("bytes=99-").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (head.status, body.as_str()),
        (StatusCode::RANGE_NOT_SATISFIABLE, "")
    );
}

#[tokio::test]
async fn a_file_of_unknown_type_is_a_download() {
    let sandbox = Sandbox::new();
    for path in ["/blob.unknown", "/no-extension"] {
        let (head, _) = get(&sandbox.files(), path).await;
        assert_eq!(
            head.headers["content-type"], "application/octet-stream",
            "{path}"
        );
        assert_eq!(head.headers["content-disposition"], "attachment", "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_405_where_a_file_is_and_404_where_none_is() {
    let sandbox = Sandbox::new();
    let files = sandbox.files();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let request = |path| {
            Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
        };
        let (head, _) = send(&files, request("/app.js").unwrap()).await;
        assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(head.headers["allow"], "GET, HEAD", "{method}");
        for path in ["/nothing", "/.env", "/../secret.txt"] {
            let (head, _) = send(&files, request(path).unwrap()).await;
            assert_eq!(head.status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
    let (head, body) = send(
        &files,
        Request::head("/app.js").body(Body::empty()).unwrap(),
    )
    .await;
    assert_eq!((head.status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.headers["content-length"], "10");
}

#[cfg(unix)]
#[tokio::test]
async fn symlinks_are_followed_inside_the_root_only() {
    use std::os::unix::fs::symlink;
    let sandbox = Sandbox::new();
    let site = sandbox.0.join("site");
    symlink("app.js", site.join("inside.js")).unwrap();
    symlink("../outside", site.join("directory")).unwrap();
    symlink("../secret.txt", site.join("relative.txt")).unwrap();
    symlink(sandbox.0.join("secret.txt"), site.join("absolute.txt")).unwrap();
    symlink(".env", site.join("dotfile.txt")).unwrap();
    symlink("loop.txt", site.join("loop.txt")).unwrap();
    symlink("/dev/zero", site.join("device.txt")).unwrap();
    // A sibling whose name starts with the root's is not inside it.
    fs::create_dir(sandbox.0.join("site2")).unwrap();
    fs::write(sandbox.0.join("site2/secret.txt"), CANARY).unwrap();
    symlink("../site2/secret.txt", site.join("sibling.txt")).unwrap();

    let files = sandbox.files();
    assert_eq!(get(&files, "/inside.js").await.1, "let a = 1;");
    for path in [
        "/directory/secret.txt",
        "/directory/",
        "/directory",
        "/relative.txt",
        "/absolute.txt",
        "/dotfile.txt",
        "/loop.txt",
        "/device.txt",
        "/sibling.txt",
    ] {
        let (head, body) = get(&files, path).await;
        assert_eq!(
            (head.status, body.as_str()),
            (StatusCode::NOT_FOUND, ""),
            "{path}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_neither_file_nor_directory_is_not_there() {
    let sandbox = Sandbox::new();
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.0.join("site/socket")).unwrap();
    for method in ["GET", "HEAD", "POST"] {
        let request = Request::builder()
            .method(method)
            .uri("/socket")
            .body(Body::empty());
        let (head, _) = send(&sandbox.files(), request.unwrap()).await;
        assert_eq!(head.status, StatusCode::NOT_FOUND, "{method}");
    }
}

/// 10,000 paths put together from what traversal attacks are made of; none may reach a canary.
#[tokio::test]
async fn no_hostile_path_reads_outside_of_the_root() {
    const PARTS: &[&str] = &[
        "..",
        ".",
        "/",
        "//",
        "\\",
        "%2e",
        "%2E%2e",
        "%2f",
        "%5c",
        "%252e",
        "%252f",
        "%00",
        "%c0%ae",
        "%c0%af",
        "%e2%80%ae",
        ":",
        "c:",
        "%3a",
        "~",
        "...",
        "....//",
        "..;",
        "..%00",
        "%",
        "%2",
        "site",
        "sub",
        "secret.txt",
        "outside",
        ".env",
        ".git",
        "config",
        "app.js",
        "etc",
        "passwd",
        "con",
        "nul.txt",
        "?x",
        "%20",
        ";",
        "proc",
        "self",
        "root",
    ];
    let sandbox = Sandbox::new();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../outside", sandbox.0.join("site/root")).unwrap();
    let files = sandbox.files();
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let (mut sent, mut served) = (0, 0);
    while sent < 10_000 {
        let separator = ["", "/", "/"][random.usize(..3)];
        let parts: Vec<_> = (0..random.usize(1..9))
            .map(|_| PARTS[random.usize(..PARTS.len())])
            .collect();
        let path = format!("/{}", parts.join(separator));
        let Ok(request) = Request::get(&path).body(Body::empty()) else {
            continue;
        };
        sent += 1;
        let (head, body) = send(&files, request).await;
        assert!(!body.contains("canary"), "{path}");
        let status = head.status.as_u16();
        assert!([200, 307, 404].contains(&status), "{path}: {status}");
        served += u32::from(status == 200);
    }
    // Some must get through, or the test would also pass for a server that refuses everything.
    assert!(
        served > 50,
        "{served} of {sent} paths named a file of the site"
    );
}

#[test]
fn a_missing_directory_is_named_as_given_and_as_absolute() {
    let error = serve_files(Path::new("no-such-directory")).unwrap_err();
    let absolute = std::env::current_dir().unwrap().join("no-such-directory");
    let message = error.to_string();
    assert!(message.contains("\"no-such-directory\""), "{message}");
    assert!(message.contains(absolute.to_str().unwrap()), "{message}");
    assert!(error.source().is_some());

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(
        serve_files(&file)
            .unwrap_err()
            .to_string()
            .contains("Cargo.toml")
    );
}
