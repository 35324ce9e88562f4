//! Loads `vectors/connection.json`, whose format `vectors/README.md` describes, and plays it.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_testkit::{Answer, ScriptedServer};
use serde::Deserialize;
use serde_json::Value;

use crate::wire_vectors::{DecodeVector, decode_vectors};

/// What a server does, and what an event source is to make of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    here: Vec<Reply>,
    there: Vec<Reply>,
    pub(crate) expected: Outcome,
    /// What it is in Chromium, where a difference is known.
    pub(crate) chromium: Option<Outcome>,
}

/// What came of it, the same for client and browser.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    pub(crate) requests: Vec<(String, Option<String>)>,
    pub(crate) there_requests: Vec<(String, Option<String>)>,
    pub(crate) opens: usize,
    pub(crate) errors: usize,
    pub(crate) end: End,
}

/// Name, data, last event id, origin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event(
    pub(crate) String,
    pub(crate) String,
    pub(crate) String,
    pub(crate) String,
);

/// The state of an event source when there is no more to come.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    Connecting,
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    clause: String,
    answers: Vec<Reply>,
    #[serde(default)]
    there: Vec<Reply>,
    events: Vec<Vec<Part>>,
    requests: Vec<(String, Option<String>)>,
    #[serde(default)]
    there_requests: Vec<(String, Option<String>)>,
    opens: usize,
    errors: usize,
    end: End,
    chromium: Option<Difference>,
}

/// What is otherwise in Chromium, and where that is known from.
#[derive(Clone, Debug, Deserialize)]
struct Difference {
    because: String,
    source: String,
    events: Option<Vec<Vec<Part>>>,
    requests: Option<Vec<(String, Option<String>)>>,
    opens: Option<usize>,
    errors: Option<usize>,
    end: Option<End>,
}

#[derive(Debug, Deserialize)]
struct VectorDifference {
    vector: String,
    #[serde(flatten)]
    difference: Difference,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    #[serde(default = "ok")]
    status: u16,
    #[serde(rename = "type")]
    content_type: Option<String>,
    location: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Vec<Part>,
    pieces: Option<usize>,
    #[serde(default)]
    framing: Framing,
    length: Option<usize>,
    #[serde(default)]
    end: AnswerEnd,
    #[serde(default)]
    refused: bool,
}

fn ok() -> u16 {
    200
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Framing {
    #[default]
    Chunked,
    Length,
    Close,
    Raw,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnswerEnd {
    #[default]
    Finish,
    Cut,
    Reset,
    Hold,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Hex { hex: String },
    Repeat { repeat: String, times: usize },
    Pause { pause_ms: u64 },
    Bytes(Vec<u8>),
}

/// All cases of the file, those with `each` once for each value.
pub(crate) fn connection_cases() -> Vec<Case> {
    let file = include_str!("../../vectors/connection.json");
    let cases: Vec<Value> = serde_json::from_str(file).unwrap();
    cases
        .into_iter()
        .flat_map(expand)
        .map(|case| Case::new(&case))
        .collect()
}

/// The wire crate's vectors as cases, each connection cut into pieces of this size. Not those about limits, which
/// browsers do not have.
pub(crate) fn vector_cases(size: usize) -> Vec<Case> {
    let differences: Vec<VectorDifference> =
        serde_json::from_str(include_str!("../../vectors/chromium.json")).unwrap();
    let vectors = decode_vectors();
    for difference in &differences {
        let is_known = vectors
            .iter()
            .any(|vector| vector.name == difference.vector);
        assert!(is_known, "no vector {}", difference.vector);
    }
    let without_limits = vectors.iter().filter(|vector| vector.limits.is_none());
    without_limits
        .map(|vector| of_vector(vector, size, &differences))
        .collect()
}

fn of_vector(vector: &DecodeVector, size: usize, differences: &[VectorDifference]) -> Case {
    let connections = vector.connections();
    let reply = |bytes: &Vec<u8>| Reply {
        status: 200,
        content_type: None,
        location: None,
        headers: Vec::new(),
        body: vec![Part::Bytes(bytes.clone())],
        pieces: Some(size),
        framing: Framing::Chunked,
        length: None,
        end: AnswerEnd::Finish,
        refused: false,
    };
    let events = vector.events.iter().map(|event| {
        Event(
            event.event.clone(),
            event.data.clone(),
            event.last_event_id.clone(),
            "here".to_owned(),
        )
    });
    // Who is told to wait for days is not waited for.
    let is_slow = vector.retry_ms.is_some_and(|retry| retry > 3000);
    let count = connections.len();
    let expected = Outcome {
        events: events.collect(),
        // Client and browser are compared in these.
        requests: Vec::new(),
        there_requests: Vec::new(),
        opens: count,
        errors: if is_slow { count } else { count + 1 },
        end: if is_slow {
            End::Connecting
        } else {
            End::Closed
        },
    };
    let difference = differences.iter().find(|one| one.vector == vector.name);
    Case {
        name: format!("{} ({}), in pieces of {size}", vector.name, vector.clause),
        here: connections.iter().map(reply).collect(),
        there: Vec::new(),
        chromium: difference.map(|one| one.difference.clone().apply(&expected)),
        expected,
    }
}

fn expand(case: Value) -> Vec<Value> {
    let Value::Object(mut case) = case else {
        panic!("a case is an object, found {case}");
    };
    let Some(Value::Array(values)) = case.remove("each") else {
        return vec![Value::Object(case)];
    };
    let one = |value| {
        let mut case = case.clone();
        for field in case.values_mut() {
            replace(field, &value);
        }
        let name = format!("{} ({value})", case["name"].as_str().unwrap());
        case["name"] = name.into();
        Value::Object(case)
    };
    values.into_iter().map(one).collect()
}

fn replace(place: &mut Value, value: &Value) {
    match place {
        Value::String(text) if text == "$each" => *place = value.clone(),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, value)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, value)),
        _ => {}
    }
}

impl Case {
    fn new(case: &Value) -> Self {
        let raw: Raw =
            serde_json::from_value(case.clone()).unwrap_or_else(|error| panic!("{case}: {error}"));
        let expected = Outcome {
            events: events(&raw.events),
            requests: raw.requests,
            there_requests: raw.there_requests,
            opens: raw.opens,
            errors: raw.errors,
            end: raw.end,
        };
        let chromium = raw.chromium.map(|difference| difference.apply(&expected));
        Self {
            name: format!("{}: {}", raw.name, raw.clause),
            here: raw.answers,
            there: raw.there,
            expected,
            chromium,
        }
    }

    /// Gives the servers their scripts. `here` and `there` are where they are, host and port.
    pub(crate) fn play(&self, servers: [&ScriptedServer; 2], here: &str, there: &str) {
        for (server, replies) in servers.into_iter().zip([&self.here, &self.there]) {
            server.push(replies.iter().map(|reply| reply.answer(here, there)));
        }
    }

    /// Every name that the streams mention: a browser dispatches only what it was asked to listen for.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::from(["message".to_owned()]);
        names.extend(self.expected.events.iter().map(|event| event.0.clone()));
        for reply in self.here.iter().chain(&self.there) {
            let bytes: Vec<u8> = reply.body.iter().flat_map(Part::bytes).collect();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for line in text.split(['\r', '\n']) {
                if let Some(value) = line.strip_prefix("event:") {
                    names.insert(value.to_owned());
                    names.insert(value.trim().to_owned());
                }
            }
        }
        names
    }
}

impl Difference {
    /// What is expected of the browser, where the same is expected of the client.
    fn apply(self, expected: &Outcome) -> Outcome {
        assert!(!self.because.is_empty() && !self.source.is_empty());
        let same = expected.clone();
        Outcome {
            events: self.events.map_or(same.events, |list| events(&list)),
            requests: self.requests.unwrap_or(same.requests),
            there_requests: same.there_requests,
            opens: self.opens.unwrap_or(same.opens),
            errors: self.errors.unwrap_or(same.errors),
            end: self.end.unwrap_or(same.end),
        }
    }
}

/// Name, data, id and, if it is another one, the origin.
fn events(list: &[Vec<Part>]) -> Vec<Event> {
    let event = |parts: &Vec<Part>| {
        let mut texts = parts
            .iter()
            .map(|part| String::from_utf8(part.bytes()).unwrap());
        let mut next = || texts.next();
        let [Some(name), Some(data), Some(id)] = [next(), next(), next()] else {
            panic!("an event has name, data and id: {parts:?}");
        };
        Event(name, data, id, next().unwrap_or_else(|| "here".to_owned()))
    };
    list.iter().map(event).collect()
}

impl Reply {
    fn answer(&self, here: &str, there: &str) -> Answer {
        if self.refused {
            return Answer::refused();
        }
        let mut answer = match self.framing {
            Framing::Raw => Answer::raw(),
            _ => Answer::status(self.status),
        };
        let default = (self.status == 200).then_some("text/event-stream");
        let content_type = self.content_type.as_deref().or(default);
        if let Some(value) = content_type.filter(|value| !value.is_empty()) {
            answer = answer.header("content-type", value);
        }
        if let Some(location) = &self.location {
            let location = location.replace("{here}", here).replace("{there}", there);
            answer = answer.header("location", &location);
        }
        // Without it a page may not read what comes from another origin; nobody else looks at it.
        answer = answer.header("access-control-allow-origin", "*");
        for (name, value) in &self.headers {
            answer = answer.header(name, value);
        }
        for part in &self.body {
            answer = match (part, self.pieces) {
                (Part::Pause { pause_ms }, _) => answer.pause(Duration::from_millis(*pause_ms)),
                (part, Some(size)) => answer.send_in_pieces(part.bytes(), size),
                (part, None) => answer.send(part.bytes()),
            };
        }
        answer = match (self.framing, self.length) {
            (_, Some(length)) => answer.with_length_of(length),
            (Framing::Length, None) => answer.with_length(),
            (Framing::Close, None) => answer.until_close(),
            (Framing::Chunked | Framing::Raw, None) => answer,
        };
        match self.end {
            AnswerEnd::Finish => answer,
            AnswerEnd::Cut => answer.cut(),
            AnswerEnd::Reset => answer.reset(),
            AnswerEnd::Hold => answer.hold(),
        }
    }
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Hex { hex } => hex
                .split(' ')
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect(),
            Self::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
            Self::Pause { .. } => Vec::new(),
        }
    }
}

/// Target and `Last-Event-ID` of each request of an event source.
pub(crate) fn requests(server: &ScriptedServer) -> Vec<(String, Option<String>)> {
    let all = server.requests().into_iter();
    all.filter(|request| request.target != PAGE)
        .map(|request| {
            let id = request.header("last-event-id").map(str::to_owned);
            (request.target, id)
        })
        .collect()
}

/// Where the page of a browser lies; no request of an event source goes there.
pub(crate) const PAGE: &str = "/page";
