//! What a stream sends before its first event: the time to reconnect and the position of the reader.

use std::time::Duration;

use bellwether_wire::{EventId, EventName, ServerSentEvent};

/// By default a client reconnects after a time between this and twice as much, so that the clients of a server that was
/// killed do not all reconnect at once.
const MIN_FIRST_RETRY: Duration = Duration::from_secs(2);

/// The reconnection time that is sent at the start of a stream.
///
/// Every stream sends it. A refusal or a stop sets a longer time once; without a new one the client would wait that
/// long before each later reconnect.
pub(crate) fn first_retry() -> Duration {
    MIN_FIRST_RETRY.mul_f64(1.0 + fastrand::f64())
}

/// Appends the event that gives a reader an id before its first event, so that a cut until then loses it nothing.
///
/// Its data is JSON, `{"keep_alive_ms":15000}`: what the client can rely on to hear from a living stream, or `null`.
pub(crate) fn write_opening(
    out: &mut Vec<u8>,
    name: &EventName,
    id: EventId,
    keep_alive: Option<Duration>,
) {
    let millis = keep_alive.map(|interval| interval.as_millis());
    let data = match millis {
        Some(millis) => format!("{{\"keep_alive_ms\":{millis}}}"),
        None => "{\"keep_alive_ms\":null}".to_owned(),
    };
    // Text data and a checked id always encode.
    let _ = ServerSentEvent::text(data)
        .event(name.clone())
        .id(id)
        .encode_into(out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bellwether_wire::{event_id, event_name};

    use super::*;

    #[test]
    fn an_opening_event_has_json_data_and_the_id_last() {
        let mut out = Vec::new();
        let name = event_name!("bellwether.open");
        let interval = Some(Duration::from_secs(15));
        write_opening(&mut out, &name, event_id!("1.a"), interval);
        write_opening(&mut out, &name, event_id!("1.b"), None);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "event: bellwether.open\ndata: {\"keep_alive_ms\":15000}\nid: 1.a\n\n\
             event: bellwether.open\ndata: {\"keep_alive_ms\":null}\nid: 1.b\n\n"
        );
    }

    #[test]
    fn the_first_retry_is_between_two_and_four_seconds() {
        for _ in 0..1000 {
            let delay = first_retry();
            assert!(delay >= Duration::from_secs(2) && delay <= Duration::from_secs(4));
        }
    }
}
