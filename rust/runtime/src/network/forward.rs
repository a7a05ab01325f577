//! A forwarder: what comes to a container's published ports on the host goes to the container, in the client's name.
//!
//! It listens on sockets that the container's monitor opened on the host, and speaks in the networks' namespace. There a
//! socket may have any address (`IP_TRANSPARENT`); that replies come back to it is the work of [`super::links`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use pyrt_core::sys::fork::{Fork, exit_now, fork_single};
use pyrt_core::{At, Result, sys};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
use rustix::process::PidfdFlags;
use serde::Deserialize;

/// Of a direction at a time.
const CHUNK: usize = 32 * 1024;
/// A datagram's client that is silent for so long is forgotten.
const SILENCE: Duration = Duration::from_secs(120);
/// Clients of datagrams at once.
const FLOWS: usize = 4096;
/// The largest datagram.
const DATAGRAM: usize = 65536;

/// The protocols that are forwarded.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// A port of the container's.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

/// A socket on the host and the port behind it.
pub(super) struct Published {
    pub(super) socket: OwnedFd,
    pub(super) port: Port,
}

/// Starts the forwarder of a container with these addresses. It ends when it is killed; when the supervisor is gone it
/// takes no more connections and ends with its last.
pub(super) fn start(published: &[Published], targets: &[IpAddr]) -> Result<OwnedFd> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .at("pidfd_open", "supervisor")?;
    match fork_single(0, None).at("clone", "forwarder")? {
        Fork::Parent { pidfd, .. } => Ok(pidfd),
        Fork::Child => {
            let code = run(published, targets, &own).map_or(1, |()| 0);
            exit_now(code);
        }
    }
}

/// The number of the supervisor's end; all else that is waited for counts on from there.
const SUPERVISOR: u64 = 0;

fn run(published: &[Published], targets: &[IpAddr], supervisor: &OwnedFd) -> Result<()> {
    let keep: Vec<BorrowedFd<'_>> =
        published.iter().map(|one| one.socket.as_fd()).chain([supervisor.as_fd()]).collect();
    sys::files::close_others(3, &keep).at("close_range", "")?;
    let mut forwarder = Forwarder::open(published, targets, supervisor)?;
    while !forwarder.is_done() {
        forwarder.turn()?;
    }
    Ok(())
}

/// What is waited for.
enum Thing {
    /// Connections, for this port of the container's.
    Stream(TcpListener, u16),
    /// Datagrams, for this port, and which of us answers to which client.
    Datagrams(UdpSocket, u16, HashMap<SocketAddr, u64>),
    /// A connection.
    Pair(Pair),
    /// What the container answers to a client of these datagrams.
    Flow { listener: u64, client: SocketAddr, socket: UdpSocket, heard: Instant },
}

struct Forwarder<'a> {
    epoll: OwnedFd,
    things: HashMap<u64, Thing>,
    targets: &'a [IpAddr],
    supervisor: &'a OwnedFd,
    next: u64,
    /// The supervisor is gone: nothing new.
    is_last: bool,
    /// Of one datagram.
    buffer: Vec<u8>,
}

impl<'a> Forwarder<'a> {
    fn open(
        published: &[Published],
        targets: &'a [IpAddr],
        supervisor: &'a OwnedFd,
    ) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).at("epoll", "")?;
        let mut forwarder = Self {
            epoll,
            things: HashMap::new(),
            targets,
            supervisor,
            next: SUPERVISOR + 1,
            is_last: false,
            buffer: Vec::new(),
        };
        forwarder.watch(supervisor, SUPERVISOR, EventFlags::IN).at("epoll", "supervisor")?;
        for Published { socket, port } in published {
            let socket = socket.try_clone().at("dup", "listener")?;
            rustix::io::ioctl_fionbio(&socket, true).at("ioctl", "listener")?;
            let number = forwarder.number();
            forwarder.watch(&socket, number, EventFlags::IN).at("epoll", "listener")?;
            let thing = match port.protocol {
                Protocol::Tcp => Thing::Stream(socket.into(), port.port),
                Protocol::Udp => {
                    forwarder.buffer.resize(DATAGRAM, 0);
                    Thing::Datagrams(socket.into(), port.port, HashMap::new())
                }
            };
            forwarder.things.insert(number, thing);
        }
        Ok(forwarder)
    }

    fn is_done(&self) -> bool {
        self.is_last && !self.things.values().any(|thing| matches!(thing, Thing::Pair(_)))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn watch(&self, fd: impl AsFd, number: u64, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, EventData::new_u64(number), flags)
    }

    /// Waits and does what there is to do.
    fn turn(&mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(64);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => return Ok(()),
            waited => waited.at("epoll", "wait")?,
        };
        for event in events {
            let number = event.data.u64();
            if number == SUPERVISOR {
                self.is_last = true;
                self.things.retain(|_, thing| matches!(thing, Thing::Pair(_)));
                // Ready for ever: it would wake us for nothing.
                epoll::delete(&self.epoll, self.supervisor).at("epoll", "supervisor")?;
            }
            // Taken out while it is worked on: it may add others.
            let Some(mut thing) = self.things.remove(&number) else { continue };
            let stays = match &mut thing {
                Thing::Stream(listener, port) => {
                    self.accept(listener, *port);
                    true
                }
                Thing::Datagrams(socket, port, flows) => {
                    self.take(number, socket, *port, flows);
                    true
                }
                Thing::Pair(pair) => pair.pump(),
                Thing::Flow { listener, client, socket, heard } => {
                    *heard = Instant::now();
                    self.answer(*listener, *client, socket);
                    true
                }
            };
            if stays {
                self.things.insert(number, thing);
            }
        }
        Ok(())
    }

    /// Takes the connections that wait.
    fn accept(&mut self, listener: &TcpListener, port: u16) {
        while let Ok((client, address)) = listener.accept() {
            let _ = self.pair(client, address, port); // it hears that nobody answers: it is closed
        }
    }

    fn pair(&mut self, client: TcpStream, address: SocketAddr, port: u16) -> Result<(), Errno> {
        let target = connect(self.targets, address.ip(), port, SocketType::STREAM)?;
        let client = OwnedFd::from(client);
        rustix::io::ioctl_fionbio(&client, true)?;
        for socket in [&client, &target] {
            rustix::net::sockopt::set_tcp_nodelay(socket, true)?;
        }
        let number = self.number();
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        self.watch(&client, number, both)?;
        self.watch(&target, number, both)?;
        self.things.insert(number, Thing::Pair(Pair::new(client, target)));
        Ok(())
    }

    /// Takes the datagrams that wait, each client's to a socket of its own.
    fn take(
        &mut self,
        listener: u64,
        socket: &UdpSocket,
        port: u16,
        flows: &mut HashMap<SocketAddr, u64>,
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            if !flows.contains_key(&client) {
                self.forget(flows);
                match self.flow(listener, client, port) {
                    Ok(number) => drop(flows.insert(client, number)),
                    Err(_) => continue, // a datagram may be lost
                }
            }
            let flow = flows.get(&client).and_then(|number| self.things.get_mut(number));
            if let Some(Thing::Flow { socket, heard, .. }) = flow {
                *heard = Instant::now();
                let _ = socket.send(&buffer[..length]); // a datagram may be lost
            }
        }
        self.buffer = buffer;
    }

    fn flow(&mut self, listener: u64, client: SocketAddr, port: u16) -> Result<u64, Errno> {
        let socket = connect(self.targets, client.ip(), port, SocketType::DGRAM)?;
        let number = self.number();
        self.watch(&socket, number, EventFlags::IN)?;
        let (socket, heard) = (socket.into(), Instant::now());
        self.things.insert(number, Thing::Flow { listener, client, socket, heard });
        Ok(number)
    }

    /// Forgets the clients that are silent; if there are too many, the most silent one.
    fn forget(&mut self, flows: &mut HashMap<SocketAddr, u64>) {
        let heard = |things: &HashMap<u64, Thing>, number: &u64| match things.get(number) {
            Some(Thing::Flow { heard, .. }) => Some(*heard),
            _ => None,
        };
        let things = &mut self.things;
        let oldest = flows.iter().min_by_key(|(_, number)| heard(things, number));
        let oldest = oldest.filter(|_| flows.len() >= FLOWS).map(|(client, _)| *client);
        flows.retain(|client, number| {
            let last = heard(things, number);
            let stays =
                Some(*client) != oldest && last.is_some_and(|last| last.elapsed() < SILENCE);
            if !stays {
                things.remove(number);
            }
            stays
        });
    }

    /// Passes the container's answers on, from the port that the client knows.
    fn answer(&mut self, listener: u64, client: SocketAddr, socket: &UdpSocket) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Ok(length) = socket.recv(&mut buffer) {
            if let Some(Thing::Datagrams(socket, ..)) = self.things.get(&listener) {
                let _ = socket.send_to(&buffer[..length], client); // a datagram may be lost
            }
        }
        self.buffer = buffer;
    }
}

/// A socket on its way to the container, with the client's address if it can have that.
fn connect(
    targets: &[IpAddr],
    client: IpAddr,
    port: u16,
    kind: SocketType,
) -> Result<OwnedFd, Errno> {
    let client = client.to_canonical();
    let same = targets.iter().find(|target| target.is_ipv4() == client.is_ipv4());
    let target = *same.or(targets.first()).ok_or(Errno::NETUNREACH)?;
    let speaks_for = (same.is_some() && !client.is_loopback()).then_some(client);
    // A client in the container's own network, say, cannot be spoken for.
    match speaks_for.map(|client| dial(target, port, kind, Some(client))) {
        Some(Ok(socket)) => Ok(socket),
        _ => dial(target, port, kind, None),
    }
}

fn dial(
    target: IpAddr,
    port: u16,
    kind: SocketType,
    client: Option<IpAddr>,
) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    if let Some(client) = client {
        sys::sockets::set_transparent(socket.as_fd(), target.is_ipv6())?;
        rustix::net::bind(&socket, &SocketAddr::from((client, 0)))?;
    }
    match rustix::net::connect(&socket, &SocketAddr::from((target, port))) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// A connection: the client's and ours to the container.
struct Pair {
    ends: [OwnedFd; 2],
    /// From each end to the other.
    ways: [Way; 2],
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    /// Read and not written yet.
    buffer: Vec<u8>,
    written: usize,
    /// Nothing more comes.
    is_over: bool,
    /// The other end has been told so.
    is_shut: bool,
}

impl Pair {
    fn new(client: OwnedFd, target: OwnedFd) -> Self {
        Self { ends: [client, target], ways: Default::default() }
    }

    /// Moves what can be moved; false when the connection is at its end.
    fn pump(&mut self) -> bool {
        let [client, target] = &self.ends;
        let [to_target, to_client] = &mut self.ways;
        let alive =
            to_target.pump(client, target).is_ok() && to_client.pump(target, client).is_ok();
        alive && !(to_target.is_shut && to_client.is_shut)
    }
}

impl Way {
    /// Until one end has no more, or the other takes no more: both will be told of by then.
    fn pump(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        loop {
            if self.buffer.is_empty() && !self.is_over {
                self.buffer.resize(CHUNK, 0);
                let count = rustix::io::retry_on_intr(|| rustix::io::read(from, &mut self.buffer));
                self.buffer.truncate(*count.as_ref().unwrap_or(&0));
                match count {
                    Ok(count) => self.is_over = count == 0,
                    Err(Errno::AGAIN) => break,
                    Err(errno) => return Err(errno),
                }
            }
            if self.buffer.is_empty() {
                if !self.is_shut {
                    rustix::net::shutdown(to, Shutdown::Write)?;
                    self.is_shut = true;
                }
                break;
            }
            let rest = &self.buffer[self.written..];
            match rustix::io::retry_on_intr(|| rustix::io::write(to, rest)) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            if self.written == self.buffer.len() {
                self.written = 0;
                self.buffer.clear();
            }
        }
        self.buffer.shrink_to_fit(); // a connection that rests needs none
        Ok(())
    }
}
