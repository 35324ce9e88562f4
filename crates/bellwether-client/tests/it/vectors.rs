//! Every vector of the wire crate, through the client: whole, in pieces, byte by byte.

use std::time::Duration;

use bellwether_client::{Limits, Retry};
use bellwether_testkit::{Answer, ScriptedServer};

use crate::support::{self, Seen, ids, pauses, source};
use crate::wire_vectors::{DecodeVector, decode_vectors};

async fn check(vector: &DecodeVector, size: usize) {
    let name = format!("{} ({}), in pieces of {size}", vector.name, vector.clause);
    let broken = vector.errors.iter().position(Option::is_some);
    let connections = vector.connections();
    let answers = connections
        .iter()
        .map(|bytes| Answer::event_stream().send_in_pieces(bytes.clone(), size));
    let server = ScriptedServer::new(answers);
    let mut builder = source(&server).retry(Retry::default().no_jitter().backoff(Duration::ZERO));
    if let Some(limits) = vector.limits {
        builder = builder.limits(
            Limits::default()
                .max_line_bytes(limits.max_line_bytes)
                .max_event_bytes(limits.max_event_bytes),
        );
    }
    let mut source = builder.build().unwrap();
    let items = support::all(&mut source).await;

    let got: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Seen::Message(event, data, id) => Some((event.as_str(), data.as_str(), id.as_str())),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = vector
        .events
        .iter()
        .map(|e| (e.event.as_str(), e.data.as_str(), e.last_event_id.as_str()))
        .collect();
    if let Some(broken) = broken {
        // The decoder can go on with a further connection; a source ends.
        assert_eq!(server.requests().len(), broken + 1, "{name}");
        assert!(expected.starts_with(&got), "{name}: {got:?}");
        assert!(
            broken + 1 < connections.len() || got.len() == expected.len(),
            "{name}"
        );
        let Some(Seen::Error(error)) = items.last() else {
            panic!("{name}: ended with {:?}", items.last());
        };
        assert!(
            error.starts_with("cannot decode the event stream"),
            "{name}: {error}"
        );
        return;
    }
    assert_eq!(got, expected, "{name}");
    assert_eq!(source.last_event_id(), vector.last_event_id, "{name}");
    let sent = ids(&server).pop().flatten().unwrap_or_default();
    let is_sendable = !vector
        .last_event_id
        .chars()
        .any(|c| c.is_control() && c != '\t');
    let expected = match is_sendable {
        // A server does not see spaces around a value.
        true => vector.last_event_id.trim_matches([' ', '\t']),
        false => "",
    };
    assert_eq!(sent, expected, "{name}");
    let wait = Duration::from_millis(vector.retry_ms.unwrap_or(3000).max(500));
    assert_eq!(pauses(&server).last(), Some(&wait), "{name}");
}

#[tokio::test(start_paused = true)]
async fn every_vector_means_the_same_to_the_client_however_it_is_cut() {
    let vectors = decode_vectors();
    assert!(vectors.len() > 50, "found {} vectors", vectors.len());
    for vector in &vectors {
        for size in [usize::MAX, 7, 1] {
            check(vector, size).await;
        }
    }
}
