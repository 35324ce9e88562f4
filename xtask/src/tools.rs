//! The programs that tests need beside cargo: finding them, and installing them on Debian.

use std::path::PathBuf;

use serde_json::Value;

use crate::run::Step;
use crate::workspace;

/// A program that tests start.
struct Tool {
    /// Names under which it may be found, the first being the usual one.
    programs: &'static [&'static str],
    /// Debian's package of it.
    package: &'static str,
    /// The tests that need the program.
    purpose: &'static str,
}

const TOOLS: [Tool; 5] = [
    Tool {
        programs: &["node"],
        package: "nodejs",
        purpose: "browser tests",
    },
    Tool {
        programs: &["npm"],
        package: "npm",
        purpose: "browser tests",
    },
    Tool {
        programs: &["chromium", "chromium-browser", "google-chrome"],
        package: "chromium",
        purpose: "browser tests",
    },
    Tool {
        programs: &["redis-server"],
        package: "redis-server",
        purpose: "tests of the Redis broker",
    },
    Tool {
        programs: &["nats-server"],
        package: "nats-server",
        purpose: "tests of the NATS broker",
    },
];

impl Tool {
    fn find(&self) -> Option<PathBuf> {
        self.programs.iter().find_map(|program| find(program))
    }
}

/// Makes every tool available, or prints what is missing and how to get it. Returns whether all are available.
pub(crate) fn prepare() -> bool {
    println!("== tools");
    let mut missing = missing();
    if !missing.is_empty() && can_install() {
        install(&missing);
        missing = self::missing();
    }
    for tool in &missing {
        println!("missing: {} ({})", tool.programs[0], tool.purpose);
    }
    if !missing.is_empty() {
        println!(
            "on Debian, install with: sudo apt-get install -y {}",
            packages(&missing).join(" ")
        );
        return false;
    }
    for tool in &TOOLS {
        let path = tool.find().unwrap_or_default();
        println!("{}: {}", tool.programs[0], path.display());
    }
    if find("nginx").is_none() {
        println!("nginx: not found; only benches behind a proxy need it");
    }
    prepare_browser_driver()
}

/// The browser to drive: the one of the variable, or the first that is found.
pub(crate) fn chromium() -> Option<String> {
    std::env::var("CHROMIUM")
        .ok()
        .or_else(|| Some(TOOLS[2].find()?.to_string_lossy().into_owned()))
}

/// Whether cargo has this subcommand.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    Step::cargo(name, &[name, "--version"]).ask().is_some()
}

fn missing() -> Vec<&'static Tool> {
    let is_set = |tool: &Tool| tool.package == "chromium" && std::env::var_os("CHROMIUM").is_some();
    TOOLS
        .iter()
        .filter(|tool| tool.find().is_none() && !is_set(tool))
        .collect()
}

fn packages(tools: &[&Tool]) -> Vec<&'static str> {
    tools.iter().map(|tool| tool.package).collect()
}

/// The file of a program on the path.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether this process is root on a Debian, and so can install packages.
fn can_install() -> bool {
    let is_root = Step::new("user", "id", &["-u"])
        .ask()
        .is_some_and(|id| id.trim() == "0");
    is_root && find("apt-get").is_some() && std::path::Path::new("/etc/debian_version").exists()
}

/// Installs Debian packages. The search that follows shows what failed.
fn install(tools: &[&Tool]) {
    Step::new("package lists", "apt-get", &["update"]).run();
    let packages = packages(tools)
        .iter()
        .map(|&package| package.to_owned())
        .collect::<Vec<_>>();
    Step::new(
        "install",
        "apt-get",
        &["install", "-y", "--no-install-recommends"],
    )
    .args(&packages)
    .env("DEBIAN_FRONTEND", "noninteractive")
    // Keeps the packages of Redis and NATS from starting their servers: tests start their own.
    .env("RUNLEVEL", "1")
    .run();
}

/// Installs playwright-core as the lockfile has it, unless it is installed. Returns whether it is installed in the end.
fn prepare_browser_driver() -> bool {
    let folder = workspace::root().join("tests/browser");
    let version = |file: &str, pointer: &str| {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        value.pointer(pointer)?.as_str().map(str::to_owned)
    };
    let wanted = version(
        "package-lock.json",
        "/packages/node_modules~1playwright-core/version",
    );
    let installed = || version("node_modules/playwright-core/package.json", "/version");
    if installed() != wanted {
        let npm = ["ci", "--no-audit", "--no-fund"];
        Step::new("browser driver", "npm", &npm)
            .folder(&folder)
            .run();
    }
    let is_ready = wanted.is_some() && installed() == wanted;
    match wanted {
        Some(version) if is_ready => println!("playwright-core: {version}"),
        _ => println!("missing: playwright-core; install with: npm ci, in tests/browser"),
    }
    is_ready
}
