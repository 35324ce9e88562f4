//! What a reader of a report must know of the machine.

use std::process::{Command, Stdio};

/// One line: cores, processor, kernel, compiler, date.
pub(crate) fn describe() -> String {
    let processors = read("/proc/cpuinfo");
    // The standard library counts only the cores that this process is pinned to.
    let cores = processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let processor = processors
        .lines()
        .find_map(|line| {
            Some(
                line.strip_prefix("model name")?
                    .split_once(": ")?
                    .1
                    .to_owned(),
            )
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let compiler = ask("rustc", &["--version"]);
    let date = ask("date", &["-u", "+%Y-%m-%d"]);
    format!(
        "{cores} cores ({processor}), Linux {}, {compiler}, {date}",
        kernel.trim()
    )
}

/// The load average over the last minute, before the benches add to it: the other work of the machine.
pub(crate) fn load() -> String {
    let loads = read("/proc/loadavg");
    loads.split(' ').next().unwrap_or("unknown").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn ask(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
