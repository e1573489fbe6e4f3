//! Several listeners of one loop, each with settings of its own.

mod common;

use common::in_process::loopback;
use common::{Backend, Peer, ok};
use loadbalancer::config::{BackendSpec, Config, Mode};
use loadbalancer::health::Check;
use loadbalancer::net::kernel::Kernel;
use loadbalancer::net::listen::{Sharing, listen};
use loadbalancer::proxy::{Limits, ListenerSettings, Member, Proxy, Scheme};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Runs a loop with a listener for each of the settings while `clients` talks to them.
fn with_listeners<const COUNT: usize>(
    backend: &Backend,
    settings: [(Scheme, Mode); COUNT],
    clients: impl FnOnce([SocketAddr; COUNT]) + Send,
) {
    let spec = BackendSpec::new(backend.address());
    let members = vec![Member { spec: spec.clone(), addresses: vec![backend.address().into()] }];
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), vec![spec]);
    config.health.check = Check::Off;
    let kernel = Kernel::new().expect("a poll");
    let waker = kernel.waker();
    let limits = Limits {
        pairs_max: 10,
        tunnels_max: 10,
        clients_max: 10,
        pipes_max: 0,
        trim_bytes: 1 << 20,
    };
    let mut proxy = Proxy::new(kernel, config, members, limits, HashMap::new(), 1);
    let addresses = settings.map(|(scheme, service)| {
        let listener = listen(&loopback(), Sharing::Alone).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let settings = ListenerSettings { scheme, ..ListenerSettings::plain(service.into()) };
        proxy.listen(listener, settings).expect("listening");
        address
    });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        let clients = scope.spawn(move || {
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| clients(addresses)));
            done.store(true, SeqCst);
            waker.wake().expect("waking the loop");
            outcome
        });
        while !done.load(SeqCst) {
            proxy.turn().expect("waiting works");
        }
        if let Err(panic) = clients.join().expect("the panic was caught") {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn each_listener_has_its_own_service_and_scheme() {
    let backend = Backend::start(|_| ok("here"));
    let settings =
        [(Scheme::Http, Mode::Http), (Scheme::Https, Mode::Http), (Scheme::Http, Mode::Redirect)];
    with_listeners(&backend, settings, |[plain, secured, redirecting]| {
        for (address, status) in [(plain, 200), (secured, 200), (redirecting, 301), (plain, 200)] {
            assert_eq!(Peer::connect(address).get("/").status(), status, "{address}");
        }
    });
    let heads = backend.requests();
    let schemes: Vec<_> = heads.iter().map(|head| head.field("x-forwarded-proto")).collect();
    assert_eq!(schemes, ["http", "https", "http"].map(Some));
}

#[test]
fn a_session_and_a_request_share_the_loop() {
    let backend = Backend::start(|_| ok("here"));
    let settings = [(Scheme::Http, Mode::Tcp), (Scheme::Http, Mode::Http)];
    with_listeners(&backend, settings, |[session, http]| {
        let mut direct = Peer::connect(session);
        // Nothing is sent yet: a session is joined to its server without a head.
        assert_eq!(Peer::connect(http).get("/").status(), 200);
        assert_eq!(direct.get("/").status(), 200);
    });
    let via: Vec<_> = backend.requests().iter().map(|head| head.field("via").is_some()).collect();
    assert_eq!(via, [true, false], "bytes of a session pass as they are");
}
