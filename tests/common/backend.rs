//! A server that follows a script, on threads.

use super::{Message, Peer, wait_until};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A `200` with this content.
pub fn ok(content: impl AsRef<[u8]>) -> Vec<u8> {
    reply("200 OK", "", content)
}

/// A response with a length; `lines` are further field lines, each with its CRLF.
pub fn reply(status: &str, lines: &str, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = content.len();
    let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {length}\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(content);
    bytes
}

type Script = dyn Fn(&mut Peer, &Shared) + Send + Sync;

/// What a backend has seen.
#[derive(Debug, Default)]
pub struct Shared {
    requests: Mutex<Vec<Message>>,
    probes: Mutex<Vec<Message>>,
    /// The response to probes; none: no response, for as long as the prober waits.
    health: Mutex<Option<Vec<u8>>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    concurrent: AtomicUsize,
    concurrent_max: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
}

/// A server on a port of its own. Its port stays its own while it is closed, so that connecting
/// to it is refused, whatever other tests do.
pub struct Backend {
    port: u16,
    shared: Arc<Shared>,
    script: Arc<Script>,
    listening: Option<Listening>,
    /// Holds the port while it does not listen.
    closed: Option<Socket>,
    /// Fill its queue of connections.
    waiting: Vec<TcpStream>,
}

struct Listening {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Backend {
    /// Answers each request by `answer`, on connections it keeps, unless the answer says
    /// `Connection: close`. Probes are answered `200` and not counted as requests.
    pub fn start(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Backend {
        let mut backend = Backend::closed(answer);
        backend.open();
        backend
    }

    /// [`Backend::start`], but not listening yet.
    pub fn closed(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Backend {
        Backend::new(Arc::new(move |peer: &mut Peer, shared: &Shared| {
            while let Some(request) = peer.request() {
                if request.target() == "/healthcheck" {
                    lock(&shared.probes).push(request);
                    let health = lock(&shared.health).clone();
                    match health {
                        Some(health) if peer.try_send(&health).is_ok() => continue,
                        Some(_) => return,
                        None => {
                            let _ = peer.try_rest();
                            return;
                        }
                    }
                }
                let now = shared.concurrent.fetch_add(1, SeqCst) + 1;
                shared.concurrent_max.fetch_max(now, SeqCst);
                lock(&shared.requests).push(request.clone());
                let answer = answer(&request);
                // Not counted any more before the client can see the end.
                shared.concurrent.fetch_sub(1, SeqCst);
                let head = String::from_utf8_lossy(&answer);
                let head = head.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
                if peer.try_send(&answer).is_err() || head.contains("\r\nconnection: close") {
                    return;
                }
            }
        }))
    }

    /// Answers every request with `name`.
    pub fn named(name: &'static str) -> Backend {
        Backend::start(move |_| ok(name))
    }

    /// Holds each request until the gate lets it pass, then answers with its target.
    pub fn held(gate: &Gate) -> Backend {
        let gate = gate.clone();
        Backend::start(move |request| {
            gate.pass();
            ok(request.target())
        })
    }

    /// Holds requests for `/held` until the gate lets them pass, and answers all with `content`.
    pub fn holding(gate: &Gate, content: &'static str) -> Backend {
        let gate = gate.clone();
        Backend::start(move |request| {
            if request.target() == "/held" {
                gate.pass();
            }
            ok(content)
        })
    }

    /// Holds each request until the gate lets it pass, then answers with `content`.
    pub fn gated(gate: &Gate, content: &'static str) -> Backend {
        let gate = gate.clone();
        Backend::start(move |_| {
            gate.pass();
            ok(content)
        })
    }

    /// Does with each connection what `script` does; counts only connections.
    pub fn raw(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Backend {
        let mut backend = Backend::new(Arc::new(move |peer: &mut Peer, _: &Shared| script(peer)));
        backend.open();
        backend
    }

    /// Connecting is refused.
    pub fn refusing() -> Backend {
        Backend::closed(|_| Vec::new())
    }

    /// Connecting to it is neither accepted nor refused: its queue of connections is full, so the
    /// kernel drops each SYN.
    pub fn unreachable() -> Backend {
        let mut backend = Backend::refusing();
        let socket = backend.closed.as_ref().expect("closed so far");
        socket.listen(0).expect("listening");
        backend.waiting = (0..)
            .map(|_| TcpStream::connect_timeout(&backend.address(), Duration::from_millis(200)))
            .map_while(Result::ok)
            .collect();
        backend
    }

    fn new(script: Arc<Script>) -> Backend {
        let closed = bind(0);
        let address = closed.local_addr().ok().and_then(|address| address.as_socket());
        let shared = Shared { health: Mutex::new(Some(ok(""))), ..Shared::default() };
        Backend {
            port: address.expect("a bound port").port(),
            shared: Arc::new(shared),
            script,
            listening: None,
            closed: Some(closed),
            waiting: Vec::new(),
        }
    }

    /// Begins to listen.
    pub fn open(&mut self) {
        let socket = self.closed.take().expect("closed so far");
        socket.listen(1024).expect("listening");
        let listener = TcpListener::from(socket);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shared, script) = (stop.clone(), self.shared.clone(), self.script.clone());
        let thread = std::thread::spawn(move || accept(&listener, &stopped, &shared, &script));
        self.listening = Some(Listening { stop, thread });
    }

    /// Ends every connection and refuses new ones.
    pub fn close(&mut self) {
        if self.stop_listening() {
            self.closed = Some(bind(self.port));
        }
    }

    fn stop_listening(&mut self) -> bool {
        let Some(listening) = self.listening.take() else { return false };
        listening.stop.store(true, SeqCst);
        // Wakes it from its wait.
        let _ = TcpStream::connect(self.address());
        let _ = listening.thread.join();
        for stream in lock(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        true
    }

    /// Sets the response to probes.
    pub fn set_health(&self, answer: Vec<u8>) {
        *lock(&self.shared.health) = Some(answer);
    }

    /// Leaves probes without an answer from now on.
    pub fn hang_probes(&self) {
        *lock(&self.shared.health) = None;
    }

    /// `127.0.0.1:port`, as an argument for the balancer.
    pub fn argument(&self) -> String {
        self.address().to_string()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Complete requests so far, without probes.
    pub fn requests(&self) -> Vec<Message> {
        lock(&self.shared.requests).clone()
    }

    /// The targets of the requests so far.
    pub fn targets(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.target().to_owned()).collect()
    }

    /// Waits for so many requests to have come.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Message> {
        wait_until(&format!("{count} requests at the server"), || {
            lock(&self.shared.requests).len() >= count
        });
        self.requests()
    }

    /// Probes so far.
    pub fn probes(&self) -> Vec<Message> {
        lock(&self.shared.probes).clone()
    }

    /// Waits for so many probes.
    pub fn wait_for_probes(&self, count: usize) {
        wait_until(&format!("{count} probes"), || lock(&self.shared.probes).len() >= count);
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Connections open now, as far as their scripts have noticed.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    /// Requests that are being answered.
    pub fn concurrent(&self) -> usize {
        self.shared.concurrent.load(SeqCst)
    }

    /// Most requests that were being answered at the same time.
    pub fn concurrent_max(&self) -> usize {
        self.shared.concurrent_max.load(SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

/// A server whose machine is gone: connecting is never answered. Made of a listener with a full
/// queue, for which Linux drops each SYN.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    /// The listener and the connections that fill its queue.
    _sockets: (Socket, Vec<TcpStream>),
}

impl BlackHole {
    /// One on a free port.
    pub fn new() -> BlackHole {
        let listener = bind(0);
        listener.listen(0).expect("listening");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("a bound port");
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            assert!(queue.len() < 64, "the queue is never full");
            queue.push(stream);
        }
        BlackHole { address, _sockets: (listener, queue) }
    }

    /// `127.0.0.1:port`, as an argument for the balancer.
    pub fn argument(&self) -> String {
        self.address.to_string()
    }
}

/// A socket bound to a port, or to a free one, that does not listen.
fn bind(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_reuse_address(true).expect("an address that can be used again");
    let address = SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut bound = socket.bind(&address);
    wait_until("a port to bind to", || {
        if bound.is_err() {
            bound = socket.bind(&address);
        }
        bound.is_ok()
    });
    socket
}

fn accept(listener: &TcpListener, stop: &AtomicBool, shared: &Arc<Shared>, script: &Arc<Script>) {
    for stream in listener.incoming() {
        if stop.load(SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.connections.fetch_add(1, SeqCst);
        shared.open.fetch_add(1, SeqCst);
        if let Ok(copy) = stream.try_clone() {
            lock(&shared.streams).push(copy);
        }
        let (shared, script) = (shared.clone(), script.clone());
        std::thread::spawn(move || {
            let copy = stream.try_clone();
            let mut peer = Peer::over(stream);
            script(&mut peer, &shared);
            drop(peer);
            // The copy kept for `close` would otherwise hold the connection open.
            if let Ok(copy) = copy {
                let _ = copy.shutdown(Shutdown::Both);
            }
            shared.open.fetch_sub(1, SeqCst);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Holds threads until they may pass.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<usize>, Condvar)>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Waits until one more thread may pass.
    pub fn pass(&self) {
        let (count, changed) = &*self.0;
        let deadline = super::DEADLINE;
        let (mut count, _) = changed
            .wait_timeout_while(lock(count), deadline, |count| *count == 0)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *count = count.saturating_sub(1);
    }

    /// Lets so many pass.
    pub fn let_pass(&self, more: usize) {
        let (count, changed) = &*self.0;
        *lock(count) += more;
        changed.notify_all();
    }

    /// Lets all threads pass from now on.
    pub fn open(&self) {
        self.let_pass(usize::MAX / 2);
    }
}
