//! A running balancer and its address.

use super::{Backend, Gate, Message, Peer, Running, TempDir};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::process::Command;

/// The binary, balancing on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Balancer {
    process: Running,
    address: SocketAddr,
    /// The line it printed when it began to listen, without the time.
    pub start_line: String,
}

/// A balancer whose only server takes one request at a time and holds it, and requests that wait.
pub struct AtMax {
    pub balancer: Balancer,
    pub backend: Backend,
    pub gate: Gate,
    /// One more than wait.
    pub clients: Vec<Peer>,
    _directory: TempDir,
}

impl AtMax {
    /// One with `--admin`, at which so many requests wait.
    pub fn with_waiting(count: usize) -> AtMax {
        let (gate, directory) = (Gate::new(), TempDir::new());
        let backend = Backend::held(&gate);
        let list = directory.file("servers", format!("{} max=1\n", backend.argument()));
        let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--admin", "0"]);
        let clients = (0..=count).map(|_| balancer.ask("/held")).collect();
        AtMax { balancer, backend, gate, clients, _directory: directory }
    }
}

impl Balancer {
    /// Balances over `backends`, without probes, so that servers see requests only.
    pub fn over(backends: &[&Backend], options: &[&str]) -> Balancer {
        Balancer::probing(backends, &[&["--health", "off"], options].concat())
    }

    /// Balances over `backends`, with probes as the options say.
    pub fn probing(backends: &[&Backend], options: &[&str]) -> Balancer {
        let names: Vec<String> = backends.iter().map(|backend| backend.argument()).collect();
        let mut arguments = vec!["127.0.0.1:0"];
        arguments.extend(names.iter().map(String::as_str));
        arguments.extend(options);
        Balancer::start(&arguments)
    }

    /// Starts with exactly these arguments and waits until it listens.
    pub fn start(arguments: &[&str]) -> Balancer {
        Balancer::of(Running::loadbalancer(arguments))
    }

    /// One with these options that may have so many descriptors.
    pub fn limited(files: usize, options: &[&str]) -> Balancer {
        let program = env!("CARGO_BIN_EXE_loadbalancer");
        let line = format!("ulimit -n {files}; exec \"$0\" 127.0.0.1:0 \"$@\"");
        let mut command = Command::new("sh");
        Balancer::of(Running::start(command.args(["-c", &line, program]).args(options)))
    }

    /// Waits until a started process listens.
    pub fn of(process: Running) -> Balancer {
        let line = process.stderr.wait_for("listening on ");
        let address = address(&line);
        let start_line = without_time(&line).to_owned();
        Balancer { process, address, start_line }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection to it.
    pub fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// A new connection to it, with a `GET` sent.
    pub fn ask(&self, target: &str) -> Peer {
        let mut client = self.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client
    }

    /// A `GET` on a connection of its own.
    pub fn get(&self, target: &str) -> Message {
        self.exchange(format!(
            "GET {target} HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n"
        ))
    }

    /// The first response to these bytes on a connection of their own.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> Message {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    /// Sends SIGTERM, waits for the end, and fails unless it was a success.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.stderr.whole());
    }
}

/// A balancer with one request in flight: its server has it and holds it until the gate is open.
pub struct InFlight {
    pub balancer: Balancer,
    /// Answers with the target of a request.
    pub backend: Backend,
    pub gate: Gate,
    /// The client of the request, whose target is `/held`.
    pub client: Peer,
}

impl InFlight {
    pub fn new(options: &[&str]) -> InFlight {
        let gate = Gate::new();
        let backend = Backend::held(&gate);
        let balancer = Balancer::over(&[&backend], options);
        let client = balancer.ask("/held");
        backend.wait_for_requests(1);
        InFlight { balancer, backend, gate, client }
    }

    /// Sends SIGTERM and waits until the balancer drains.
    pub fn drain(&self) {
        self.balancer.signal("TERM");
        self.balancer.stderr.wait_for("stopping: ");
    }

    /// Lets the request pass; its client gets the whole response.
    pub fn finish(&mut self) -> Message {
        self.gate.open();
        let response = self.client.response();
        assert_eq!(response.text(), "/held");
        response
    }
}

impl Deref for Balancer {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.process
    }
}

impl DerefMut for Balancer {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.process
    }
}

/// An event line without its time, which it has where standard error is no terminal.
pub fn without_time(line: &str) -> &str {
    line.find("loadbalancer: ").map_or(line, |start| &line[start..])
}

/// `… listening on http://127.0.0.1:41234, …` or `… http://localhost:41234 (all interfaces), …`
fn address(line: &str) -> SocketAddr {
    let (_, url) = line.split_once("://").unwrap_or_else(|| panic!("no address in {line:?}"));
    let end = url.find([',', ' ']).unwrap_or(url.len());
    let text = &url[..end];
    match text.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse().unwrap_or_else(|_| panic!("no port in {line:?}"));
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        }
        None => text.parse().unwrap_or_else(|_| panic!("no address in {line:?}")),
    }
}
