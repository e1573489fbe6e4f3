//! `/status`: everything that is known as one JSON object. Names and meanings are documented in
//! `src/manual/metrics.md` and stay; what is added does not change [`VERSION`].

use super::counters::{ProgramRate, Rate};
use super::json::Object;
use super::recent::Quantiles;
use super::seconds::{self, SHOWN};
use super::snapshot::{Backend, Program};
use crate::http::writer::Writer;
use std::time::Duration;

/// Of the names and meanings.
pub const VERSION: u64 = 1;

/// The start of the object, up to the first backend.
pub fn begin(program: &Program<'_>, out: &mut Writer<'_>) {
    let mut all = Object::open(out);
    all.number("version", VERSION);
    write_program(program, all.object("program"));
    let readiness = program.readiness();
    all.boolean("ready", readiness.is_ready());
    all.text("ready_reason", readiness);
    all.number("in_flight", program.in_flight);
    all.number("in_flight_max", program.in_flight_max);
    all.number("queued", program.queued);
    all.number("queue_refused_total", program.counters.queue_refused);
    all.counts("clients_limited_total", program.counters.client_limits());
    all.number("clients", program.clients);
    all.number("clients_idle", program.clients_idle);
    all.number("accepted_total", program.counters.accepted);
    all.counts("proxy_headers_total", program.counters.proxy_headers());
    all.number("descriptors_open", program.process.descriptors_open);
    all.number("descriptors_max", program.process.descriptors_max);
    all.number("resident_bytes", program.process.resident_bytes);
    all.duration("cpu_seconds_total", program.process.cpu);
    all.number("log_lines_lost_total", program.log_lines_lost);
    all.counts("local_responses_total", program.counters.local());
    all.number("requests_total", program.counters.requests);
    let requests = program.counters.last(ProgramRate::Requests, program.second);
    let local = program.counters.last(ProgramRate::Local, program.second);
    let mut minute = all.object("last_minute");
    minute.rate("requests_per_second", seconds::rate(&requests, program.second));
    minute.rate("local_responses_per_second", seconds::rate(&local, program.second));
    write_percentiles(&program.recent, &mut minute);
    minute.close();
    let mut series = all.object("seconds");
    series.array("requests", &requests);
    series.array("local_responses", &local);
    series.close();
    all.name("backends").append(b"[");
}

fn write_program(program: &Program<'_>, mut object: Object<'_, '_>) {
    object.text("name", "loadbalancer");
    object.text("version", program.version);
    object.number("pid", u64::from(program.process.pid));
    object.duration("start_time_seconds", Duration::from_millis(program.started_unix_ms));
    object.duration("time_seconds", Duration::from_millis(program.now_unix_ms));
    object.text("mode", program.mode);
    object.text("strategy", program.strategy);
    let listen = object.name("listen");
    listen.append(b"[");
    for (at, address) in program.listen.iter().enumerate() {
        if at > 0 {
            listen.append(b",");
        }
        super::json::string(listen, address);
    }
    listen.append(b"]");
    object.text("state", program.stage.name());
    object.close();
}

fn write_percentiles(recent: &Quantiles, object: &mut Object<'_, '_>) {
    for (name, percent) in [("p50_seconds", 50), ("p95_seconds", 95), ("p99_seconds", 99)] {
        match recent.percentile(percent) {
            Some(duration) => object.duration(name, duration),
            None => object.null(name),
        }
    }
}

/// What the backends' share of the picks is of: requests of all of them in the last minute.
pub fn picks(backend: &Backend<'_>, second: u32) -> u64 {
    let counts = backend.counters.last(Rate::Requests, second);
    counts.iter().map(|&count| u64::from(count)).sum()
}

/// One backend. `picks` are those of all backends.
pub fn backend(backend: &Backend<'_>, second: u32, picks: u64, out: &mut Writer<'_>) {
    let counters = backend.counters;
    let last = |rate: Rate| counters.last(rate, second);
    let (requests, errors) = (last(Rate::Requests), last(Rate::Errors));
    let mut object = Object::open(out);
    object.text("name", backend.name);
    object.text("state", backend.state.name());
    object.duration("since_seconds", backend.since);
    match backend.down {
        Some((_, reason)) => object.text("reason", reason),
        None => object.null("reason"),
    }
    object.boolean("by_hand", !backend.by_hand.is_none());
    match backend.by_hand {
        by_hand if by_hand.is_none() => object.null("set_by_hand"),
        by_hand => object.text("set_by_hand", by_hand),
    }
    object.number("in_flight", u64::from(backend.in_flight));
    match backend.max {
        Some(max) => object.number("max", u64::from(max)),
        None => object.null("max"),
    }
    object.number("waiting", u64::from(backend.waiting));
    object.number("weight", u64::from(backend.weight));
    object.boolean("backup", backend.backup);
    object.rate("share", share(&requests, picks));
    write_counters(backend, &mut object);
    let mut recent = Quantiles::default();
    counters.add_recent(&mut recent, second);
    let mut minute = object.object("last_minute");
    minute.rate("requests_per_second", seconds::rate(&requests, second));
    minute.rate("errors_per_second", seconds::rate(&errors, second));
    minute.rate("retries_per_second", seconds::rate(&last(Rate::Retries), second));
    write_percentiles(&recent, &mut minute);
    minute.close();
    let mut series = object.object("seconds");
    series.array("requests", &requests);
    series.array("errors", &errors);
    series.close();
    object.close();
}

/// The part of the picks that these requests are, 0 to 1.
pub fn share(requests: &[u32; SHOWN], picks: u64) -> f64 {
    let own: u64 = requests.iter().map(|&count| u64::from(count)).sum();
    own as f64 / picks.max(1) as f64
}

fn write_counters(backend: &Backend<'_>, object: &mut Object<'_, '_>) {
    let counters = backend.counters;
    object.number("requests_total", counters.requests());
    object.counts("responses_total", counters.classes());
    object.number("attempts_total", counters.attempts(backend.in_flight));
    object.counts("retries_total", counters.retries());
    object.number("connections_opened_total", counters.opened());
    object.number("connections_reused_total", counters.reused(backend.in_flight));
    object.number("pool_races_lost_total", counters.races_lost);
    object.number("redirects_total", counters.redirects());
    object.counts("connect_failures_total", counters.connect_failures());
    object.number("client_aborts_total", counters.client_aborts);
    object.number("server_aborts_total", counters.server_aborts);
    object.number("received_bytes_total", counters.received_bytes);
    object.number("sent_bytes_total", counters.sent_bytes);
    let probes = [("ok", counters.probes_ok), ("failed", counters.probes_failed)];
    object.counts("probes_total", probes.into_iter());
    object.number("state_changes_total", counters.state_changes);
    object.duration("down_seconds_total", backend.down_time);
}

/// The end of the object.
pub fn end(out: &mut Writer<'_>) {
    out.append(b"]}\n");
}
