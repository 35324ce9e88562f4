//! One connection of a scripted server: reads requests, plays answers.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::chunks::find;

use super::Presence;
use super::answer::{Answer, End, ScriptFraming, Step};
use super::pipe::Pipe;
use super::request::SeenRequest;

/// A connection that can be reset.
pub(super) trait Resettable: AsyncRead + AsyncWrite + Unpin {
    fn reset(self);
}

impl Resettable for Pipe {
    fn reset(self) {
        Pipe::reset(self);
    }
}

impl Resettable for TcpStream {
    fn reset(self) {
        reset(self);
    }
}

/// Closes a socket with RST.
pub(super) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .expect("a connected socket takes options");
    drop(stream);
}

pub(super) async fn serve(mut stream: impl Resettable, presence: Presence) {
    let mut buffer = BytesMut::new();
    loop {
        let Ok(Some(request)) = read_request(&mut stream, &mut buffer).await else {
            return;
        };
        let answer = presence.0.answer(request);
        // Tests also let clients leave in the middle.
        if play(&mut stream, &answer).await.is_err() {
            return;
        }
        match answer.end {
            End::Finish if answer.framing != ScriptFraming::UntilClose => {}
            End::Finish | End::Cut | End::Refused => {
                let _ = stream.shutdown().await;
                return;
            }
            End::Reset => return stream.reset(),
            End::Hold => {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                return;
            }
        }
    }
}

/// Reads one request with its body; `None` when the client closes instead.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Option<SeenRequest>> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let mut request = SeenRequest::parse(buffer.split_to(end).freeze());
    let length = request.header("content-length").map_or(0, |length| {
        let length = length.parse();
        length.expect("the length of the body is a number")
    });
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer.split_to(length).freeze();
    Ok(Some(request))
}

async fn play(stream: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    stream.write_all(answer.head().as_bytes()).await?;
    stream.flush().await?;
    for step in &answer.steps {
        match step {
            Step::Pause(pause) => tokio::time::sleep(*pause).await,
            Step::Send(bytes) => send(stream, answer, bytes).await?,
            Step::SendForever(bytes) => loop {
                send(stream, answer, bytes).await?;
            },
        }
    }
    if answer.end == End::Finish && answer.framing == ScriptFraming::Chunked && answer.has_body() {
        stream.write_all(b"0\r\n\r\n").await?;
        stream.flush().await?;
    }
    Ok(())
}

async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    answer: &Answer,
    bytes: &Bytes,
) -> io::Result<()> {
    match answer.framing {
        // An empty chunk would be the last one.
        ScriptFraming::Chunked if bytes.is_empty() => return Ok(()),
        ScriptFraming::Chunked => {
            let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
            chunk.extend_from_slice(bytes);
            chunk.extend_from_slice(b"\r\n");
            stream.write_all(&chunk).await?;
        }
        _ => stream.write_all(bytes).await?,
    }
    stream.flush().await
}
