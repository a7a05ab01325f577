//! Probes that connect: from the container's network namespace, with nothing of the container's.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use pyrt_core::{At, Result};
use rustix::thread::ThreadNameSpaceType;
use serde_json::Value;

use super::{OUTPUT_BYTES, Outcome, number, text};
use crate::arguments::{Arguments, missing};

/// Whatever comes before the end of the status line.
const HEAD_BYTES: u64 = 16 * 1024;

/// Enters the container's network namespace, if it has one of its own.
pub(super) fn enter_network(args: &Arguments) -> Result<()> {
    let init = args.needed_descriptor("init")?;
    let mask: u32 = args.number("namespaces")?.ok_or_else(|| missing("namespaces"))?;
    let network = ThreadNameSpaceType::NETWORK;
    if !ThreadNameSpaceType::from_bits_retain(mask).contains(network) {
        return Ok(());
    }
    rustix::thread::move_into_thread_name_spaces(init.as_fd(), network).at("setns", "network")
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let rest = deadline.saturating_duration_since(Instant::now());
    if rest.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
}

/// Connects to the address, or to this machine as the container has it; each read and write ends with the deadline.
pub(super) fn connect(target: &Value, deadline: Instant) -> io::Result<TcpStream> {
    let port = u16::try_from(number(target, "port")).map_err(|_| io::ErrorKind::InvalidInput)?;
    let addresses = match text(target, "host") {
        "" => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
        host => {
            let address = host.parse::<IpAddr>();
            vec![address.map_err(|_| io::Error::other(format!("{host} is no address")))?]
        }
    };
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for (index, address) in addresses.into_iter().enumerate() {
        match TcpStream::connect_timeout(&SocketAddr::from((address, port)), left(deadline)?) {
            Ok(socket) => {
                socket.set_read_timeout(Some(left(deadline)?))?;
                socket.set_write_timeout(Some(left(deadline)?))?;
                return Ok(socket);
            }
            // That of the first address is the one to tell.
            Err(error) if index == 0 => refused = error,
            Err(_) => {}
        }
    }
    Err(refused)
}

/// GET; 200 to 399 is well.
pub(super) fn http(target: &Value, deadline: Instant) -> io::Result<Outcome> {
    let mut socket = connect(target, deadline)?;
    let mut request = format!("GET {} HTTP/1.1\r\n", text(target, "path"));
    let headers = target.get("headers").and_then(Value::as_array);
    let pairs: Vec<(&str, &str)> = headers
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)))
        .collect();
    let host = match text(target, "host") {
        "" => "localhost",
        host => host,
    };
    let own = [
        ("Host", format!("{host}:{}", number(target, "port"))),
        ("User-Agent", "pyrt-probe/1".to_owned()),
        ("Accept", "*/*".to_owned()),
        ("Connection", "close".to_owned()),
    ];
    for (name, value) in &own {
        if !pairs.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            request += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in &pairs {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while !answer.contains(&b'\n') && (answer.len() as u64) < HEAD_BYTES {
        socket.set_read_timeout(Some(left(deadline)?))?;
        match socket.read(&mut chunk)? {
            0 => break,
            count => answer.extend_from_slice(&chunk[..count]),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let line: String = line.lines().next().unwrap_or_default().chars().take(OUTPUT_BYTES).collect();
    let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let code = i32::from(!status.is_some_and(|status: u16| (200..400).contains(&status)));
    Ok(Outcome::of(code, line))
}

/// What went wrong, for people.
pub(super) fn describe(error: &io::Error, deadline: Instant) -> String {
    let is_late = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
    if is_late || Instant::now() >= deadline {
        return "timed out".to_owned();
    }
    error.to_string()
}
