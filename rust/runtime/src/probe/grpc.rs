//! grpc.health.v1.Health/Check over HTTP/2 without TLS: one unary call, and no more of HTTP/2 than that needs (RFC 9113).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use super::{Outcome, text};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// The largest frame that we, who say nothing of it, may be sent.
const FRAME_BYTES: usize = 16 * 1024;
/// Of the answer, a message of two bytes, this is more than enough.
const ANSWER_BYTES: usize = 1024;
const STATUS: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u64 = 1;

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(content);
    bytes
}

/// A header as a literal, neither indexed nor compressed (RFC 7541, 6.2.2); both are shorter than 127 bytes.
fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap_or(0).min(126));
        block.extend(text.as_bytes());
    }
}

/// HealthCheckRequest with the name of a service, in a gRPC message.
fn message(service: &str) -> Vec<u8> {
    let length = u8::try_from(service.len()).unwrap_or(0).min(127);
    let service = &service.as_bytes()[..usize::from(length)];
    let body = if length == 0 { Vec::new() } else { [&[0x0a, length], service].concat() };
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// `status` of a HealthCheckResponse in a gRPC message; None if it is none. An absent field is 0.
fn status(message: &[u8]) -> Option<u64> {
    let body = message.get(5..)?;
    match body {
        [] => Some(0),
        [0x08, value, ..] if *value < 128 => Some(u64::from(*value)),
        _ => None,
    }
}

/// Asks whether the service is serving.
pub(super) fn check(
    mut socket: TcpStream,
    target: &Value,
    deadline: Instant,
) -> io::Result<Outcome> {
    let mut block = Vec::new();
    header(&mut block, ":method", "POST");
    header(&mut block, ":scheme", "http");
    header(&mut block, ":path", "/grpc.health.v1.Health/Check");
    header(&mut block, ":authority", "localhost");
    header(&mut block, "content-type", "application/grpc");
    header(&mut block, "te", "trailers");
    header(&mut block, "user-agent", "pyrt-probe/1");
    let mut request = PREFACE.to_vec();
    request.extend(frame(SETTINGS, 0, 0, &[]));
    request.extend(frame(HEADERS, END_HEADERS, 1, &block));
    request.extend(frame(DATA, END_STREAM, 1, &message(text(target, "service"))));
    socket.write_all(&request)?;
    let mut answer = Vec::new();
    loop {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut head = [0; 9];
        socket.read_exact(&mut head)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        if length > FRAME_BYTES {
            return Err(io::Error::other("speaks no HTTP/2"));
        }
        let mut content = vec![0; length];
        socket.read_exact(&mut content)?;
        match kind {
            SETTINGS if flags & ACK == 0 => socket.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => socket.write_all(&frame(PING, ACK, 0, &content))?,
            DATA => {
                let padding = if flags & PADDED == 0 { 0 } else { 1 };
                answer.extend(content.iter().skip(padding));
            }
            RESET | GO_AWAY => return Err(io::Error::other("refused the call")),
            _ => {}
        }
        let is_last = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if is_last || answer.len() >= ANSWER_BYTES {
            return Ok(judge(&answer));
        }
    }
}

fn judge(answer: &[u8]) -> Outcome {
    let Some(status) = status(answer) else {
        return Outcome::of(1, "answered without a status: has it grpc.health.v1.Health?");
    };
    let name = usize::try_from(status).ok().and_then(|status| STATUS.get(status));
    Outcome::of(i32::from(status != SERVING), *name.unwrap_or(&"UNKNOWN"))
}

#[cfg(test)]
mod tests {
    use super::{frame, judge, message, status};

    #[test]
    fn messages_are_protobuf_with_a_prefix() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(frame(4, 1, 0, &[]), [0, 0, 0, 4, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn only_serving_is_well() {
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(judge(&[0, 0, 0, 0, 2, 8, 1]).code, 0);
        for answer in [&[][..], &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 2, 8, 2], &[0, 0, 0, 0, 1, 9]] {
            assert_eq!(judge(answer).code, 1, "{answer:?}");
        }
    }
}
