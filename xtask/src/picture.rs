//! `cargo xtask picture`: a picture of `bellwether listen`, taken from a real terminal.
//!
//! It starts a server and, in a terminal of tmux, the command; publishes, stops the server, starts it again, and writes
//! what the terminal shows then, as text and as SVG, to `docs/pictures/`. Nothing in it is drawn by hand.

mod ansi;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::run::Step;
use crate::workspace;

/// Where the server listens, so that the picture shows the usual port.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 8000);

const COLUMNS: usize = 100;
const ROWS: usize = 16;

/// The command that is typed after the prompt.
const TYPED: &str = "bellwether listen ':8000/events?topic=prices' --timestamp";

const MAX_WAIT: Duration = Duration::from_secs(20);

pub(crate) fn command() -> ExitCode {
    match take() {
        Ok(folder) => {
            println!("written: {}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("no picture: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take() -> Result<PathBuf, String> {
    let address = SocketAddr::from(ADDRESS);
    TcpListener::bind(address).map_err(|error| format!("{address} is needed: {error}"))?;
    let built = Step::cargo("build", &["build", "--package", "bellwether-cli"]).run();
    if !built.is_success {
        return Err("the command does not build".to_owned());
    }
    let binary = binary()?;
    let shown = story(&binary)?;
    let folder = workspace::root().join("docs/pictures");
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join(name), text))
            .map_err(|error| format!("cannot write {name}: {error}"))
    };
    let lines = ansi::lines(&shown);
    write("listen.txt", &ansi::text(&lines))?;
    write("listen.svg", &ansi::svg(&lines, COLUMNS))?;
    Ok(folder)
}

/// The command as cargo has built it.
fn binary() -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace::root().join("target"));
    let binary = target.join("debug/bellwether");
    match binary.is_file() {
        true => Ok(binary),
        false => Err(format!("{} does not exist", binary.display())),
    }
}

/// Plays the scene, and returns the terminal's text with its colours.
fn story(binary: &Path) -> Result<String, String> {
    let server = Server::start(binary)?;
    let terminal = Terminal::open(binary)?;
    terminal.wait_for("connected to")?;
    publish("&event=price", r#"{"stock":"BWTH","price":41.20}"#)?;
    publish("", "a message\nof two lines")?;
    terminal.wait_for("of two lines")?;
    server.stop()?;
    terminal.wait_for("cannot reach the server")?;
    let server = Server::start(binary)?;
    terminal.wait_for("connected again")?;
    publish("&event=price", r#"{"stock":"BWTH","price":41.90}"#)?;
    terminal.wait_for("41.90")?;
    let shown = terminal.show()?;
    server.stop()?;
    Ok(shown)
}

/// `bellwether serve` at the address.
struct Server(Child);

impl Server {
    fn start(binary: &Path) -> Result<Self, String> {
        let address = SocketAddr::from(ADDRESS);
        let child = Command::new(binary)
            .args(["serve", "--bind", &address.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("the server does not start: {error}"))?;
        until("the server", || TcpStream::connect(address).is_ok())?;
        Ok(Self(child))
    }

    fn stop(mut self) -> Result<(), String> {
        let pid = self.0.id().to_string();
        run(Command::new("kill").arg(&pid))?;
        let ended = self.0.wait();
        ended.map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a stop the process has already ended.
        let _ = self.0.kill();
    }
}

/// A terminal of a tmux server of its own.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn open(binary: &Path) -> Result<Self, String> {
        let terminal = Self {
            socket: format!("bellwether-picture-{}", std::process::id()),
        };
        let folder = binary.parent().unwrap_or(binary).display().to_string();
        let size = [COLUMNS, ROWS].map(|number| number.to_string());
        let shell = format!("PATH=\"{folder}:$PATH\" PS1='$ ' sh");
        let [columns, rows] = &size;
        let new = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            columns,
            "-y",
            rows,
            &shell,
        ];
        terminal.tmux(&new)?;
        terminal.wait_for("$")?;
        terminal.tmux(&["send-keys", TYPED, "Enter"])?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String, String> {
        run(Command::new("tmux")
            .args(["-L", &self.socket])
            .args(arguments))
    }

    /// The screen, with escape sequences.
    fn show(&self) -> Result<String, String> {
        self.tmux(&["capture-pane", "-e", "-p"])
    }

    fn wait_for(&self, text: &str) -> Result<(), String> {
        until(text, || self.show().is_ok_and(|shown| shown.contains(text)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

fn publish(query: &str, body: &str) -> Result<(), String> {
    let mut request = String::new();
    let _ = write!(
        request,
        "POST /publish?topic=prices{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = || {
        let mut stream = TcpStream::connect(SocketAddr::from(ADDRESS))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    match answer() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
        Ok(answer) => Err(format!("the server did not publish: {answer}")),
        Err(error) => Err(format!("cannot publish: {error}")),
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {name}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) -> Result<(), String> {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > MAX_WAIT {
            return Err(format!("waited {MAX_WAIT:?} for {what:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
