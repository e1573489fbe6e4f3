//! Every metric with its name, kind and meaning. The manual lists the same, which a test compares.

use super::prometheus::{Family, Kind, Source};
use super::snapshot::{BackendState, DownKind};
use Kind::{Counter, Gauge, Histogram};
use std::time::Duration;

const fn family(name: &'static str, kind: Kind, help: &'static str, source: Source) -> Family {
    Family { name, kind, help, source }
}

/// Those of the program as a whole, then those of each backend.
pub static FAMILIES: [Family; 48] = [
    family(
        "loadbalancer_build_info",
        Gauge,
        "Version of the program; always 1.",
        Source::Program(|p, out| out.labelled("version", p.version, 1)),
    ),
    family(
        "loadbalancer_start_time_seconds",
        Gauge,
        "Start of the program, in seconds since 1970.",
        Source::Program(|p, out| out.seconds(Duration::from_millis(p.started_unix_ms))),
    ),
    family(
        "loadbalancer_ready",
        Gauge,
        "1 if /ready answers 200.",
        Source::Program(|p, out| out.value(u64::from(p.readiness().is_ready()))),
    ),
    family(
        "loadbalancer_backends",
        Gauge,
        "Backends by state.",
        Source::Program(|p, out| {
            for state in BackendState::ALL {
                out.labelled("state", state.name(), p.backends[state as usize]);
            }
        }),
    ),
    family(
        "loadbalancer_clients",
        Gauge,
        "Clients connected.",
        Source::Program(|p, out| out.value(p.clients)),
    ),
    family(
        "loadbalancer_clients_idle",
        Gauge,
        "Clients without a request in flight or in the queue.",
        Source::Program(|p, out| out.value(p.clients_idle)),
    ),
    family(
        "loadbalancer_clients_accepted_total",
        Counter,
        "Connections of clients that were accepted.",
        Source::Program(|p, out| out.value(p.counters.accepted)),
    ),
    family(
        "loadbalancer_proxy_headers_total",
        Counter,
        "PROXY headers that were required of clients (--proxy-protocol), by what became of them.",
        Source::Program(|p, out| {
            p.counters.proxy_headers().for_each(|(it, count)| out.labelled("outcome", it, count));
        }),
    ),
    family(
        "loadbalancer_requests_in_flight",
        Gauge,
        "Requests (or TCP sessions) that have a backend.",
        Source::Program(|p, out| out.value(p.in_flight)),
    ),
    family(
        "loadbalancer_requests_in_flight_max",
        Gauge,
        "Limit of the requests in flight (-N).",
        Source::Program(|p, out| out.value(p.in_flight_max)),
    ),
    family(
        "loadbalancer_requests_queued",
        Gauge,
        "Requests that wait for a slot.",
        Source::Program(|p, out| out.value(p.queued)),
    ),
    family(
        "loadbalancer_requests_total",
        Counter,
        "Requests (or TCP sessions) that ended, however they did.",
        Source::Program(|p, out| out.value(p.counters.requests)),
    ),
    family(
        "loadbalancer_local_responses_total",
        Counter,
        "Answers of the load balancer itself, by the error types of Proxy-Status (RFC 9209).",
        Source::Program(|p, out| {
            p.counters.local().for_each(|(cause, count)| out.labelled("cause", cause, count));
        }),
    ),
    family(
        "loadbalancer_queue_seconds",
        Histogram,
        "Time that a request waited for its slot.",
        Source::Program(|p, out| out.histogram(&p.counters.waiting())),
    ),
    family(
        "loadbalancer_clients_limited_total",
        Counter,
        "Requests and connections that were refused because their client had too many, by limit.",
        Source::Program(|p, out| {
            p.counters.client_limits().for_each(|(it, count)| out.labelled("limit", it, count));
        }),
    ),
    family(
        "loadbalancer_queue_refused_total",
        Counter,
        "Requests that got a 503 at once because as many waited as may (--queue-max).",
        Source::Program(|p, out| out.value(p.counters.queue_refused)),
    ),
    family(
        "loadbalancer_log_lines_lost_total",
        Counter,
        "Log lines that were not written because the log was too slow.",
        Source::Program(|p, out| out.value(p.log_lines_lost)),
    ),
    family(
        "loadbalancer_open_descriptors",
        Gauge,
        "Open file descriptors.",
        Source::Program(|p, out| out.value(p.process.descriptors_open)),
    ),
    family(
        "loadbalancer_max_descriptors",
        Gauge,
        "Limit of the open file descriptors.",
        Source::Program(|p, out| out.value(p.process.descriptors_max)),
    ),
    family(
        "loadbalancer_cpu_seconds_total",
        Counter,
        "CPU time of the program, user and system.",
        Source::Program(|p, out| out.seconds(p.process.cpu)),
    ),
    family(
        "loadbalancer_resident_memory_bytes",
        Gauge,
        "Memory of the program that is in RAM.",
        Source::Program(|p, out| out.value(p.process.resident_bytes)),
    ),
    family(
        "loadbalancer_backend_up",
        Gauge,
        "1 if requests may go to the backend.",
        Source::Backends(|b, out| out.value(u64::from(b.state.is_up()))),
    ),
    family(
        "loadbalancer_backend_state",
        Gauge,
        "1 for the state of the backend, 0 for the others.",
        Source::Backends(|b, out| {
            for state in BackendState::ALL {
                out.labelled("state", state.name(), u64::from(state == b.state));
            }
        }),
    ),
    family(
        "loadbalancer_backend_down_reason",
        Gauge,
        "1 for the reason why the backend is down, 0 for the others.",
        Source::Backends(|b, out| {
            let reason = b.down.map(|(kind, _)| kind);
            for kind in DownKind::ALL {
                out.labelled("reason", kind.name(), u64::from(reason == Some(kind)));
            }
        }),
    ),
    family(
        "loadbalancer_backend_state_change_timestamp_seconds",
        Gauge,
        "When the backend came into its state, in seconds since 1970.",
        Source::Backends(|b, out| out.seconds(Duration::from_millis(b.changed_unix_ms))),
    ),
    family(
        "loadbalancer_backend_state_changes_total",
        Counter,
        "Times the backend went up or down.",
        Source::Backends(|b, out| out.value(b.counters.state_changes)),
    ),
    family(
        "loadbalancer_backend_down_seconds_total",
        Counter,
        "Time the backend has been down.",
        Source::Backends(|b, out| out.seconds(b.down_time)),
    ),
    family(
        "loadbalancer_backend_weight",
        Gauge,
        "Configured weight.",
        Source::Backends(|b, out| out.value(u64::from(b.weight))),
    ),
    family(
        "loadbalancer_backend_backup",
        Gauge,
        "1 if the backend is used only when no other is left.",
        Source::Backends(|b, out| out.value(u64::from(b.backup))),
    ),
    family(
        "loadbalancer_backend_requests_in_flight",
        Gauge,
        "Requests (or TCP sessions) at the backend.",
        Source::Backends(|b, out| out.value(u64::from(b.in_flight))),
    ),
    family(
        "loadbalancer_backend_requests_in_flight_max",
        Gauge,
        "Configured limit (max=) of the requests at the backend; absent without one.",
        Source::Backends(|b, out| b.max.into_iter().for_each(|max| out.value(u64::from(max)))),
    ),
    family(
        "loadbalancer_backend_requests_waiting",
        Gauge,
        "Requests that wait and that the backend would take were it not at its limit (max=).",
        Source::Backends(|b, out| out.value(u64::from(b.waiting))),
    ),
    family(
        "loadbalancer_backend_requests_total",
        Counter,
        "Requests (or TCP sessions) that ended and whose last attempt was at the backend.",
        Source::Backends(|b, out| out.value(b.counters.requests())),
    ),
    family(
        "loadbalancer_backend_responses_total",
        Counter,
        "Responses of the backend that clients got, by class.",
        Source::Backends(|b, out| {
            b.counters.classes().for_each(|(class, count)| out.labelled("class", class, count));
        }),
    ),
    family(
        "loadbalancer_backend_attempts_total",
        Counter,
        "Times a request was given to the backend.",
        Source::Backends(|b, out| out.value(b.counters.attempts(b.in_flight))),
    ),
    family(
        "loadbalancer_backend_retries_total",
        Counter,
        "Attempts at the backend that failed and after which the request was sent again.",
        Source::Backends(|b, out| {
            b.counters.retries().for_each(|(reason, count)| {
                out.labelled("reason", reason, count);
            });
        }),
    ),
    family(
        "loadbalancer_backend_connections_opened_total",
        Counter,
        "Connects to the backend for requests, failed ones included.",
        Source::Backends(|b, out| out.value(b.counters.opened())),
    ),
    family(
        "loadbalancer_backend_connections_reused_total",
        Counter,
        "Requests that got an idle connection to the backend.",
        Source::Backends(|b, out| out.value(b.counters.reused(b.in_flight))),
    ),
    family(
        "loadbalancer_backend_pool_races_lost_total",
        Counter,
        "Requests on an idle connection that the backend closed without a response.",
        Source::Backends(|b, out| out.value(b.counters.races_lost)),
    ),
    family(
        "loadbalancer_backend_redirects_total",
        Counter,
        "Clients that were redirected to the backend (-m redirect).",
        Source::Backends(|b, out| out.value(b.counters.redirects())),
    ),
    family(
        "loadbalancer_backend_connect_failures_total",
        Counter,
        "Failed connects to the backend for requests, by kind.",
        Source::Backends(|b, out| {
            b.counters.connect_failures().for_each(|(kind, count)| {
                out.labelled("kind", kind, count);
            });
        }),
    ),
    family(
        "loadbalancer_backend_client_aborts_total",
        Counter,
        "Exchanges with the backend that the client ended early.",
        Source::Backends(|b, out| out.value(b.counters.client_aborts)),
    ),
    family(
        "loadbalancer_backend_server_aborts_total",
        Counter,
        "Responses of the backend that were cut off after they had begun.",
        Source::Backends(|b, out| out.value(b.counters.server_aborts)),
    ),
    family(
        "loadbalancer_backend_sent_bytes_total",
        Counter,
        "Bytes sent to the backend, without the heads of requests.",
        Source::Backends(|b, out| out.value(b.counters.sent_bytes)),
    ),
    family(
        "loadbalancer_backend_received_bytes_total",
        Counter,
        "Bytes received from the backend, without the heads of responses.",
        Source::Backends(|b, out| out.value(b.counters.received_bytes)),
    ),
    family(
        "loadbalancer_backend_probes_total",
        Counter,
        "Health checks of the backend that ended, by result.",
        Source::Backends(|b, out| {
            out.labelled("result", "ok", b.counters.probes_ok);
            out.labelled("result", "failed", b.counters.probes_failed);
        }),
    ),
    family(
        "loadbalancer_backend_first_byte_seconds",
        Histogram,
        "Time from the start of an attempt to the first byte of the response.",
        Source::Backends(|b, out| out.histogram(&b.counters.first_byte)),
    ),
    family(
        "loadbalancer_backend_request_seconds",
        Histogram,
        "Time from a whole request head to the end of the response, waiting and retries included.",
        Source::Backends(|b, out| out.histogram(&b.counters.whole)),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_say_their_kind_and_unit() {
        let mut names = HashSet::new();
        for Family { name, kind, help, .. } in &FAMILIES {
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with("loadbalancer_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
            assert!(*kind != Histogram || name.ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{help}");
        }
    }
}
