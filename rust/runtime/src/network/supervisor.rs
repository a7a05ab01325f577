//! The supervisor: makes what the registered containers need, and answers for their names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyrt_core::netlink::Socket;
use pyrt_core::paths::open_host;
use pyrt_core::state::lock;
use pyrt_core::wire::{self, Frame, Received};
use pyrt_core::{At, Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use serde::Deserialize;

use super::forward::{Port, Published};
use super::members::{Attachment, Document, Seen};
use super::registered::{Member, device};
use super::resolver::Resolver;
use super::{SOCKET, SUPERVISOR, balance, directory, links, machine_ports, members};
use crate::Status;
use crate::arguments::Arguments;

/// With nobody there for so long we go.
const IDLE: Duration = Duration::from_secs(60);
/// So long after a service all others are back, too, whom the supervisor before us had: see `PAUSES` in `monitor/bridged.rs`.
const SETTLING: Duration = Duration::from_secs(1);
/// Which ports of the node could not be the machine's, too; beside the socket.
const PORTS_LOG: &str = "ports.log";
/// Between two looks whether it is time to.
const LOOK: Duration = Duration::from_secs(1);
/// The supervisor before us is ending.
const TURNS: u32 = 100;
const TURN: Duration = Duration::from_millis(50);

/// `supervise --netns FD --ready FD --run-root DIR`: status 0 when nobody needs it.
pub(super) fn main(arguments: &Arguments) -> Status {
    let netns = arguments.needed_descriptor("netns")?;
    let ready = arguments.needed_descriptor("ready")?;
    match begin(arguments, &netns, &ready) {
        Ok(mut supervisor) => {
            let _ = wire::send(&ready, Frame::Reply, b"{}", &[]); // an old keeper does not wait
            drop((ready, netns));
            supervisor.run().map(|()| 0)
        }
        Err(error) => {
            let text = serde_json::to_vec(&error).unwrap_or_default();
            let _ = wire::send(&ready, Frame::Failed, &text, &[]);
            Err(error)
        }
    }
}

fn begin(arguments: &Arguments, netns: &OwnedFd, ready: &OwnedFd) -> Result<Supervisor> {
    let directory = directory(&arguments.path("run-root")?);
    let path = directory.join(SUPERVISOR);
    let mut turns = 0..TURNS;
    let lock = loop {
        if let Some(lock) = lock(&path)? {
            break lock;
        }
        turns.next().ok_or_else(|| {
            Error::new(
                Code::Conflict,
                "network",
                path.to_string_lossy(),
                "another supervisor stays",
            )
        })?;
        std::thread::sleep(TURN);
    };
    let kind = ThreadNameSpaceType::NETWORK;
    move_into_thread_name_spaces(netns.as_fd(), kind).at("setns", "network namespace")?;
    links::prepare()?;
    links::filter(&[])?;
    let resolver = Resolver::open()?;
    let socket = directory.join(SOCKET);
    match rustix::fs::unlink(&socket) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno).at("unlink", &socket),
    }
    let listener = pyrt_core::channel::socket().at("socket", &socket)?;
    let address = SocketAddrUnix::new(&socket).at("bind", &socket)?;
    rustix::net::bind(&listener, &address).at("bind", &socket)?;
    rustix::net::listen(&listener, 128).at("listen", &socket)?;
    rustix::io::ioctl_fionbio(&listener, true).at("ioctl", &socket)?;
    let route = Socket::route().at("socket", "netlink")?;
    let idle_since = Instant::now();
    Ok(Supervisor {
        keeper: ready.try_clone().at("dup", "keeper")?,
        route,
        listener,
        socket,
        resolver,
        clients: Vec::new(),
        idle_since,
        _lock: lock,
    })
}

struct Supervisor {
    /// Who listens on the machine for us.
    keeper: OwnedFd,
    route: Socket,
    listener: OwnedFd,
    socket: PathBuf,
    resolver: Resolver,
    clients: Vec<Client>,
    idle_since: Instant,
    _lock: OwnedFd,
}

/// Somebody who is connected: a monitor for its container's life, or a command with a question.
struct Client {
    socket: OwnedFd,
    /// What has come before a registration.
    published: Vec<OwnedFd>,
    member: Option<Member>,
    gone: bool,
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    /// With up to three sockets that listen on the host, for a registration that follows.
    Listen,
    /// With the container's network namespace.
    Register {
        bundle: PathBuf,
        ports: Vec<Port>,
        ready: bool,
        /// It was registered with the supervisor before us.
        #[serde(default)]
        again: bool,
    },
    /// The node, which is in our network namespace, and gets it: we are there for as long as it is connected.
    Node,
    /// Whether the container that was registered wants to be connected to.
    Ready { value: bool },
    /// What is in the bundle has changed.
    Reload { bundle: PathBuf },
}

impl Supervisor {
    fn run(&mut self) -> Result<()> {
        loop {
            if self.clients.is_empty() && self.is_over() && !self.is_wanted() {
                return Ok(());
            }
            self.wait()?;
            self.accept();
            for index in 0..self.clients.len() {
                self.serve(index);
            }
            self.drop_clients();
            self.revive()?;
            if self.next_due().is_some_and(|due| due <= Instant::now()) {
                self.balance()?;
            }
            let members: Vec<Seen<'_>> = registered(&self.clients).map(Member::seen).collect();
            self.resolver.work(&|asker, question| members::lookup(&members, asker, question));
        }
    }

    /// Nobody has been there for long, or the run root is gone (the last logout).
    fn is_over(&self) -> bool {
        self.idle_since.elapsed() >= IDLE || !self.socket.exists()
    }

    /// Nobody new is let in; whether somebody came at the last moment.
    fn is_wanted(&mut self) -> bool {
        let _ = rustix::fs::unlink(&self.socket); // whoever comes now finds no supervisor, and makes another
        self.accept();
        !self.clients.is_empty()
    }

    fn wait(&self) -> Result<()> {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.listener.as_fd()];
        fds.extend(self.clients.iter().map(|client| client.socket.as_fd()));
        fds.extend(
            registered(&self.clients)
                .filter_map(|member| member.forwarder.as_ref())
                .map(AsFd::as_fd),
        );
        fds.extend(self.resolver.descriptors());
        let mut fds: Vec<PollFd<'_>> =
            fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let idle = self.clients.is_empty().then(|| Instant::now() + LOOK);
        let deadline =
            [idle, self.resolver.deadline(), self.next_due()].into_iter().flatten().min();
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).at("poll", "network"),
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            let (published, member) = (Vec::new(), None);
            self.clients.push(Client { socket, published, member, gone: false });
        }
    }

    fn serve(&mut self, index: usize) {
        loop {
            let received = match wire::receive(&self.clients[index].socket) {
                Ok(Some(received)) => received,
                Err(Errno::AGAIN) => return,
                Ok(None) | Err(_) => {
                    self.clients[index].gone = true;
                    // Who is served next may want the same ports.
                    self.clients[index].member.iter_mut().for_each(Member::withdraw);
                    return;
                }
            };
            let (frame, answer, given) = match self.answer(index, received) {
                Ok(given) => (Frame::Reply, b"{}".to_vec(), given),
                Err(error) => (Frame::Failed, serde_json::to_vec(&error).unwrap_or_default(), None),
            };
            let given: Vec<BorrowedFd<'_>> = given.iter().map(AsFd::as_fd).collect();
            // Whoever does not read its answer has gone, which is heard next.
            let _ = wire::send(&self.clients[index].socket, frame, &answer, &given);
        }
    }

    fn answer(&mut self, index: usize, mut received: Received) -> Result<Option<OwnedFd>> {
        let refusal = |message: &str| Error::new(Code::InvalidSpec, "network", "request", message);
        let request: Request = serde_json::from_slice(&received.content)
            .map_err(|error| refusal(&error.to_string()))?;
        match request {
            Request::Listen => self.clients[index].published.append(&mut received.fds),
            Request::Register { bundle, ports, ready, again } => {
                let sockets = std::mem::take(&mut self.clients[index].published);
                let netns = received.fds.pop().ok_or_else(|| refusal("without a namespace"))?;
                if sockets.len() != ports.len() {
                    return Err(refusal("as many sockets as ports are wanted"));
                }
                let both = sockets.into_iter().zip(ports);
                let mut published = both.map(|(socket, port)| Published { socket, port }).collect();
                let log = self.socket.with_file_name(PORTS_LOG);
                machine_ports::add(&self.keeper, &log, &mut published)?;
                let settles = Instant::now() + if again { SETTLING } else { Duration::ZERO };
                let member = Member::new(bundle, netns, ready, published, settles);
                self.clients[index].member = Some(member);
                self.load(index).inspect_err(|_| self.clients[index].gone = true)?;
            }
            Request::Ready { value } => {
                let member = self.clients[index].member.as_mut();
                member.ok_or_else(|| refusal("before the registration"))?.is_ready = value;
                self.balance()?;
            }
            Request::Reload { bundle } => {
                let is_meant = |client: &Client| {
                    client.member.as_ref().is_some_and(|member| member.bundle == bundle)
                };
                let index = self.clients.iter().position(is_meant).ok_or_else(|| {
                    let subject = bundle.to_string_lossy().into_owned();
                    Error::new(Code::NotFound, "network", subject, "is not registered")
                })?;
                self.load(index)?;
            }
            Request::Node => {
                return open_host(Path::new("/proc/self/ns/net"), OFlags::RDONLY).map(Some);
            }
        }
        Ok(None)
    }

    /// Makes what a member's document says, and takes away what it no longer says.
    fn load(&mut self, index: usize) -> Result<()> {
        let Some(member) = &mut self.clients[index].member else { return Ok(()) };
        let document = Document::read(&member.bundle)?;
        let wanted = document.networks;
        member.service = document.service;
        let had = std::mem::replace(&mut member.networks, wanted.clone());
        self.apply_rules()?; // before there is somebody to break them
        let Some(member) = &mut self.clients[index].member else { return Ok(()) };
        for network in &wanted {
            let bridge = links::ensure_bridge(&self.route, network)?;
            let device = device(&member.bundle, network);
            links::connect(&self.route, bridge, &device, network, &member.netns)?;
        }
        let gone: Vec<Attachment> =
            had.into_iter().filter(|old| !wanted.iter().any(|new| new == old)).collect();
        for network in &gone {
            if !wanted.iter().any(|new| new.interface == network.interface) {
                let device = device(&member.bundle, network);
                self.route.remove_link(&device).at("remove", &device)?;
            }
        }
        member.forward()?;
        self.balance()?;
        self.sweep(&gone)
    }

    /// Sees that each service hands on to whoever is ready for it now.
    fn balance(&mut self) -> Result<()> {
        let members: Vec<Seen<'_>> = registered(&self.clients).map(Member::seen).collect();
        let wanted: Vec<Option<Vec<IpAddr>>> = self
            .clients
            .iter()
            .map(|client| client.member.as_ref())
            .map(|member| member.and_then(|member| Some((member, member.service.as_ref()?))))
            .map(|found| {
                found.map(|(member, service)| {
                    balance::endpoints(service, &member.networks, &members)
                })
            })
            .collect();
        for (client, wanted) in self.clients.iter_mut().zip(wanted) {
            let (Some(member), Some(wanted)) = (&mut client.member, wanted) else { continue };
            let Some(service) = &member.service else { continue };
            if member.settles <= Instant::now() && member.endpoints.as_ref() != Some(&wanted) {
                balance::apply(&member.netns, service, &wanted)?;
                member.endpoints = Some(wanted);
            }
        }
        Ok(())
    }

    /// When a service's rules are to be written for the first time.
    fn next_due(&self) -> Option<Instant> {
        registered(&self.clients).filter_map(Member::due).min()
    }

    fn networks(&self) -> impl Iterator<Item = &Attachment> {
        registered(&self.clients).flat_map(|member| &member.networks)
    }

    fn apply_rules(&self) -> Result<()> {
        let bridges: BTreeMap<&str, bool> =
            self.networks().map(|network| (network.bridge.as_str(), network.internal)).collect();
        links::filter(&bridges.into_iter().collect::<Vec<_>>())
    }

    /// Removes the bridges of networks that nobody is in any more.
    fn sweep(&self, left: &[Attachment]) -> Result<()> {
        for network in left {
            if !self.networks().any(|other| other.bridge == network.bridge) {
                let bridge = &network.bridge;
                self.route.remove_link(bridge).at("remove", bridge)?;
            }
        }
        Ok(())
    }

    fn drop_clients(&mut self) {
        let mut left = Vec::new();
        for client in self.clients.extract_if(.., |client| client.gone) {
            let Some(mut member) = client.member else { continue };
            member.withdraw();
            for network in &member.networks {
                // The kernel takes it with the container's namespace, but later: its name is to be free now.
                let _ = self.route.remove_link(&device(&member.bundle, network));
            }
            left.extend(member.networks);
        }
        if !left.is_empty() {
            let _ = self.sweep(&left); // a bridge that stays does no harm
            let _ = self.balance(); // the next change tries again
            self.idle_since = Instant::now();
        }
    }

    /// Starts the forwarders anew that have ended: those who connect meanwhile wait at the socket.
    fn revive(&mut self) -> Result<()> {
        while let Ok(Some(_)) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        }
        for member in self.clients.iter_mut().filter_map(|client| client.member.as_mut()) {
            let Some(forwarder) = &member.forwarder else { continue };
            let mut look = [PollFd::new(forwarder, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut look, Some(&now)).is_ok_and(|count| count > 0) {
                member.forwarder = None;
                member.forward()?;
            }
        }
        Ok(())
    }
}

fn registered(clients: &[Client]) -> impl Iterator<Item = &Member> {
    clients.iter().filter_map(|client| client.member.as_ref())
}
