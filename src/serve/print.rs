//! `--print-config`: the options as the command line gives them, the backends of the list file, and
//! the limits that follow. Serves nobody and contacts nobody.

use super::failure::Failure;
use super::limits::{FILES_UNKNOWN, limits};
use super::lists::{Lists, read_lists};
use crate::base::buffer::{LARGE_BYTES, Pool};
use crate::config::list::Line;
use crate::config::{BACKENDS_MAX, Config};
use crate::net::listen;
use crate::net::tls::KEPT_BYTES_MAX;
use crate::proxy::{ADMIN_PLACES, Limits};
use std::io::Write;

/// Buffers of a connection: one for what comes, one for what goes.
const BUFFERS: usize = 2;

/// Prints `options`, then what follows from `config`, each line as `option value origin`.
///
/// Errors: the list file cannot be read.
pub fn print_config(
    config: &Config,
    options: &[String],
    out: &mut impl Write,
) -> Result<(), Failure> {
    let lists = read_lists(config)?;
    let files = listen::raise_file_limit().unwrap_or(FILES_UNKNOWN);
    let mut text = String::new();
    for line in options {
        text.push_str(&format!("{line}\n"));
    }
    for (line, spec) in lists.lines() {
        text.push_str(&format!("backend {} file:{line}\n", Line(spec)));
    }
    for (name, value) in bounds(&limits(files, config), files, config, &lists) {
        text.push_str(&format!("limit.{name} {value} derived\n"));
    }
    // A reader that closes it early (`| head`) has seen enough.
    let _ = out.write_all(text.as_bytes());
    Ok(())
}

/// The most there can be of each, and the memory that takes.
fn bounds(limits: &Limits, files: u64, config: &Config, lists: &Lists) -> [(&'static str, u64); 7] {
    let Limits { clients_max, pairs_max, tunnels_max, pipes_max, trim_bytes: _ } = *limits;
    let admin = if config.admin.is_some() { ADMIN_PLACES } else { 0 };
    // Every place may be taken, and every buffer full: of clients, of the connections to backends
    // that have a request, of probes. An idle connection has none.
    let pairs = (pairs_max + tunnels_max).min(clients_max);
    let probes = match config.list_file {
        Some(_) => BACKENDS_MAX,
        None => config.backends.len(),
    };
    let connections = clients_max + pairs + admin + probes;
    // In TLS each keeps something beside its buffers.
    let clients_in_tls = if config.certificates.is_empty() { 0 } else { clients_max };
    let has_tls = lists.specs().any(|spec| spec.tls.is_some());
    let servers_in_tls = if has_tls { pairs + probes } else { 0 };
    let kept = (clients_in_tls + servers_in_tls) * KEPT_BYTES_MAX;
    let buffers = connections * BUFFERS * LARGE_BYTES + kept + Pool::SPARE_BYTES_MAX;
    [
        ("descriptors", files),
        ("clients", clients_max as u64),
        ("requests-in-flight", pairs_max as u64),
        ("tunnels", tunnels_max as u64),
        ("admin-clients", admin as u64),
        ("pipes", pipes_max as u64),
        ("buffer-bytes", buffers as u64),
    ]
}
