//! `--print-config`: the options as the command line gives them, the backends of the list file, and
//! the limits that follow. Serves nobody and contacts nobody.

use super::failure::Failure;
use super::limits::{FILES_UNKNOWN, limits};
use super::lists::read_lists;
use crate::base::buffer::{LARGE_BYTES, Pool};
use crate::config::list::Line;
use crate::config::{BACKENDS_MAX, Config};
use crate::net::listen;
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
    for (name, value) in bounds(&limits(files, config), files, config) {
        text.push_str(&format!("limit.{name} {value} derived\n"));
    }
    // A reader that closes it early (`| head`) has seen enough.
    let _ = out.write_all(text.as_bytes());
    Ok(())
}

/// The most there can be of each, and the memory that takes.
fn bounds(limits: &Limits, files: u64, config: &Config) -> [(&'static str, u64); 7] {
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
    let buffers = connections * BUFFERS * LARGE_BYTES + Pool::SPARE_BYTES_MAX;
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
