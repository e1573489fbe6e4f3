//! Backends that are this program itself: a loop, each round of which would take two descriptors.

mod common;

use common::{Backend, Balancer, TempDir, run, wait_until};
use loadbalancer::net::interfaces;
use std::net::IpAddr;

/// An address of this machine beside loopback; none where there is no network.
fn interface() -> Option<IpAddr> {
    let addresses = interfaces::addresses().expect("addresses of this machine");
    addresses.into_iter().find(|ip| ip.is_ipv4() && !ip.is_loopback())
}

/// A name of an address that only the system's resolver understands: its number in hexadecimal.
fn name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("0x{:08x}", u32::from(ip)),
        IpAddr::V6(ip) => panic!("{ip} has no such name"),
    }
}

fn loopback() -> IpAddr {
    [127, 0, 0, 1].into()
}

#[test]
fn on_the_command_line_own_addresses_are_refused_with_status_2() {
    // Holds a port that nothing listens on.
    let held = Backend::refusing();
    let port = held.port();
    let (all, loopback_only) = (port.to_string(), format!("127.0.0.1:{port}"));
    let mut table = vec![
        ("loopback", loopback_only.clone(), format!("localhost:{port}")),
        ("a name", loopback_only, format!("{}:{port}", name(loopback()))),
        ("a name, all interfaces", all.clone(), format!("{}:{port}", name(loopback()))),
    ];
    if let Some(ip) = interface() {
        table.push(("an interface", all.clone(), format!("{ip}:{port}")));
        table.push(("an interface, IPv4 only", format!("0.0.0.0:{port}"), format!("{ip}:{port}")));
        table.push(("the name of an interface", all, format!("{}:{port}", name(ip))));
    }
    for mode in ["tcp", "http", "redirect"] {
        for (what, listen, backend) in &table {
            let finished = run(&["-p", listen, "-b", backend, "-m", mode]);
            assert_eq!(finished.code, Some(2), "{what}, {mode}: {}", finished.stderr);
            let line = format!("the backend `{backend}` is the balancer itself");
            assert!(finished.stderr.contains(&line), "{what}, {mode}: {}", finished.stderr);
        }
    }
}

#[test]
fn the_admin_address_is_no_backend_either() {
    let held = Backend::refusing();
    let (at, other) = (held.argument(), Backend::named("a"));
    let backend = format!("{}:{}", name(loopback()), held.port());
    let finished = run(&["127.0.0.1:0", &other.argument(), &backend, "--admin", &at]);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let line = format!("the backend `{backend}` is the balancer itself, which listens on {at}");
    assert!(finished.stderr.contains(&line), "{}", finished.stderr);
}

#[test]
fn lines_of_own_addresses_are_skipped_at_the_start() {
    let (held, admin) = (Backend::refusing(), Backend::refusing());
    let (port, other) = (held.port(), Backend::named("a"));
    let mut own = vec![
        format!("127.0.0.1:{port}"),
        format!("{}:{port} weight=9", name(loopback())),
        admin.argument(),
    ];
    own.extend(interface().map(|ip| format!("{ip}:{port}")));
    own.extend(interface().map(|ip| format!("{}:{port}", name(ip))));
    let directory = TempDir::new();
    let list = directory.file("servers", own.join("\n") + "\n" + &other.argument());
    let options = ["-f", &list, "--admin", &admin.argument(), "--health", "off"];
    for mode in ["tcp", "http"] {
        let listen = format!("0.0.0.0:{port}");
        let arguments = [&["-p", &listen, "-m", mode], &options[..]].concat();
        let balancer = Balancer::start(&arguments);
        assert!(balancer.start_line.contains("1 backend: "), "{}", balancer.start_line);
        for (index, line) in own.iter().enumerate() {
            let server = line.split(' ').next().expect("a word");
            let start = format!("{list}:{}: {server}: the balancer itself listens on ", index + 1);
            balancer.stderr.wait_for(&start);
        }
        for _ in 0..2 * own.len() {
            assert_eq!(balancer.get("/").text(), "a");
        }
        balancer.stop();
    }
}

#[test]
fn a_line_that_is_added_later_is_skipped_and_the_others_are_used() {
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let list = directory.file("servers", first.argument());
    let options = ["127.0.0.1:0", "-f", &list, "--admin", "127.0.0.1:0", "-m", "tcp"];
    let balancer = Balancer::start(&[&options[..], &["--health", "off"]].concat());
    let admin = balancer.admin();
    let own = balancer.address();
    let named = format!("{}:{}", name(loopback()), own.port());
    directory.file("servers", format!("{own}\n{admin}\n{named}\n{}\n", second.argument()));
    balancer.signal("HUP");
    for (number, server) in [(1, own.to_string()), (2, admin.to_string()), (3, named)] {
        balancer
            .stderr
            .wait_for(&format!("{list}:{number}: {server}: the balancer itself listens"));
    }
    wait_until("the second server", || balancer.get("/").text() == "b");
    for _ in 0..6 {
        assert_eq!(balancer.get("/").text(), "b");
    }
}

#[test]
fn of_several_addresses_only_the_own_one_is_left_out() {
    let backend = Backend::named("a");
    let port = backend.port();
    let directory = TempDir::new();
    // A bare port is tried on 127.0.0.1 and on ::1.
    let list = directory.file("servers", port.to_string());
    if std::net::TcpListener::bind(("::1", port)).is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let listen = format!("[::1]:{port}");
    let balancer = Balancer::start(&[&listen, "-f", &list, "--health", "off"]);
    let line = balancer.stderr.wait_for(&format!("{list}:1: {port}: the balancer itself listens"));
    assert!(line.ends_with("so that address is not used"), "{line}");
    assert_eq!(balancer.get("/").text(), "a");
}
