//! The list file: accepted lines can be written and read again, a bad line affects no other, and
//! every warning is one printable line.

use super::is_one_line;
use loadbalancer::config::list::{List, WARNINGS_MAX};
use loadbalancer::config::{BACKENDS_MAX, BackendSpec, Endpoint, HostPort, Mode, Naming};
use std::collections::BTreeSet;

fn parse(bytes: &[u8]) -> List {
    List::parse("list", bytes, &[], Mode::Tcp)
}

fn specs(list: &List) -> Vec<BackendSpec> {
    list.backends.iter().map(|listed| listed.spec.clone()).collect()
}

/// The line that means `spec`.
fn written(spec: &BackendSpec) -> String {
    let BackendSpec { endpoint, weight, backup, pairs_max, send_proxy, naming, admin, tls } = spec;
    let each = if *naming == Naming::Each { " each" } else { "" };
    let header = send_proxy.map_or(String::new(), |it| format!(" {}", it.word()));
    let backup = if *backup { " backup" } else { "" };
    let max = pairs_max.map_or(String::new(), |max| format!(" max={max}"));
    let scheme = if tls.is_some() { "https://" } else { "" };
    let tls = tls.as_ref().map_or(String::new(), ToString::to_string);
    format!("{scheme}{endpoint} weight={weight}{backup}{max}{each}{header}{tls} {}\n", admin.word())
}

pub fn run(data: &[u8]) {
    let list = parse(data);
    assert!(list.backends.len() <= BACKENDS_MAX && list.warnings.len() <= WARNINGS_MAX + 1);
    for warning in &list.warnings {
        let text = warning.to_string();
        assert!(is_one_line(&text), "{text:?}");
    }
    let lines: Vec<usize> = list.backends.iter().map(|listed| listed.line).collect();
    assert!(lines.is_sorted_by(|one, next| one < next), "{lines:?}");

    let key = |spec: &BackendSpec| match &spec.endpoint {
        Endpoint::Tcp(HostPort { host, port }) => {
            let host = host.as_deref().unwrap_or("localhost");
            format!("{}:{port}", host.to_ascii_lowercase())
        }
        Endpoint::Unix(name) => name.to_string(),
    };
    let keys: BTreeSet<_> = specs(&list).iter().map(key).collect();
    assert_eq!(keys.len(), list.backends.len(), "a backend twice");

    let again = parse(specs(&list).iter().map(written).collect::<String>().as_bytes());
    assert_eq!(again.warnings, []);
    assert_eq!(specs(&again), specs(&list), "read again");

    let good = data.split(|&byte| byte == b'\n').enumerate();
    let good = good.filter(|(at, _)| lines.contains(&(at + 1))).map(|(_, line)| line);
    let alone = parse(&good.collect::<Vec<_>>().join(&b'\n'));
    assert_eq!(alone.warnings, []);
    assert_eq!(specs(&alone), specs(&list), "without the other lines");

    let given = List::parse("list", data, &specs(&list), Mode::Tcp);
    assert_eq!(given.backends, [], "backends that were given are not taken again");
}
