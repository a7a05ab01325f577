//! The resolver of all networks: answers for the containers' names, and asks the host's resolvers for all others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use pyrt_core::sys::fork::{Fork, exit_now, fork_single};
use pyrt_core::{At, Result};

use super::names::{Known, Question, SERVER_FAILURE};

const PORT: u16 = 53;
/// Where pasta answers for the host's resolver (`--dns-forward`), if that is on the host's loopback.
const FORWARDED: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
/// One that has not answered by then is not going to; the next is asked.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Questions under way; beyond, the oldest is forgotten.
const PENDING: usize = 512;
/// The largest message over UDP that we pass on.
const MESSAGE_BYTES: usize = 4096;

/// A question that another resolver was asked.
struct Pending {
    asker: SocketAddr,
    query: Vec<u8>,
    /// Of the servers of that moment.
    server: usize,
    asked: Instant,
}

/// Open sockets and what is under way.
pub(super) struct Resolver {
    udp: UdpSocket,
    tcp: TcpListener,
    /// What other resolvers answer, by family.
    out: [Option<UdpSocket>; 2],
    pending: HashMap<u16, Pending>,
}

/// What is known to somebody at an address.
pub(super) type Lookup<'a> = &'a dyn Fn(IpAddr, &Question) -> Known;

impl Resolver {
    /// Listens at every gateway's address.
    pub(super) fn open() -> Result<Self> {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        // An IPv6 socket hears IPv4, too.
        let udp = UdpSocket::bind(all).or_else(|_| UdpSocket::bind(four)).at("listen", "DNS")?;
        let tcp =
            TcpListener::bind(all).or_else(|_| TcpListener::bind(four)).at("listen", "DNS")?;
        let any = |address: IpAddr| {
            let socket = UdpSocket::bind((address, 0)).ok()?;
            socket.set_nonblocking(true).ok().map(|()| socket)
        };
        udp.set_nonblocking(true).at("ioctl", "DNS")?;
        tcp.set_nonblocking(true).at("ioctl", "DNS")?;
        let out = [any(Ipv4Addr::UNSPECIFIED.into()), any(Ipv6Addr::UNSPECIFIED.into())];
        Ok(Self { udp, tcp, out, pending: HashMap::new() })
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let out = self.out.iter().flatten().map(AsFd::as_fd);
        [self.udp.as_fd(), self.tcp.as_fd()].into_iter().chain(out)
    }

    /// When there is something to be done without being asked.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.asked + PATIENCE).min()
    }

    /// Does what there is to do.
    pub(super) fn work(&mut self, lookup: Lookup<'_>) {
        let mut buffer = [0; MESSAGE_BYTES];
        while let Ok((length, asker)) = self.udp.recv_from(&mut buffer) {
            self.ask(asker, &buffer[..length], lookup);
        }
        for family in 0..self.out.len() {
            while let Some(Ok((length, server))) =
                self.out[family].as_ref().map(|socket| socket.recv_from(&mut buffer))
            {
                self.pass_on(server, &mut buffer[..length]);
            }
        }
        while let Ok((stream, asker)) = self.tcp.accept() {
            converse(stream, asker, lookup);
        }
        self.ask_others();
    }

    fn ask(&mut self, asker: SocketAddr, query: &[u8], lookup: Lookup<'_>) {
        let Some(question) = Question::parse(query) else { return };
        let known = lookup(asker.ip().to_canonical(), &question);
        if let Some(answer) = question.answer(query, &known) {
            let _ = self.udp.send_to(&answer, asker); // whoever does not hear it asks again
            return;
        }
        if self.pending.len() >= PENDING
            && let Some(oldest) =
                self.pending.iter().min_by_key(|(_, pending)| pending.asked).map(|(id, _)| *id)
        {
            self.pending.remove(&oldest);
        }
        let query = query.to_vec();
        self.send(Pending { asker, query, server: 0, asked: Instant::now() });
    }

    /// Asks the server whose turn it is, under a number that nobody can guess.
    fn send(&mut self, mut pending: Pending) {
        let servers = servers();
        let Some(server) = servers.get(pending.server) else {
            if let Some(refusal) = Question::parse(&pending.query)
                .and_then(|question| question.reply(&pending.query, SERVER_FAILURE))
            {
                let _ = self.udp.send_to(&refusal, pending.asker);
            }
            return;
        };
        let mut id = [0; 2];
        if rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty()).is_err() {
            return;
        }
        let mut query = pending.query.clone();
        query[..2].copy_from_slice(&id);
        let socket = &self.out[usize::from(server.is_ipv6())];
        let sent =
            socket.as_ref().is_some_and(|socket| socket.send_to(&query, (*server, PORT)).is_ok());
        pending.asked = Instant::now();
        if !sent {
            pending.server += 1;
            return self.send(pending);
        }
        self.pending.insert(u16::from_be_bytes(id), pending);
    }

    /// An answer goes to whoever asked.
    fn pass_on(&mut self, server: SocketAddr, answer: &mut [u8]) {
        let Some(id) = answer.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)) else { return };
        let Some(pending) = self.pending.get(&id) else { return };
        let from = server.ip().to_canonical();
        // A pasta of 2023 has the host's first resolver answer by that name, whoever was asked.
        if from != FORWARDED && servers().get(pending.server) != Some(&from) {
            return; // not whom we asked
        }
        answer[..2].copy_from_slice(&pending.query[..2]);
        let _ = self.udp.send_to(answer, pending.asker);
        self.pending.remove(&id);
    }

    fn ask_others(&mut self) {
        let late: Vec<u16> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.asked.elapsed() >= PATIENCE)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(mut pending) = self.pending.remove(&id) {
                pending.server += 1;
                self.send(pending);
            }
        }
    }
}

/// The host's resolvers, read each time: it may be in another network now.
fn servers() -> Vec<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut servers: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|address| address.trim().parse().ok())
        .map(|address: IpAddr| if address.is_loopback() { FORWARDED } else { address })
        .collect();
    servers.dedup();
    servers
}

/// Over TCP, in a process of its own: it waits, and few need it.
fn converse(stream: TcpStream, asker: SocketAddr, lookup: Lookup<'_>) {
    if let Ok(Fork::Child) = fork_single(0, None) {
        let _ = answer_all(&stream, asker, lookup); // it hung up
        exit_now(0);
    }
}

fn answer_all(
    mut stream: &TcpStream,
    asker: SocketAddr,
    lookup: Lookup<'_>,
) -> std::io::Result<()> {
    let limit = Some(Duration::from_secs(10));
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(limit)?;
    loop {
        let query = receive(&mut stream)?;
        let Some(question) = Question::parse(&query) else { return Ok(()) };
        let known = lookup(asker.ip().to_canonical(), &question);
        let answer = match question.answer(&query, &known) {
            Some(answer) => answer,
            None => {
                relay(&query).or_else(|| question.reply(&query, SERVER_FAILURE)).unwrap_or_default()
            }
        };
        send(&mut stream, &answer)?;
    }
}

/// The answer of the first resolver that has one.
fn relay(query: &[u8]) -> Option<Vec<u8>> {
    servers().into_iter().find_map(|server| {
        let server = SocketAddr::from((server, PORT));
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        send(&mut stream, query).ok()?;
        receive(&mut stream).ok()
    })
}

/// RFC 1035 section 4.2.2: two bytes of length before each message.
fn receive(stream: &mut impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn send(stream: &mut impl std::io::Write, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    stream.write_all(&[&length, message].concat())
}
