//! [`Proxy`]: a proxy as a child of this program, on ports of its own, in a folder of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::kinds::{Http2, Kind, Places};
use super::reader::Door;
use crate::table::root;

/// A folder that is removed with the value.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// An empty folder that every user may enter: some proxies give up the rights they are started with.
    pub(super) fn new(name: &str) -> std::io::Result<Self> {
        let path =
            std::env::temp_dir().join(format!("bellwether-world-{}-{name}", std::process::id()));
        // One of an earlier process of the same id.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is left to the system, which clears its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running proxy; dropping it ends it.
#[derive(Debug)]
pub(super) struct Proxy {
    child: Child,
    places: Places,
    http2: Http2,
    folder: Folder,
}

impl Proxy {
    /// Starts a proxy with this configuration and these further arguments, and waits until it listens.
    pub(super) async fn start(
        kind: Kind,
        name: &str,
        text: &str,
        arguments: &[&str],
        upstream: u16,
        certificate: &Path,
    ) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{}: {error}", kind.name);
        let folder = Folder::new(name).map_err(told)?;
        let places = Places {
            home: folder.0.display().to_string(),
            certificate: certificate.display().to_string(),
            upstream,
            plain: free_port().await.map_err(told)?,
            tls: free_port().await.map_err(told)?,
        };
        let text = kind.adapted(text, &places)?;
        write_files(kind, &folder.0, &text, &places)?;
        let log = std::fs::File::create(folder.0.join("output")).map_err(told)?;
        let mut command = Command::new(kind.command[0]);
        command
            .args(kind.command[1..].iter().map(|word| places.filled(word)))
            .args(arguments)
            // Caddy keeps files in the home of its user.
            .env("HOME", &folder.0)
            .env("XDG_DATA_HOME", &folder.0)
            .env("XDG_CONFIG_HOME", &folder.0)
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(told)?)
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            format!(
                "{} cannot be run ({error}): install the package {}",
                kind.command[0], kind.package
            )
        })?;
        let is_up = wait_for(&mut child, places.plain).await;
        let proxy = Self {
            child,
            places,
            http2: kind.http2,
            folder,
        };
        match is_up {
            true => Ok(proxy),
            false => Err(format!("{name} did not start:\n{}", proxy.log())),
        }
    }

    /// How HTTP/1.1 is spoken to it.
    pub(super) fn http1(&self) -> Door {
        Door {
            url: format!("http://localhost:{}", self.places.plain),
            options: &["-4", "--http1.1"],
        }
    }

    /// How HTTP/2 is spoken to it.
    pub(super) fn http2(&self) -> Option<Door> {
        match self.http2 {
            Http2::None => None,
            Http2::Tls => Some(Door {
                url: format!("https://localhost:{}", self.places.tls),
                options: &["-4", "--http2"],
            }),
            Http2::Plain => Some(Door {
                url: format!("http://localhost:{}", self.places.plain),
                options: &["-4", "--http2-prior-knowledge"],
            }),
        }
    }

    fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.0.join(name)).unwrap_or_default();
        read("output") + &read("log")
    }

    /// Ends it (SIGTERM, by its id), and waits until it has ended, with its own children.
    pub(super) async fn stop(mut self) {
        let Some(pid) = self.child.id() else { return };
        // `kill` is built into every shell.
        let asked = Command::new("sh")
            .arg("-c")
            .arg(format!("kill {pid}"))
            .status();
        let _ = asked.await;
        if tokio::time::timeout(Duration::from_secs(5), self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}

/// The configuration with the text around it.
fn write_files(kind: Kind, home: &Path, text: &str, places: &Places) -> Result<(), String> {
    let write = |name: &str, text: &str| {
        std::fs::write(home.join(name), text).map_err(|error| format!("{name}: {error}"))
    };
    let frame = match kind.frame {
        "" => String::new(),
        file => {
            let path = root().join("world/proxies/frame").join(file);
            let text = std::fs::read_to_string(&path);
            places.filled(&text.map_err(|error| format!("{}: {error}", path.display()))?)
        }
    };
    match frame.contains("part.conf") {
        true => write("part.conf", text).and_then(|()| write(kind.file, &frame)),
        false => write(kind.file, &(frame + text)),
    }
}

async fn free_port() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.port())
}

/// Waits until the port takes connections; `false` if the program ended before, or took too long.
async fn wait_for(child: &mut Child, port: u16) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
