//! The table in `docs/defaults.md` and the code say the same, in both directions.
//!
//! What has a setter is read from the `Debug` of a default value or from a response. What is fixed
//! is read from the source, because nothing public shows it: each constant of the framework that is
//! a time or, by its name, a bound, a rate or a default, is a row. So are the settings of topics and of
//! the client, which the framework does not import.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::response::IntoResponse;
use bellwether::{
    Drain, Limits, OnStop, ServerEventsResponse, ServerSentEvent, StreamDefaults, Timeouts, stream,
};

/// Name to value; durations as `Debug` writes them, sizes in bytes.
type Values = BTreeMap<String, String>;

#[test]
fn every_default_stands_in_the_table_with_its_value() {
    let (table, code) = (table(), code());
    let mut wrong = Vec::new();
    for (name, value) in &code {
        match table.get(name) {
            None => wrong.push(format!("add the row `{name}` with the value {value}")),
            Some(told) if told != value => {
                wrong.push(format!("`{name}` is {value}, the table says {told}"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "docs/defaults.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_table_is_a_default() {
    let code = code();
    let table = table();
    let unknown: Vec<_> = table
        .keys()
        .filter(|name| !code.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "no such default: {unknown:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of the table.
fn table() -> Values {
    let text = fs::read_to_string(root().join("docs/defaults.md")).unwrap();
    let mut rows = Values::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, value, unit, reason] = cells[..] else {
            panic!("a row has four cells: {line}");
        };
        assert!(!reason.is_empty(), "a row gives a reason: {line}");
        let name = name.trim_matches('`').to_owned();
        let former = rows.insert(name, normal(value, unit));
        assert!(former.is_none(), "a name stands in one row: {line}");
    }
    rows
}

/// A cell with its unit in the form in which the code is read.
fn normal(value: &str, unit: &str) -> String {
    let number = || value.parse::<u64>();
    match (unit, number()) {
        ("s", Ok(n)) => format!("{:?}", Duration::from_secs(n)),
        ("ms", Ok(n)) => format!("{:?}", Duration::from_millis(n)),
        ("KiB", Ok(n)) => (n << 10).to_string(),
        ("MiB", Ok(n)) => (n << 20).to_string(),
        _ => value.to_owned(),
    }
}

/// The defaults as the code has them.
fn code() -> Values {
    let mut values = Values::new();
    add_fields(&mut values, "Limits", &Limits::default());
    add_fields(&mut values, "Timeouts", &Timeouts::default());
    add_fields(&mut values, "Drain", &Drain::default());
    add_fields(&mut values, "StreamDefaults", &StreamDefaults::default());
    add_fields(
        &mut values,
        "wire::Limits",
        &bellwether_wire::Limits::default(),
    );
    rename_what_is_set_under_another_name(&mut values);
    add_response(&mut values);
    add_constants(&mut values);
    add_topics(&mut values);
    add_client(&mut values);
    values
}

/// Adds the fields that the `Debug` of a flat struct shows.
fn add_fields(values: &mut Values, owner: &str, settings: &impl Debug) {
    let text = format!("{settings:?}");
    let fields = text.split_once(" { ").unwrap().1.trim_end_matches(" }");
    for field in fields.split(", ") {
        let (name, value) = field.split_once(": ").unwrap();
        let value = value
            .strip_prefix("Some(")
            .map_or(value, |value| value.trim_end_matches(')'));
        let value = match value {
            "None" => "none",
            "true" => "on",
            "false" => "off",
            value => value,
        };
        values.insert(format!("{owner}::{name}"), value.to_owned());
    }
}

fn rename_what_is_set_under_another_name(values: &mut Values) {
    let raises = values.remove("Limits::raises_file_limit").unwrap();
    let keeps = if raises == "on" { "off" } else { "on" };
    values.insert("Limits::keep_file_limit".into(), keeps.into());

    let details = values.remove("StreamDefaults::show_error_details").unwrap();
    values.insert("Application::show_error_details".into(), details);

    let engine = values.remove("StreamDefaults::engine").unwrap();
    let without = if engine == "on" { "off" } else { "on" };
    values.insert("StreamDefaults::no_engine".into(), without.into());

    let opens = values.remove("StreamDefaults::opens").unwrap();
    let without = if opens == "on" { "off" } else { "on" };
    values.insert("StreamDefaults::no_open_event".into(), without.into());

    // Four fifths of the open files, as a unit test of the permits checks.
    let connections = values.get_mut("Limits::max_connections").unwrap();
    assert_eq!(connections, "none", "the limit of open files decides");
    *connections = "80".into();
}

/// Adds the status and the headers of a response, and what only a response can set.
fn add_response(values: &mut Values) {
    let events = stream!(
        yield ServerSentEvent::text("hello");
    );
    let response = ServerEventsResponse::new(events).into_response();
    let status = response.status().as_u16().to_string();
    values.insert("ServerEventsResponse::status".into(), status);
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap().to_owned();
        values.insert(format!("header: {name}"), value);
    }

    let on_stop = format!("{:?}", OnStop::default());
    values.insert("ServerEventsResponse::on_stop".into(), on_stop);
    let options = literal("bellwether/src/stream/options.rs", "-> StreamOptions {");
    for (name, value) in options {
        let (name, value) = match (&*name, value) {
            // What an application sets has a row as its setter.
            (
                "keep_alive" | "interval" | "bytes" | "head_wait" | "leave_grace"
                | "show_error_details" | "engine" | "open_name",
                _,
            ) => continue,
            ("error_name", value) => (
                "error_event_name",
                value.split('"').nth(1).unwrap().to_owned(),
            ),
            ("gap_name", value) => (
                "gap_event_name",
                value.replace("GAP_EVENT_NAME", "bellwether.gap"),
            ),
            (name, value) => (name, value),
        };
        values.insert(format!("ServerEventsResponse::{name}"), value);
    }
}

fn add_topics(values: &mut Values) {
    let files = [
        ("TopicsBuilder", "config.rs", "impl Default for Config {"),
        (
            "Retention",
            "log/retention.rs",
            "pub const fn new() -> Self {",
        ),
        ("Policy", "log/policy.rs", "const fn new("),
    ];
    for (owner, file, before) in files {
        for (name, value) in literal(&format!("bellwether-topics/src/{file}"), before) {
            let name = match &*name {
                "total" => "max_subscribers",
                "per_topic" => "max_subscribers_per_topic",
                name => name,
            };
            if !name.starts_with("on_") {
                values.insert(format!("{owner}::{name}"), value);
            }
        }
    }
    for (file, name) in [
        ("event/cursor", "MAX_CURSOR_BYTES"),
        ("topic", "MAX_KEY_BYTES"),
    ] {
        let text = read(&format!("bellwether-topics/src/{file}.rs"));
        let found = text.lines().filter_map(constant);
        let (_, _, value) = found.into_iter().find(|found| found.0 == name).unwrap();
        values.insert(format!("topics: {name}"), value.to_owned());
    }
}

fn add_client(values: &mut Values) {
    let settings = literal("bellwether-client/src/builder.rs", "settings: Settings {");
    let retry = literal(
        "bellwether-client/src/backoff.rs",
        "impl Default for Retry {",
    );
    let settings = settings
        .into_iter()
        .map(|field| ("EventSourceBuilder", field));
    let retry = retry.into_iter().map(|field| ("Retry", field));
    for (owner, (name, value)) in settings.chain(retry) {
        // A setter that says the opposite.
        let (name, value) = match (&*name, &*value) {
            ("reconnects", "on") => ("once", "off"),
            ("has_jitter", "on") => ("no_jitter", "off"),
            (_, "GAP_EVENT_NAME") => (&*name, "bellwether.gap"),
            (name, value) => (name, value),
        };
        values.insert(format!("{owner}::{name}"), value.to_owned());
    }
}

/// The fields of the struct that is written out in the block which begins with `before`.
///
/// Fields that are the default of another type are left out: that type has its own rows.
fn literal(file: &str, before: &str) -> Vec<(String, String)> {
    let text = read(file);
    let start = text.find(before).unwrap_or_else(|| {
        panic!("{file} has no `{before}` any more: tell this test where its defaults are")
    });
    let mut depth = 0;
    let mut fields = Vec::new();
    for line in text[start..].lines() {
        depth += line.matches('{').count();
        depth -= line.matches('}').count();
        if depth == 0 {
            break;
        }
        let field = line.trim().strip_suffix(',').unwrap_or_default();
        if let Some((name, value)) = field.split_once(": ")
            && !value.ends_with("::default()")
            && !value.ends_with("::new()")
        {
            fields.push((name.to_owned(), evaluated(value, &Values::new())));
        }
    }
    assert!(!fields.is_empty(), "{file}: no fields after `{before}`");
    fields
}

/// Adds the constants of the sources, and the limits given to hyper as plain numbers.
fn add_constants(values: &mut Values) {
    let folder = root().join("crates/bellwether/src");
    let mut files = Vec::new();
    collect(&folder, &mut files);
    for path in files {
        let file = path.strip_prefix(&folder).unwrap();
        let file = file.to_str().unwrap().replace('\\', "/");
        let text = source(&file);
        let mut here = Values::new();
        for line in text.lines() {
            let Some((name, kind, expression)) = constant(line) else {
                continue;
            };
            // The type's public defaults have a row as their setters.
            if line.trim().starts_with("pub const") {
                continue;
            }
            if is_bound(name, kind) {
                let value = evaluated(expression, &here);
                here.insert(name.to_owned(), value.clone());
                values.insert(format!("{file}: {name}"), value);
            }
        }
    }
    let server = source("listen/mod.rs");
    for setter in [
        "max_pending_accept_reset_streams",
        "max_local_error_reset_streams",
    ] {
        let call = server.split_once(&format!(".{setter}(")).unwrap().1;
        let number = call.split_once(')').unwrap().0;
        values.insert(format!("http2: {setter}"), number.into());
    }
}

/// All Rust files below a folder, but those of tests.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// A file below `crates`.
fn read(file: &str) -> String {
    let path = root().join("crates").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of the framework without the tests at its end.
fn source(file: &str) -> String {
    let text = read(&format!("bellwether/src/{file}"));
    let end = text.find("#[cfg(test)]\nmod tests {");
    let end = end.or_else(|| text.find("#[cfg(test)]\n#[allow(clippy::unwrap_used)]\nmod tests {"));
    text[..end.unwrap_or(text.len())].to_owned()
}

/// Whether a constant is a time, a bound, a rate or a default, and no detail of an algorithm.
fn is_bound(name: &str, kind: &str) -> bool {
    kind == "Duration"
        || ["MAX_", "MIN_", "DEFAULT_", "BACKLOG"]
            .iter()
            .any(|word| name.starts_with(word))
        || ["_BYTES", "_MILLIS", "_PER_SECOND"]
            .iter()
            .any(|word| name.ends_with(word))
}

/// Name, type and expression of a line that is a whole constant.
fn constant(line: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = line.split_once("const ")?;
    let before = before.trim();
    if !(before.is_empty() || before.starts_with("pub")) {
        return None;
    }
    let (name, rest) = rest.split_once(": ")?;
    let (kind, expression) = rest.split_once(" = ")?;
    Some((name, kind, expression.strip_suffix(';')?))
}

/// The value of an expression: products and shifts of numbers and names, durations, ranges, texts.
fn evaluated(expression: &str, known: &Values) -> String {
    let inside = |function: &str| {
        let rest = expression.strip_prefix(function)?.strip_prefix('(')?;
        rest.strip_suffix(')')
    };
    if let Some(value) = inside("Some") {
        return evaluated(value, known);
    }
    if let Some(seconds) = inside("Duration::from_secs").and_then(|e| number(e, known)) {
        return format!("{:?}", Duration::from_secs(seconds));
    }
    if let Some(millis) = inside("Duration::from_millis").and_then(|e| number(e, known)) {
        return format!("{:?}", Duration::from_millis(millis));
    }
    match expression {
        "None" | "u64::MAX" => "none".into(),
        "true" => "on".into(),
        "false" => "off".into(),
        _ => match number(expression, known) {
            Some(number) => number.to_string(),
            None => expression.trim_matches('"').to_owned(),
        },
    }
}

fn number(expression: &str, known: &Values) -> Option<u64> {
    if let Some((number, bits)) = expression.split_once(" << ") {
        return Some(number.parse::<u64>().ok()? << bits.parse::<u32>().ok()?);
    }
    let factors = expression.split(" * ").map(|factor| {
        let factor = known.get(factor).map_or(factor, String::as_str);
        factor.replace('_', "").parse::<u64>().ok()
    });
    factors.product()
}
