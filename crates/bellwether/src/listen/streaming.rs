//! The connection of an event stream: the driver that sends it, and the reuse of its socket after it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::ServerContext;
use super::connection::spawn_reused;
use super::connection_state::{ConnectionState, Detached};
use super::io::Io;
#[cfg(target_os = "linux")]
use super::socket::EngineTransport;
use super::socket::Transport;
use crate::admission::Permit;
#[cfg(target_os = "linux")]
use crate::send::{Handover, RequestInput, ReturnedConnection};
use crate::send::{StreamTask, StreamTaskConfig, write_head};

/// Sends an event stream, of which nothing is written yet, over the socket that hyper has left.
///
/// A subscription goes to the delivery engine where there is one, anything else to a task of its own.
pub(super) fn drive(
    shared: &Arc<ServerContext>,
    state: &ConnectionState,
    detached: Detached,
    io: Io,
    read: &Bytes,
) {
    let (transport, permit, mut ahead) = io.into_parts();
    let Detached {
        response,
        mut is_reusable,
    } = detached;
    // A stop ends the connection with its stream.
    is_reusable &= !shared.lifecycle.is_stopping();
    let (parts, body) = response.into_parts();
    ahead.splice(0..0, read.iter().copied());
    let stream_state = Arc::clone(state.stream_state());

    #[cfg(target_os = "linux")]
    let transport = match stream_state.has_reads() {
        false => transport,
        true => match transport.into_engine() {
            EngineTransport::Shard(socket) => {
                // A session under TLS cannot go back to the runtime.
                is_reusable &= !socket.is_tls();
                let mut head = Vec::with_capacity(512);
                write_head(&parts, !is_reusable, &shared.date, &mut head);
                let input = match is_reusable {
                    true => RequestInput::NextRequest(ahead),
                    false => RequestInput::Discard,
                };
                shared.engine.take(Handover {
                    socket,
                    permit,
                    stream_state,
                    head,
                    body,
                    input,
                });
                return;
            }
            EngineTransport::Transport(transport) => transport,
            EngineTransport::Gone => return,
        },
    };
    let mut head = Vec::with_capacity(512);
    write_head(&parts, !is_reusable, &shared.date, &mut head);
    let task = StreamTask::new(StreamTaskConfig {
        socket: transport,
        stream_state,
        head,
        body,
        ahead: is_reusable.then(|| ahead.into()),
        write_stall: shared.timeouts.write_stall,
        cut: shared.cut.clone().cancelled_owned(),
    });
    spawn(shared, task, permit, state.peer);
}

fn spawn(
    shared: &Arc<ServerContext>,
    task: StreamTask<Transport>,
    permit: Permit,
    peer: Option<SocketAddr>,
) {
    let lifecycle = shared.lifecycle.clone();
    let shared = Arc::clone(shared);
    let run = async move {
        if let Some((transport, ahead)) = task.await
            && !shared.lifecycle.is_stopping()
        {
            spawn_reused(&shared, transport, ahead.into(), peer, permit);
        }
    };
    lifecycle.tracker().spawn(lifecycle.scope(run));
}

/// Serves further requests of a connection that the delivery engine has returned.
#[cfg(target_os = "linux")]
pub(super) fn resume_connection(shared: &Arc<ServerContext>, returned: ReturnedConnection) {
    let ReturnedConnection {
        socket,
        permit,
        ahead,
    } = returned;
    if shared.lifecycle.is_stopping() {
        return;
    }
    match Transport::from_shard(socket) {
        Ok((transport, peer)) => spawn_reused(shared, transport, ahead, peer, permit),
        Err(error) => tracing::debug!(%error, "a connection cannot go on after its stream"),
    }
}
