//! A proxy between peers that do only what the test says, under a clock that moves only when there
//! is nothing left to do, so that each time-out can be tested on both sides of its limit.

use loadbalancer::base::address::Address;
use loadbalancer::base::table::Id;
use loadbalancer::base::time::Instant;
use loadbalancer::config::{BackendSpec, Config, TlsServer};
use loadbalancer::net::{CONTROL, Net, Now, Ready, STOP, Signal, Sink, Socket};
use loadbalancer::proxy::{Limits, ListenerSettings, Member, Proxy, Status};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Turns without a wait that nothing takes, however much there is to do.
const LOOKS_MAX: usize = 100_000;

/// Number of a connection, of a client or to a server, in the order they were made.
pub type Link = usize;

/// A connection as its peer sees it.
#[derive(Debug, Default)]
struct Line {
    id: Option<Id>,
    /// Port of the server; none for a client's.
    server: Option<u16>,
    /// Sent and not read by the proxy.
    sent: VecDeque<u8>,
    received: Vec<u8>,
    /// How many bytes more the peer takes.
    room: usize,
    /// Bytes that the peer has sent or taken.
    moved: u64,
    /// The proxy has closed it.
    closed: bool,
}

/// Who connects to the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    OwnUser,
    Stranger,
}

#[derive(Debug, Default)]
struct World {
    now: Duration,
    /// The clock does not go past this.
    until: Duration,
    rests: bool,
    stops: bool,
    /// What the listener was registered as.
    listener: Option<Id>,
    lines: Vec<Line>,
    arrived: VecDeque<Link>,
    ready: Vec<Ready>,
    /// Servers to which connecting takes for ever.
    unreachable: Vec<u16>,
    /// Bytes that servers take at first; all without it.
    first_room: Option<usize>,
    /// Servers that speak before they are asked.
    rude: Vec<u16>,
    /// How often the proxy has looked without waiting.
    looks: usize,
    /// Lines of the access log.
    logged: Vec<u8>,
    /// The record of choices.
    recorded: Vec<u8>,
    /// The access log may be handed over later.
    collects: bool,
    /// How often the proxy has waited.
    waits: usize,
    /// Connections to the control socket that wait to be accepted.
    calls: Vec<Caller>,
    /// How many of them were accepted after each wait.
    accepted_calls: BTreeMap<usize, usize>,
}

impl World {
    fn report(&mut self, link: Link) {
        let line = &self.lines[link];
        let reached = line.server.is_none_or(|port| !self.unreachable.contains(&port));
        if let Some(id) = line.id {
            let (readable, writable) = (!line.sent.is_empty(), reached && line.room > 0);
            self.ready.push(Ready { id, readable, writable, ended: false, broken: false });
        }
    }

    fn report_fixed(&mut self, id: Id) {
        self.ready.push(Ready { id, readable: true, writable: false, ended: false, broken: false });
    }
}

type Shared = Rc<RefCell<World>>;

#[derive(Debug)]
pub struct Wire {
    world: Shared,
    link: Link,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.world.borrow_mut().lines[self.link].closed = true;
    }
}

impl Socket for Wire {
    type Pipe = ();

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let sent = &mut self.world.borrow_mut().lines[self.link].sent;
        let count = sent.len().min(into.len());
        for (byte, place) in sent.drain(..count).zip(into) {
            *place = byte;
        }
        if count > 0 { Ok(count) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let line = &mut self.world.borrow_mut().lines[self.link];
        let count = line.room.min(from.len());
        line.room -= count;
        line.moved += count as u64;
        line.received.extend_from_slice(&from[..count]);
        if count > 0 { Ok(count) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn connected(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn fault(&mut self) -> Option<io::Error> {
        None
    }

    fn end_output(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn pipe() -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn read_into(&mut self, _: &mut (), _: usize) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn send_room(&self) -> usize {
        0
    }

    fn write_from(&mut self, _: &mut (), _: usize) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    fn bytes_moved(&self) -> Option<u64> {
        Some(self.world.borrow().lines[self.link].moved)
    }

    fn reset_on_drop(&mut self) {}
}

#[derive(Debug)]
pub struct Wires(Shared);

impl Net for Wires {
    type Socket = Wire;
    type Listener = ();

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.waits += 1;
        world.looks += usize::from(timeout == Some(Duration::ZERO));
        ready.append(&mut world.ready);
        if ready.is_empty() {
            let wakes = timeout.map_or(world.until, |timeout| world.now + timeout);
            world.rests = wakes >= world.until;
            world.now = wakes.min(world.until);
        }
        Ok(())
    }

    fn now(&mut self) -> Now {
        let micros = self.0.borrow().now.as_micros() as u64;
        Now { instant: Instant::from_micros(micros), unix_ms: micros / 1000 }
    }

    fn listen(&mut self, (): &mut (), id: Id) -> io::Result<()> {
        self.0.borrow_mut().listener = Some(id);
        Ok(())
    }

    fn address(&self, (): &()) -> Option<Address> {
        None
    }

    fn accept(&mut self, _: &mut ()) -> io::Result<(Wire, Option<SocketAddr>)> {
        let link = self.0.borrow_mut().arrived.pop_front().ok_or(ErrorKind::WouldBlock)?;
        Ok((Wire { world: self.0.clone(), link }, Some(SocketAddr::from(([10, 0, 0, 1], 40_000)))))
    }

    fn connect(&mut self, to: &Address, _: Option<&TlsServer>) -> io::Result<Wire> {
        let Address::Ip(to) = to else { panic!("only ports are listed") };
        let mut world = self.0.borrow_mut();
        let room = world.first_room.unwrap_or(usize::MAX);
        let mut line = Line { server: Some(to.port()), room, ..Line::default() };
        if world.rude.contains(&to.port()) {
            line.sent.extend(b"what?");
        }
        world.lines.push(line);
        Ok(Wire { world: self.0.clone(), link: world.lines.len() - 1 })
    }

    fn register(&mut self, socket: &mut Wire, id: Id) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        world.lines[socket.link].id = Some(id);
        world.report(socket.link);
        Ok(())
    }

    fn accept_control(&mut self) -> io::Result<(Wire, Option<u32>)> {
        let mut world = self.0.borrow_mut();
        let caller = world.calls.pop().ok_or(ErrorKind::WouldBlock)?;
        let waits = world.waits;
        *world.accepted_calls.entry(waits).or_default() += 1;
        match caller {
            Caller::Stranger => Err(ErrorKind::PermissionDenied.into()),
            Caller::OwnUser => {
                world.lines.push(Line::default());
                Ok((Wire { world: self.0.clone(), link: world.lines.len() - 1 }, None))
            }
        }
    }

    fn signals(&mut self) -> Vec<Signal> {
        let stops = std::mem::take(&mut self.0.borrow_mut().stops);
        vec![Signal::Stop; usize::from(stops)]
    }

    fn is_watched(&self, _: Sink) -> bool {
        !self.0.borrow().collects
    }

    fn log(&mut self, sink: Sink, lines: &[u8]) -> io::Result<usize> {
        let mut world = self.0.borrow_mut();
        match sink {
            Sink::Access => world.logged.extend_from_slice(lines),
            Sink::Record => world.recorded.extend_from_slice(lines),
            Sink::Events => {}
        }
        Ok(lines.len())
    }
}

/// The servers of ports of this machine.
fn members(backends: &[BackendSpec]) -> Vec<Member> {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port)).into();
    let member = |spec: &BackendSpec| Member {
        spec: spec.clone(),
        addresses: spec.endpoint.port().map(at).into_iter().collect(),
    };
    backends.iter().map(member).collect()
}

/// The proxy and its peers.
pub struct Stage {
    world: Shared,
    proxy: Proxy<Wires>,
    pub ended: bool,
}

impl Stage {
    /// A proxy over the backends of `config`, with so many slots.
    pub fn new(config: Config, pairs_max: usize) -> Stage {
        Stage::with_places(config, pairs_max, 1_000)
    }

    /// The same, with so many places for clients.
    pub fn with_places(config: Config, pairs_max: usize, clients_max: usize) -> Stage {
        let world = Shared::default();
        let members = members(&config.backends);
        let limits = Limits {
            pairs_max,
            tunnels_max: pairs_max,
            clients_max,
            pipes_max: 0,
            trim_bytes: 1 << 20,
        };
        let net = Wires(world.clone());
        let settings = ListenerSettings::plain(config.mode.into());
        let mut proxy = Proxy::new(net, config, members, limits, HashMap::new(), 1);
        proxy.listen((), settings).expect("listening");
        Stage { world, proxy, ended: false }
    }

    /// Makes these the backends from here on.
    pub fn list(&mut self, backends: &[BackendSpec]) {
        self.proxy.apply(&members(backends), &[]);
        self.pass(Duration::ZERO);
    }

    /// Advances the clock; everything that is due happens.
    pub fn pass(&mut self, span: Duration) {
        self.world.borrow_mut().until += span;
        self.world.borrow_mut().rests = false;
        let looks = self.looks();
        while !self.ended && !self.world.borrow().rests {
            self.turn();
            assert!(self.looks() - looks < LOOKS_MAX, "the loop turns without waiting");
        }
    }

    /// One turn of the loop.
    pub fn turn(&mut self) {
        self.ended = self.proxy.turn().expect("waiting works") == Status::Ended;
        self.proxy.check_invariants();
    }

    /// There is a control socket from here on.
    pub fn listen_control(&mut self) {
        self.proxy.listen_control();
    }

    /// So many connections to the control socket wait from here on.
    pub fn call(&mut self, caller: Caller, count: usize) {
        let mut world = self.world.borrow_mut();
        world.calls.extend(std::iter::repeat_n(caller, count));
        world.report_fixed(CONTROL);
    }

    /// How many of them wait.
    pub fn calls_left(&self) -> usize {
        self.world.borrow().calls.len()
    }

    /// How many were accepted in each turn that has accepted any.
    pub fn accepted_calls(&self) -> Vec<usize> {
        self.world.borrow().accepted_calls.values().copied().collect()
    }

    /// A client sends something at the moment another one connects, which is returned.
    pub fn say_and_connect(&mut self, link: Link, bytes: impl AsRef<[u8]>) -> Link {
        self.world.borrow_mut().lines[link].sent.extend(bytes.as_ref());
        self.world.borrow_mut().report(link);
        self.client()
    }

    /// A client connects.
    pub fn client(&mut self) -> Link {
        let mut world = self.world.borrow_mut();
        let link = world.lines.len();
        world.lines.push(Line { room: usize::MAX, ..Line::default() });
        world.arrived.push_back(link);
        let listener = world.listener.expect("the proxy listens");
        world.report_fixed(listener);
        drop(world);
        self.pass(Duration::ZERO);
        link
    }

    /// A peer sends something.
    pub fn say(&mut self, link: Link, bytes: impl AsRef<[u8]>) {
        self.begin_to_say(link, bytes);
        self.pass(Duration::ZERO);
    }

    /// The same, before the next turn.
    pub fn begin_to_say(&mut self, link: Link, bytes: impl AsRef<[u8]>) {
        let mut world = self.world.borrow_mut();
        world.lines[link].sent.extend(bytes.as_ref());
        world.lines[link].moved += bytes.as_ref().len() as u64;
        world.report(link);
    }

    /// A peer takes so many bytes from now on.
    pub fn take(&mut self, link: Link, room: usize) {
        let mut world = self.world.borrow_mut();
        world.lines[link].room = room;
        world.report(link);
        drop(world);
        self.pass(Duration::ZERO);
    }

    /// A signal stops the program.
    pub fn stop(&mut self) {
        let mut world = self.world.borrow_mut();
        world.stops = true;
        world.report_fixed(STOP);
        drop(world);
        self.pass(Duration::ZERO);
    }

    /// Connecting to the server of this port takes for ever.
    pub fn is_unreachable(&mut self, port: u16) {
        self.world.borrow_mut().unreachable.push(port);
    }

    /// Connecting to any server works from here on.
    pub fn all_are_reachable(&mut self) {
        self.world.borrow_mut().unreachable.clear();
    }

    /// The servers of these ports, and no others, speak before they are asked: they fail every request.
    pub fn are_rude(&mut self, ports: &[u16]) {
        self.world.borrow_mut().rude = ports.to_vec();
    }

    /// Servers take only so many bytes of what is sent to them first.
    pub fn servers_take(&mut self, room: usize) {
        self.world.borrow_mut().first_room = Some(room);
    }

    /// How often the proxy has looked without waiting, as there was more to do.
    pub fn looks(&self) -> usize {
        self.world.borrow().looks
    }

    /// What a peer has received, as text.
    pub fn received(&self, link: Link) -> String {
        String::from_utf8_lossy(&self.world.borrow().lines[link].received).into_owned()
    }

    /// The same, since this was called last.
    pub fn received_since(&mut self, link: Link) -> String {
        let received = std::mem::take(&mut self.world.borrow_mut().lines[link].received);
        String::from_utf8_lossy(&received).into_owned()
    }

    /// The access log's last line.
    pub fn logged(&self) -> String {
        let logged = String::from_utf8_lossy(&self.world.borrow().logged).into_owned();
        logged.lines().last().unwrap_or_default().to_owned()
    }

    /// The record of choices so far.
    pub fn recorded(&self) -> Vec<u8> {
        self.world.borrow().recorded.clone()
    }

    /// From here on nobody watches the access log: it may be handed over later.
    pub fn unwatch_log(&mut self) {
        self.world.borrow_mut().collects = true;
    }

    /// How many bytes of the access log were handed over.
    pub fn logged_bytes(&self) -> usize {
        self.world.borrow().logged.len()
    }

    /// How often the proxy has waited.
    pub fn waits(&self) -> usize {
        self.world.borrow().waits
    }

    /// Whether the proxy has closed a connection.
    pub fn is_closed(&self, link: Link) -> bool {
        self.world.borrow().lines[link].closed
    }

    /// The connections to the server of this port.
    pub fn connections(&self, port: u16) -> Vec<Link> {
        let world = self.world.borrow();
        let numbered = world.lines.iter().enumerate();
        numbered.filter(|(_, line)| line.server == Some(port)).map(|(link, _)| link).collect()
    }
}
