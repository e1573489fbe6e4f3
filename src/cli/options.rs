//! The option table of the balancer: from it come parsing, help and messages. Each row names the
//! part of [`Config`] it sets; the defaults are those of [`Config::default`].

use super::admin_options;
use super::control_options;
use super::document_options;
use super::duration::LONGEST;
use super::health_options;
use super::inspect_options;
use super::limit_options;
use super::message_options;
use super::modes::{self, EVERY, HEADS, HTTP, PAIRS, REDIRECT, TCP};
use super::network_options;
use super::option::{Group, Opt, Take};
use super::rows::{FORMATS, ON_DOWN, REDIRECTS, limit, timeout};
use super::sticky_options;
use super::strategy;
use super::tls_options;
use super::value::{
    add_page, choice, field_name, list_file, named, names, or, shown_page, shown_path, small, user,
    whole,
};
use crate::config::list::Line;
use crate::config::{Config, Endpoint, HeadLimits, TrustedProxies};
use std::time::Duration;

/// Every option of the balancer, in the order of help within its group.
pub static OPTIONS: &[Opt<Config>] = &[
    Opt::listen(
        "Address to listen on (or give it first, without -p)",
        |c, v| Endpoint::listener(v).map(|at| c.listen = at),
        |c| c.listen.to_string(),
    ),
    Opt {
        long: "backend",
        short: Some('b'),
        value: "ADDR...",
        group: Group::Where,
        help: "Backends: all addresses up to the next option, each with its words in quotes if it \
               has any: '10.0.0.1:80 weight=3'; may be repeated",
        modes: EVERY,
        take: Take::Words { shown: |c| c.backends.iter().map(|it| Line(it).to_string()).collect() },
    },
    Opt {
        long: "file",
        short: Some('f'),
        value: "FILE",
        group: Group::Where,
        help: "File of backends, one per line: host:port [weight=N] [max=N] [backup] \
               [each] [drain|down]; # starts a comment; read again when it changes",
        modes: EVERY,
        take: Take::Path {
            set: |c, v| list_file(v).map(|file| c.list_file = Some(file)),
            default: |c| shown_path(c.list_file.as_deref()),
        },
    },
    Opt {
        long: "reuse-port",
        short: None,
        value: "",
        group: Group::Where,
        help: "Listen beside other processes with this option on the same port, a core each",
        modes: EVERY,
        take: Take::Flag { set: |c| c.reuse_port = true, is_set: |c| c.reuse_port },
    },
    network_options::RESOLVE_INTERVAL,
    network_options::SOCKET_MODE,
    network_options::PROXY_PROTOCOL,
    control_options::TAKEOVER,
    Opt {
        long: "user",
        short: None,
        value: "NAME[:GROUP]",
        group: Group::Where,
        help: "Run as this user once the port is bound and the log is open (started as root)",
        modes: EVERY,
        take: Take::Text {
            set: |c, v| user(v).map(|user| c.user = Some(user)),
            default: |c| c.user.clone().unwrap_or_default(),
        },
    },
    Opt {
        long: "mode",
        short: Some('m'),
        value: "MODE",
        group: Group::How,
        help: "http: forward each request; tcp: join each connection to a backend; \
               redirect: answer with a backend's address",
        modes: EVERY,
        take: Take::Choice {
            names: || names(&modes::NAMES),
            set: |c, v| choice(v, &modes::NAMES).map(|mode| c.mode = mode),
            default: |c| named(c.mode, &modes::NAMES),
        },
    },
    Opt {
        long: "strategy",
        short: Some('s'),
        value: "NAME",
        group: Group::How,
        help: "How a backend is chosen, see Strategies below",
        modes: EVERY,
        take: Take::Choice {
            names: strategy::all,
            set: |c, v| strategy::parse(v).map(|strategy| c.strategy = strategy),
            default: |c| strategy::name(c.strategy).to_owned(),
        },
    },
    sticky_options::STICKY,
    sticky_options::STICKY_KEY,
    limit_options::SLOW_START,
    Opt {
        long: "hash-field",
        short: None,
        value: "FIELD",
        group: Group::How,
        help: "The request field for -s header",
        modes: HEADS,
        take: Take::Text {
            set: |c, v| field_name(v).map(|name| c.hash_field = Some(name)),
            default: |c| c.hash_field.clone().unwrap_or_default(),
        },
    },
    Opt {
        long: "retries",
        short: None,
        value: "NUM",
        group: Group::How,
        help: "Retries after a backend may have received the request, 0 to 9",
        modes: PAIRS,
        take: Take::Text {
            set: |c, v| small(v, 0..=9).map(|n| c.attempts_max = n as u8 + 1),
            default: |c| (c.attempts_max - 1).to_string(),
        },
    },
    Opt {
        long: "retry-budget",
        short: None,
        value: "PERCENT",
        group: Group::How,
        help: "Limit for such retries: percent of the requests of the last 10 s (or of those in \
               flight), plus 100; 0 to 900",
        modes: HTTP,
        take: Take::Count { at: |c| &mut c.retry_budget, least: 0, most: 900 },
    },
    Opt {
        long: "stream-requests",
        short: None,
        value: "",
        group: Group::How,
        help: "Forward a request before its body has come; else a body of up to 32 KiB is \
               collected first",
        modes: HTTP,
        take: Take::Flag { set: |c| c.stream_requests = true, is_set: |c| c.stream_requests },
    },
    Opt {
        long: "all-down-status",
        short: None,
        value: "CODE",
        group: Group::How,
        help: "Status when every backend is down, 400 to 599",
        modes: HEADS,
        take: Take::Text {
            set: |c, v| small(v, 400..=599).map(|code| c.all_down_status = code),
            default: |c| c.all_down_status.to_string(),
        },
    },
    Opt {
        long: "on-down",
        short: None,
        value: "ACTION",
        group: Group::How,
        help: "Sessions of a backend that goes down: keep them, or close them so that clients \
               connect again",
        modes: TCP,
        take: Take::Choice {
            names: || names(&ON_DOWN),
            set: |c, v| choice(v, &ON_DOWN).map(|on_down| c.on_down = on_down),
            default: |c| named(c.on_down, &ON_DOWN),
        },
    },
    Opt {
        long: "redirect-status",
        short: None,
        value: "CODE",
        group: Group::How,
        help: "Status of -m redirect: 301, 302, 303, 307 or 308",
        modes: REDIRECT,
        take: Take::Choice {
            names: || names(&REDIRECTS),
            set: |c, v| choice(v, &REDIRECTS).map(|code| c.redirect_status = Some(code)),
            default: |c| or(c.redirect_status, "301 for GET and HEAD, else 308"),
        },
    },
    Opt {
        long: "error-page",
        short: None,
        value: "CODE=FILE",
        group: Group::How,
        help: "Send FILE as the page of the status CODE, 400 to 599; may be repeated",
        modes: HEADS,
        take: Take::Each {
            add: |c, v| add_page(v, &mut c.error_pages),
            shown: |c| c.error_pages.iter().map(shown_page).collect(),
        },
    },
    Opt {
        long: "trust-forwarded",
        short: None,
        value: "FROM,...",
        group: Group::How,
        help: "Keep the X-Forwarded-*, Forwarded and X-Real-IP fields of clients; with addresses \
               or networks (10.0.0.0/8), only of those clients",
        modes: HEADS,
        take: Take::Optional {
            alone: |c| c.trust_forwarded = TrustedProxies::All,
            set: |c, v| TrustedProxies::parse(v).map(|from| c.trust_forwarded = from),
            shown: |c| c.trust_forwarded.to_string(),
        },
    },
    message_options::HEADER_UP,
    message_options::HEADER_DOWN,
    tls_options::CERT,
    tls_options::KEY,
    tls_options::CLIENT_CA,
    tls_options::HSTS,
    tls_options::REDIRECT_HTTP,
    tls_options::ACME_WEBROOT,
    health_options::HEALTH,
    health_options::CHECK_INTERVAL,
    health_options::PROBE_PER_REQUESTS,
    health_options::HEALTH_PATH,
    health_options::HEALTH_HOST,
    health_options::HEALTH_METHOD,
    health_options::HEALTH_EXPECT,
    health_options::HEALTH_SEND,
    health_options::HEALTH_EXPECT_TEXT,
    health_options::HEALTH_TIMEOUT,
    health_options::RISE,
    health_options::FALL,
    health_options::FALL_ON_5XX,
    timeout(
        "head-timeout",
        HEADS,
        "Longest time from the first byte of a request head to its last",
        |c| &mut c.timeouts.head,
    ),
    timeout(
        "keep-alive-timeout",
        HEADS,
        "Longest idle time between two requests of a client",
        |c| &mut c.timeouts.keep_alive,
    ),
    timeout("connect-timeout", PAIRS, "Longest time to connect to a backend", |c| {
        &mut c.timeouts.connect
    }),
    timeout("response-timeout", HTTP, "Longest wait for the first byte of a response", |c| {
        &mut c.timeouts.response
    }),
    timeout("idle-timeout", HEADS, "Longest pause within a body", |c| &mut c.timeouts.idle),
    timeout("tunnel-timeout", PAIRS, "Longest pause in TCP mode or a WebSocket", |c| {
        &mut c.timeouts.tunnel
    }),
    timeout("queue-timeout", PAIRS, "Longest wait of a queued request (then 503)", |c| {
        &mut c.timeouts.queue
    }),
    timeout(
        "linger-timeout",
        HEADS,
        "Wait this long for a client to read the final response",
        |c| &mut c.timeouts.linger,
    ),
    timeout("pool-timeout", HTTP, "Longest idle time of a pooled connection to a backend", |c| {
        &mut c.timeouts.pool
    }),
    Opt {
        long: "lame-duck",
        short: None,
        value: "TIME",
        group: Group::Timeouts,
        help: "When it stops, first serve on for so long, not ready, ending connections",
        modes: EVERY,
        take: Take::Duration {
            at: |c| &mut c.timeouts.lame_duck,
            least: Duration::ZERO,
            most: LONGEST,
        },
    },
    timeout("drain-timeout", EVERY, "Longest wait for requests in flight when it stops", |c| {
        &mut c.timeouts.drain
    }),
    Opt {
        long: "max-pairs",
        short: Some('N'),
        value: "NUM",
        group: Group::Limits,
        help: "Requests (or TCP sessions) in flight at once, 1 to 1000000; others queue",
        modes: PAIRS,
        take: Take::Text {
            set: |c, v| whole(v, 1..=1_000_000).map(|n| c.pairs_max = Some(n)),
            default: |c| or(c.pairs_max, "what the open-file limit allows"),
        },
    },
    limit_options::QUEUE_MAX,
    limit_options::RATE,
    limit_options::CONNECTIONS_PER_CLIENT,
    Opt {
        long: "max-tunnels",
        short: None,
        value: "NUM",
        group: Group::Limits,
        help: "WebSockets and other upgraded connections at once, counted apart from requests, 1 \
               to 1000000; then 503",
        modes: HTTP,
        take: Take::Text {
            set: |c, v| whole(v, 1..=1_000_000).map(|n| c.tunnels_max = Some(n)),
            default: |c| or(c.tunnels_max, "as -N"),
        },
    },
    Opt {
        long: "min-rate",
        short: None,
        value: "BYTES",
        group: Group::Limits,
        help: "While others wait, end clients that send or read fewer bytes per second, over 10 s; \
               0 to 1000000000, 0: never",
        modes: HTTP,
        take: Take::Count { at: |c| &mut c.rate_min, least: 0, most: 1_000_000_000 },
    },
    Opt {
        long: "keep-alive-requests",
        short: None,
        value: "NUM",
        group: Group::Limits,
        help: "Requests on one client connection, 1 to 1000000000; then it is closed",
        modes: HEADS,
        take: Take::Text {
            set: |c, v| whole(v, 1..=1_000_000_000).map(|n| c.keep_alive_requests = Some(n)),
            default: |c| or(c.keep_alive_requests, "no limit"),
        },
    },
    limit(
        "max-head",
        "BYTES",
        "Length of a request head, 256 to 24576",
        |c| &mut c.head.bytes,
        256,
        HeadLimits::MOST.bytes,
    ),
    limit(
        "max-fields",
        "NUM",
        "Fields of a request, 1 to 200",
        |c| &mut c.head.fields,
        1,
        HeadLimits::MOST.fields,
    ),
    limit(
        "max-target",
        "BYTES",
        "Length of a request target, 1 to 16384",
        |c| &mut c.head.target,
        1,
        HeadLimits::MOST.target,
    ),
    Opt::log(|c| &mut c.access_log),
    Opt {
        long: "log-format",
        short: None,
        value: "FORMAT",
        group: Group::Logging,
        help: "combined: as web servers write it; json: one object per line, with times and \
               the backend",
        modes: EVERY,
        take: Take::Choice {
            names: || names(&FORMATS),
            set: |c, v| choice(v, &FORMATS).map(|format| c.log_format = format),
            default: |c| named(c.log_format, &FORMATS),
        },
    },
    Opt {
        long: "verbose",
        short: Some('v'),
        value: "",
        group: Group::Logging,
        help: "Print a line per request with the reason for the choice, to standard error",
        modes: EVERY,
        take: Take::Flag { set: |c| c.verbose = true, is_set: |c| c.verbose },
    },
    inspect_options::EVENTS,
    inspect_options::RECORD,
    inspect_options::CHECK,
    inspect_options::PRINT_CONFIG,
    admin_options::ADMIN,
    admin_options::ADMIN_HOST,
    admin_options::ADMIN_PUBLIC,
    admin_options::LIVE_PATH,
    control_options::NO_CONTROL,
    document_options::PRINT_UNIT,
    document_options::MAN,
    document_options::COMPLETIONS,
    Opt::help(),
    Opt::version(),
];
