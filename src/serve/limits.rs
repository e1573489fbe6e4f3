//! How many connections the open-file limit allows.

use super::failure::say;
use crate::config::{Config, EventFormat};
use crate::proxy::{ADMIN_PLACES, Limits};

/// Most descriptors kept for what is neither client nor upstream, mainly for probes.
const RESERVED_MAX: u64 = 64;

/// Least descriptors kept for that: the standard streams, the listener, the log, the poll, its
/// waker, the pipes of the signals and the control socket are 13, open all the time; 7 more are for
/// a pending accept, a new log, the list file, the sockets of name lookups, a command, and a few
/// probes.
const RESERVED_MIN: u64 = 20;

/// Descriptors kept for the admin listener, its connections, and one that waits for a place.
pub const ADMIN_DESCRIPTORS: u64 = ADMIN_PLACES as u64 + 2;

/// The open-file limit where it cannot be read.
pub const FILES_UNKNOWN: u64 = 1024;

/// Room for fewer clients than this is reported at the start.
const CLIENTS_FEW: usize = 32;

/// Most pipes for large bodies: at 512 KiB each they are 16 MiB, a quarter of what the kernel lets
/// a user have by default (`pipe-user-pages-soft`).
const PIPES_MAX: u64 = 32;

/// Memory that a peak has left unused goes back to the system from this much on. Less is not worth
/// the pages that have to be fetched again.
const TRIM_BYTES: usize = 1 << 20;

/// One part in so many of the clients' places is not for tunnels unless `--max-tunnels` says so:
/// idle ones would keep all other clients out.
const TUNNEL_FREE_PART: usize = 4;

/// The limits that `files` descriptors allow: each pair in flight and each tunnel has two. If there
/// are few, a quarter is kept for the rest.
pub fn limits(files: u64, config: &Config) -> Limits {
    let admin = config.admin.as_ref().map_or(0, |_| ADMIN_DESCRIPTORS);
    let pipes_max = (files / 32).min(PIPES_MAX);
    let reserved = (files / 4).clamp(RESERVED_MIN, RESERVED_MAX);
    let free = files.saturating_sub(reserved + admin + 2 * pipes_max);
    let places = (free / 2).clamp(1, 1_000_000) as usize;
    let pairs_max = config.pairs_max.map_or(places, |pairs| pairs as usize);
    let tunnels_default = pairs_max.min((places - places / TUNNEL_FREE_PART).max(1));
    let tunnels_max = config.tunnels_max.map_or(tunnels_default, |tunnels| tunnels as usize);
    let clients_max = 2 * places - (pairs_max + tunnels_max).min(places);
    let pipes_max = pipes_max as usize;
    Limits { pairs_max, tunnels_max, clients_max, pipes_max, trim_bytes: TRIM_BYTES }
}

/// Reports an open-file limit that is less than `-N` or `--max-tunnels` needs, or that leaves room
/// for few clients.
pub fn report_limits(files: u64, limits: &Limits, format: EventFormat) {
    let Limits { pairs_max, tunnels_max, clients_max, .. } = *limits;
    if pairs_max > clients_max {
        say(
            format,
            format_args!(
                "-N {pairs_max} needs more open files than the limit of {files} carries; \
             raise it (ulimit -n) or lower -N below {}",
                clients_max + 1
            ),
        );
    } else if tunnels_max > clients_max {
        say(
            format,
            format_args!(
                "--max-tunnels {tunnels_max} needs more open files than the limit of {files} \
                 carries; raise it (ulimit -n) or lower --max-tunnels below {}",
                clients_max + 1
            ),
        );
    } else if clients_max < CLIENTS_FEW {
        say(
            format,
            format_args!(
                "the limit of {files} open files has room for few clients at a time: \
             {clients_max}; raise it (ulimit -n)"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AdminAddress, HostPort};

    fn wanting((pairs_max, tunnels_max): (Option<u32>, Option<u32>)) -> Config {
        Config { pairs_max, tunnels_max, ..Config::default() }
    }

    #[test]
    fn the_open_file_limit_is_divided_among_pairs_clients_pipes_and_the_rest() {
        for (files, wanted, pairs_max, tunnels_max, clients_max, pipes_max) in [
            (10, (None, None), 1, 1, 1, 0),
            (32, (None, None), 5, 4, 5, 1),
            (64, (None, None), 20, 15, 20, 2),
            (80, (None, None), 28, 21, 28, 2),
            (256, (None, None), 88, 66, 88, 8),
            (1024, (None, None), 448, 336, 448, 32),
            (1024, (Some(10), None), 10, 10, 876, 32),
            (1024, (Some(10), Some(1)), 10, 1, 885, 32),
            (1024, (None, Some(448)), 448, 448, 448, 32),
            (1024, (Some(10), Some(438)), 10, 438, 448, 32),
            (1024, (Some(10), Some(1000)), 10, 1000, 448, 32),
            (1024, (Some(448), None), 448, 336, 448, 32),
            (1024, (Some(1000), None), 1000, 336, 448, 32),
            (u64::MAX, (None, None), 1_000_000, 750_000, 1_000_000, 32),
        ] {
            let Limits {
                pairs_max: pairs,
                tunnels_max: tunnels,
                clients_max: clients,
                pipes_max: pipes,
                ..
            } = limits(files, &wanting(wanted));
            let expected = (pairs_max, tunnels_max, clients_max, pipes_max);
            assert_eq!((pairs, tunnels, clients, pipes), expected, "{files} files, {wanted:?}");
        }
    }

    #[test]
    fn every_pair_and_tunnel_finds_two_descriptors() {
        for files in [100, 1024, 5000] {
            for wanted in [(None, None), (Some(4), None), (Some(30), Some(9)), (Some(9), Some(30))]
            {
                let it = limits(files, &wanting(wanted));
                // None has an upstream without a client.
                let upstreams_max = (it.pairs_max + it.tunnels_max).min(it.clients_max);
                let used = it.clients_max + upstreams_max + 2 * it.pipes_max;
                assert!(used as u64 + RESERVED_MIN <= files, "{files} files, {wanted:?}: {it:?}");
            }
        }
    }

    #[test]
    fn what_is_kept_for_the_rest_is_enough_and_no_more() {
        for files in RESERVED_MIN + 2..10_000 {
            let Limits { pairs_max, clients_max, pipes_max, .. } =
                limits(files, &Config::default());
            let rest = files - (pairs_max + clients_max + 2 * pipes_max) as u64;
            // An odd one is left over.
            let enough = RESERVED_MIN..=RESERVED_MAX + 1;
            assert!(enough.contains(&rest), "{rest} of {files}");
        }
    }

    #[test]
    fn the_admin_listener_has_descriptors_of_its_own() {
        let mut config = Config::default();
        for files in [64, 256, 1024, 10_000] {
            config.admin = None;
            let without = limits(files, &config);
            let at = HostPort::bare(0);
            config.admin = Some(AdminAddress::Given(at));
            let with = limits(files, &config);
            let sockets = |limits: &Limits| (limits.pairs_max + limits.clients_max) as u64;
            let kept = sockets(&without) - sockets(&with);
            assert!(kept >= ADMIN_DESCRIPTORS, "{kept} of {files}");
        }
    }
}
