//! A proxy in the process of the test, and what its thread allocates.

use super::{Backend, TempDir};
#[cfg(feature = "tls")]
use loadbalancer::config::CertificateFile;
use loadbalancer::config::{BackendSpec, Config};
use loadbalancer::health::Check;
use loadbalancer::net::kernel::Kernel;
use loadbalancer::net::listen::{Sharing, TcpPlace, listen};
#[cfg(feature = "tls")]
use loadbalancer::net::tls::{Acceptor, Carries, Certificates, SelfSigned};
use loadbalancer::proxy::{Limits, ListenerSettings, Member, Proxy, Service};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;

thread_local! {
    /// Made without allocating and never dropped, as the allocator itself counts here.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Bytes allocated on this thread less those freed on it.
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

/// How often this thread has allocated.
pub fn allocations_so_far() -> usize {
    ALLOCATIONS.get()
}

/// Bytes that this thread has allocated and not freed.
pub fn bytes_in_use() -> isize {
    BYTES.get()
}

fn count(added: usize, removed: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + usize::from(added > 0));
    BYTES.set(BYTES.get() + added as isize - removed as isize);
}

/// The system's allocator with a count per thread.
pub struct Counting;

#[allow(unsafe_code)]
// SAFETY: every call is passed unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are those of `System`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are those of `System`.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: see above.
        unsafe { System.realloc(memory, layout, size) }
    }

    // SAFETY: the caller's promises are those of `System`.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: see above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Room for a hundred clients, and the trims of the program.
pub fn limits() -> Limits {
    Limits { pairs_max: 100, tunnels_max: 100, clients_max: 100, pipes_max: 0, trim_bytes: 1 << 20 }
}

/// A free port of this machine.
pub fn loopback() -> TcpPlace {
    TcpPlace::Addresses(vec![([127, 0, 0, 1], 0).into()])
}

/// A proxy of this process on a free port, over a backend that is named so many times.
pub fn proxy(
    backend: &Backend,
    names: usize,
    limits: Limits,
    set: impl FnOnce(&mut Config),
) -> (Proxy<Kernel>, SocketAddr) {
    let spec = BackendSpec::new(backend.address());
    proxy_over(spec, backend.address(), names, limits, set)
}

/// The same over a server as it is configured, at this address.
pub fn proxy_over(
    spec: BackendSpec,
    at: SocketAddr,
    names: usize,
    limits: Limits,
    set: impl FnOnce(&mut Config),
) -> (Proxy<Kernel>, SocketAddr) {
    let listener = listen(&loopback(), Sharing::Alone).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let member = Member { spec: spec.clone(), addresses: vec![at.into()] };
    let members = vec![member; names];
    let mut config = Config::new(address, vec![spec; names]);
    config.health.check = Check::Off;
    set(&mut config);
    let kernel = Kernel::new().expect("a poll");
    let settings = ListenerSettings::plain(config.mode.into());
    let mut proxy = Proxy::new(kernel, config, members, limits, HashMap::new(), 1);
    proxy.listen(listener, settings).expect("listening");
    (proxy, address)
}

/// For connections of clients in TLS, with this certificate.
#[cfg(feature = "tls")]
pub fn acceptor(made: &SelfSigned) -> Acceptor {
    let directory = TempDir::new();
    let chain = directory.file("both.pem", format!("{}{}", made.certificate, made.key)).into();
    let read = Certificates::read(&[CertificateFile { chain, key: None }], None).expect("files");
    Acceptor::new(read.certificates, Carries::Http).expect("random bytes")
}

/// Where `proxy` serves clients in TLS, with this certificate, from here on.
#[cfg(feature = "tls")]
pub fn add_tls(proxy: &mut Proxy<Kernel>, made: &SelfSigned) -> SocketAddr {
    proxy.net_mut().secure_with(acceptor(made));
    let listener = listen(&loopback(), Sharing::Alone).expect("a free port");
    let address = listener.local_addr().expect("bound");
    proxy.listen(listener, ListenerSettings::tls(Service::Http)).expect("listening");
    address
}

/// Where `proxy` answers requests about itself from here on.
pub fn add_admin(proxy: &mut Proxy<Kernel>) -> SocketAddr {
    let listener = listen(&loopback(), Sharing::Alone).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let settings = ListenerSettings::plain(Service::Admin);
    proxy.listen(listener, settings).expect("listening");
    address
}
