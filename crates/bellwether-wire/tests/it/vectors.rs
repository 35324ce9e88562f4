//! Loads `vectors/*.json`; the format is described in `vectors/README.md`.

use serde::Deserialize;

/// Bytes in, events out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecodeVector {
    pub(crate) name: String,
    pub(crate) clause: String,
    connections: Vec<Input>,
    pub(crate) events: Vec<Event>,
    pub(crate) last_event_id: String,
    pub(crate) retry_ms: Option<u64>,
    pub(crate) comments: Option<u64>,
    pub(crate) limits: Option<VectorLimits>,
    /// For each connection the limit that it breaks; empty if there are no limits.
    #[serde(default)]
    pub(crate) errors: Vec<Option<String>>,
}

/// An event as the client is to see it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) last_event_id: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VectorLimits {
    pub(crate) max_line_bytes: usize,
    pub(crate) max_event_bytes: usize,
}

/// An event in, bytes or a refusal out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncodeVector {
    pub(crate) name: String,
    pub(crate) clause: String,
    pub(crate) event: Fields,
    pub(crate) bytes: Option<String>,
    pub(crate) refused: Option<String>,
}

/// What is set on the event; `json` is `Some(Value::Null)` for a `null` that is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    pub(crate) data: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) json: Option<serde_json::Value>,
    pub(crate) event: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) retry_ms: Option<u64>,
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Part(Part),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Hex { hex: String },
    Repeat { repeat: String, times: usize },
}

impl DecodeVector {
    /// The bytes of each connection.
    pub(crate) fn connections(&self) -> Vec<Vec<u8>> {
        let bytes = |input: &Input| match input {
            Input::Part(part) => part.bytes(),
            Input::Parts(parts) => parts.iter().flat_map(Part::bytes).collect(),
        };
        self.connections.iter().map(bytes).collect()
    }
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex { hex } => hex
                .split(' ')
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect(),
            Self::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
        }
    }
}

/// All vectors of the decoder.
pub(crate) fn decode_vectors() -> Vec<DecodeVector> {
    let files = [
        include_str!("../../vectors/decode-wpt.json"),
        include_str!("../../vectors/decode-standard.json"),
        include_str!("../../vectors/decode-hostile.json"),
        include_str!("../../vectors/decode-limits.json"),
    ];
    files
        .iter()
        .flat_map(|file| serde_json::from_str::<Vec<_>>(file).unwrap())
        .collect()
}

/// All vectors of the encoder.
pub(crate) fn encode_vectors() -> Vec<EncodeVector> {
    serde_json::from_str(include_str!("../../vectors/encode.json")).unwrap()
}

/// Tells `"json": null` from no `json` at all.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}
