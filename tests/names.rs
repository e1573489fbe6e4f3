//! Names whose addresses change while the program runs. The name is in an `/etc/hosts` of its own,
//! which needs the right to mount; without that the tests are skipped.

mod common;

use common::{Balancer, Gate, Peer, Running, TempDir, ok, wait_until};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Runs the rest of the command line with `$0/hosts` as its hosts and no DNS server.
const PRIVATELY: &str = "mount --bind \"$0/hosts\" /etc/hosts && \
                         mount --bind \"$0/resolv.conf\" /etc/resolv.conf && exec \"$@\"";

/// The options of unshare(1) with which files can be mounted here; none if they cannot.
fn namespace() -> Option<&'static str> {
    let can = |options: &&str| {
        let mut command = Command::new("unshare");
        command.args([options, "sh", "-c", "mount --bind /etc/hosts /etc/hosts"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ["-m", "-rm"].into_iter().find(can);
    if found.is_none() {
        println!("skipped: no file can be mounted here");
    }
    found
}

/// Listeners on one port of several loopback addresses.
fn listeners() -> (u16, Vec<Option<TcpListener>>) {
    let at = |number: u8, port: u16| TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), port));
    loop {
        let first = at(1, 0).expect("a free port");
        let port = first.local_addr().expect("bound").port();
        // It may be taken there.
        let others: Result<Vec<_>, _> = (2..=5).map(|number| at(number, port)).collect();
        if let Ok(others) = others {
            return (port, std::iter::once(first).chain(others).map(Some).collect());
        }
    }
}

/// Servers on one port of several loopback addresses, and the names they have.
struct Network {
    namespace: &'static str,
    directory: TempDir,
    port: u16,
    /// Of 127.0.0.1 and those after it.
    listeners: Vec<Option<TcpListener>>,
    /// Requests that came to a gate.
    held: Arc<AtomicUsize>,
    /// Connections to any server.
    open: Arc<AtomicUsize>,
}

impl Network {
    /// None where names cannot be made.
    fn new() -> Option<Network> {
        let namespace = namespace()?;
        let directory = TempDir::new();
        directory.file("resolv.conf", "");
        let (port, listeners) = listeners();
        Some(Network {
            namespace,
            directory,
            port,
            listeners,
            held: Arc::default(),
            open: Arc::default(),
        })
    }

    /// The name `web.test` stands for 127.0.0.N.
    fn set(&self, numbers: &[u8]) {
        let line = |number: &u8| format!("127.0.0.{number} web.test\n");
        // In one write, as the file that is mounted must stay the same.
        self.directory.file("hosts", numbers.iter().map(line).collect::<String>());
    }

    /// A server on 127.0.0.N that answers with N, after it has passed the gate.
    fn serve(&mut self, number: u8, gate: Option<Gate>) {
        let listener = self.listeners[usize::from(number) - 1].take().expect("one server each");
        let (held, open) = (Arc::clone(&self.held), Arc::clone(&self.open));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, gate) = (stream.expect("a connection"), gate.clone());
                let (held, open) = (Arc::clone(&held), Arc::clone(&open));
                open.fetch_add(1, SeqCst);
                std::thread::spawn(move || {
                    let mut writer = stream.try_clone().expect("a copy");
                    let mut peer = Peer::over(stream);
                    while let Some(request) = peer.request() {
                        if let Some(gate) = gate.as_ref().filter(|_| request.target() == "/held") {
                            held.fetch_add(1, SeqCst);
                            gate.pass();
                        }
                        if writer.write_all(&ok(number.to_string())).is_err() {
                            break;
                        }
                    }
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
    }

    fn start(&self, arguments: &[&str]) -> Balancer {
        let mut command = Command::new("unshare");
        command.args([self.namespace, "sh", "-c", PRIVATELY]).arg(self.directory.path());
        command.arg(env!("CARGO_BIN_EXE_loadbalancer")).arg("127.0.0.1:0").args(arguments);
        Balancer::of(Running::start(&mut command))
    }

    fn name(&self) -> String {
        format!("web.test:{}", self.port)
    }

    /// A balancer over the name alone, which it looks up often.
    fn balance(&self) -> Balancer {
        self.start(&[&self.name(), "--resolve-interval", "100ms", "--health", "off"])
    }

    /// The same with the name in a list, with these words.
    fn balance_list(&self, words: &str, options: &[&str]) -> Balancer {
        let list = self.directory.file("list", format!("{} {words}\n", self.name()));
        let fixed = ["-f", &list, "--resolve-interval", "100ms", "--health", "off"];
        self.start(&[&fixed[..], options].concat())
    }
}

#[test]
fn a_name_that_moves_is_followed_and_no_request_is_lost() {
    let Some(mut network) = Network::new() else { return };
    [1, 2].into_iter().for_each(|number| network.serve(number, None));
    network.set(&[1]);
    let balancer = network.balance();
    let address = balancer.address();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = || {
            let mut client = Peer::connect(address);
            let mut count = 0;
            while !done.load(SeqCst) {
                let answer = client.get("/");
                assert_eq!(answer.status(), 200);
                count += 1;
            }
            count
        };
        let loads = [scope.spawn(load), scope.spawn(load)];
        for number in [2, 1, 2] {
            network.set(&[number]);
            balancer.stderr.wait_for(&format!("web.test is now 127.0.0.{number}, was"));
            wait_until("the new address answers", || {
                balancer.get("/").text() == number.to_string()
            });
            // What it has left is not used any more.
            assert!((0..5).all(|_| balancer.get("/").text() == number.to_string()));
        }
        done.store(true, SeqCst);
        assert!(loads.into_iter().all(|load| load.join().expect("no request was lost") > 0));
    });
}

#[test]
fn a_request_at_an_address_that_vanishes_is_finished() {
    let Some(mut network) = Network::new() else { return };
    let gate = Gate::new();
    network.serve(1, Some(gate.clone()));
    network.serve(2, None);
    for (words, count) in [("", 1), ("each", 2)] {
        network.set(&[1]);
        let balancer = network.balance_list(words, &[]);
        let mut held = balancer.ask("/held");
        wait_until("the request has come", || network.held.load(SeqCst) == count);
        network.set(&[2]);
        balancer.stderr.wait_for("web.test is now 127.0.0.2, was 127.0.0.1");
        wait_until("the new address answers", || balancer.get("/").text() == "2");
        gate.let_pass(1);
        assert_eq!(held.response().text(), "1", "{words}");
    }
}

#[test]
fn idle_connections_to_an_address_that_vanishes_are_closed() {
    let Some(mut network) = Network::new() else { return };
    network.serve(1, None);
    network.set(&[1]);
    let options = ["--resolve-interval", "100ms", "--health", "off", "--pool-timeout", "1h"];
    let balancer = network.start(&[&[network.name().as_str()], &options[..]].concat());
    assert_eq!(balancer.get("/").text(), "1");
    assert_eq!(network.open.load(SeqCst), 1, "it is kept for the next request");
    network.set(&[2]);
    balancer.stderr.wait_for("web.test is now 127.0.0.2, was 127.0.0.1");
    wait_until("its end", || network.open.load(SeqCst) == 0);
}

#[test]
fn a_lookup_that_fails_keeps_the_addresses() {
    let Some(mut network) = Network::new() else { return };
    [1, 2].into_iter().for_each(|number| network.serve(number, None));
    network.set(&[1]);
    let balancer = network.balance();
    assert_eq!(balancer.get("/").text(), "1");
    network.set(&[]);
    let line = balancer.stderr.wait_for("; it is looked up again");
    assert!(line.contains(&network.name()), "{line}");
    assert_eq!(balancer.get("/").text(), "1");
    network.set(&[2]);
    wait_until("the new address answers", || balancer.get("/").text() == "2");
    // Said once, however often it failed.
    assert_eq!(balancer.stderr.with("; it is looked up again").len(), 1);
}

#[test]
fn sighup_looks_names_up_at_once() {
    let Some(mut network) = Network::new() else { return };
    [1, 2].into_iter().for_each(|number| network.serve(number, None));
    network.set(&[1]);
    let balancer = network.start(&[&network.name(), "--health", "off"]);
    assert_eq!(balancer.get("/").text(), "1");
    network.set(&[2]);
    balancer.signal("HUP");
    balancer.stderr.wait_for("SIGHUP: names are looked up again");
    wait_until("the new address answers", || balancer.get("/").text() == "2");
}

#[test]
fn each_address_is_a_backend_and_they_come_and_go() {
    let Some(mut network) = Network::new() else { return };
    (1..=5).for_each(|number| network.serve(number, None));
    network.set(&[1, 2, 3]);
    come_and_go(&network, &network.balance_list("each", &["--admin", "127.0.0.1:0"]));
    network.set(&[1, 2, 3]);
    let each = format!("{} each", network.name());
    let options = ["--resolve-interval", "100ms", "--health", "off", "--admin", "127.0.0.1:0"];
    come_and_go(&network, &network.start(&[&[each.as_str()], &options[..]].concat()));
}

/// Three addresses of the name become five, then two.
fn come_and_go(network: &Network, balancer: &Balancer) {
    let port = network.port;
    let expected = format!(
        "3 backends: 127.0.0.1:{port} (web.test) 127.0.0.2:{port} (web.test) \
         127.0.0.3:{port} (web.test)"
    );
    assert!(balancer.start_line.ends_with(&expected), "{}", balancer.start_line);
    let round = |count: usize| {
        let mut answers: Vec<String> = (0..count).map(|_| balancer.get("/").text()).collect();
        answers.sort();
        answers
    };
    assert_eq!(round(3), ["1", "2", "3"]);
    network.set(&[1, 2, 3, 4, 5]);
    for number in [4, 5] {
        balancer.stderr.wait_for(&format!("added 127.0.0.{number}:{port} (web.test)"));
    }
    assert_eq!(round(5), ["1", "2", "3", "4", "5"]);
    network.set(&[5, 2]);
    for number in [1, 3, 4] {
        balancer.stderr.wait_for(&format!("removed 127.0.0.{number}:{port} (web.test)"));
    }
    assert_eq!(round(2), ["2", "5"]);
    let label = format!("loadbalancer_backend_up{{backend=\"127.0.0.5:{port} (web.test)\"}} 1\n");
    assert!(balancer.ask_admin("/metrics").text().contains(&label));
}

#[test]
fn another_order_of_the_addresses_changes_nothing() {
    let Some(mut network) = Network::new() else { return };
    (1..=3).for_each(|number| network.serve(number, None));
    network.set(&[1, 2, 3]);
    let balancer = network.balance_list("each", &[]);
    network.set(&[3, 1, 2]);
    balancer.signal("HUP");
    balancer.stderr.wait_for("was read again: nothing has changed, 3 backends");
    assert_eq!(balancer.stderr.with("is now"), Vec::<String>::new());
    assert_eq!(balancer.stderr.with("backends reloaded"), Vec::<String>::new());
}

#[test]
fn without_a_name_the_program_does_not_wake() {
    let backend = common::Backend::named("a");
    let options = ["--resolve-interval", "100ms"];
    let balancer = Balancer::over(&[&backend], &options);
    balancer.comes_to_rest(Duration::from_millis(300));
    let before = balancer.wake_ups();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(balancer.wake_ups(), before);
}
