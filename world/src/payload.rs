//! The data of the events that clients are sent: the same from Bellwether and from the minimal server.

use serde_json::json;

/// How many events of JSON each client is sent where their number does not matter.
pub(crate) const EVENTS: usize = 20;

/// Data of several lines, an empty one among them.
pub(crate) const LINES: &str = "first\nsecond\n\n  fourth";

/// Text in several scripts; the bytes of `Å` and `х` hold 0x85, which Latin-1 readers take for a line's end.
pub(crate) const TEXT: &str = "Ångström, хлеб, 東京, 🐑";

/// The data of the last event of some streams, by which a reader knows that it has all.
pub(crate) const LAST: &str = "\"last\"";

/// The data of event `number`.
pub(crate) fn numbered(number: usize) -> String {
    json!({ "number": number, "price": "12.50" }).to_string()
}

/// The data of the events from `first` to `last`.
pub(crate) fn numbers(first: usize, last: usize) -> Vec<String> {
    (first..=last).map(numbered).collect()
}

/// The chunks of an answer of a chat model, as OpenAI's API sends them; `[DONE]` is not among them.
pub(crate) fn chat_chunks() -> Vec<String> {
    let chunk = |delta: serde_json::Value, reason: Option<&str>| {
        json!({
            "id": "chat-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "bells",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }],
        })
        .to_string()
    };
    let mut chunks = vec![chunk(json!({ "role": "assistant", "content": "" }), None)];
    let words = ["All ", "is ", "Ångström ", "well"];
    chunks.extend(words.map(|word| chunk(json!({ "content": word }), None)));
    chunks.push(chunk(json!({}), Some("stop")));
    chunks
}

/// The events of an answer as Anthropic's API sends them: name and data.
pub(crate) fn message_events() -> Vec<(&'static str, String)> {
    let delta = |text: &str| {
        let delta = json!({ "type": "text_delta", "text": text });
        let data = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
        ("content_block_delta", data.to_string())
    };
    let message = json!({
        "id": "message-1", "type": "message", "role": "assistant", "model": "bells", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    let start = json!({ "type": "message_start", "message": message });
    let block = json!({ "type": "text", "text": "" });
    let block = json!({ "type": "content_block_start", "index": 0, "content_block": block });
    let stop = json!({ "type": "content_block_stop", "index": 0 });
    let end = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    let end = json!({ "type": "message_delta", "delta": end, "usage": { "output_tokens": 4 } });
    let mut events = vec![
        ("message_start", start.to_string()),
        ("content_block_start", block.to_string()),
    ];
    events.extend(["All ", "is ", "Ångström ", "well"].map(delta));
    events.extend([
        ("content_block_stop", stop.to_string()),
        ("message_delta", end.to_string()),
        (
            "message_stop",
            json!({ "type": "message_stop" }).to_string(),
        ),
    ]);
    events
}
