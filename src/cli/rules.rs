//! Which options go together, and what one option implies for another.

use super::error::UsageError;
use super::modes;
use super::option::Opt;
use super::scan::Given;
use super::value::named;
use crate::balance::Strategy;
use crate::base::address::UnixName;
use crate::config::{AdminAddress, Config, LogTarget, Mode, TrustedProxies};
use crate::health::{Check, Pace};
use std::path::PathBuf;

/// Sets what depends on several options, and refuses options that would have no effect.
pub fn settle(
    config: &mut Config,
    rows: &[&'static Opt<Config>],
    given: &Given,
) -> Result<(), UsageError> {
    check_modes(rows, given, config)?;
    check_admin(config)?;
    if config.mode == Mode::Tcp && !given.has("health") {
        // A server in TCP mode need not speak HTTP.
        config.health.check = Check::Tcp;
    }
    // `rank` goes by how long probes take.
    if !SAY_HOW.iter().any(|long| given.has(long)) && config.strategy != Strategy::Rank {
        config.health.pace = Pace::Default;
    }
    let mut rules = (strategy_rules(config).into_iter())
        .chain(health_rules(config, given))
        .chain(text_rules(config))
        .chain(listener_rules(config, given))
        .chain(socket_rules(config))
        .chain(output_rules(config, given));
    match rules.find(|(is_broken, _)| *is_broken) {
        Some((_, reason)) => Err(UsageError::Conflict(reason)),
        None => Ok(()),
    }
}

/// Options that say when servers are probed, and how it is counted.
const PROBES: [&str; 5] =
    ["check-interval", "probe-per-requests", "health-timeout", "rise", "fall"];

/// Options that say what an HTTP probe asks for and expects.
const ASKS: [&str; 4] = ["health-path", "health-host", "health-method", "health-expect"];

/// Options that say that probes are wanted, or which ones.
const SAY_HOW: [&str; 7] = [
    "health",
    "check-interval",
    "probe-per-requests",
    "health-path",
    "health-host",
    "health-method",
    "health-expect",
];

/// Whether the rule is broken, and what to do then.
type Rule = (bool, &'static str);

fn strategy_rules(config: &Config) -> [Rule; 2] {
    let is_header = config.strategy == Strategy::Header;
    [
        (
            is_header && config.hash_field.is_none(),
            "-s header needs a field to hash: add --hash-field x-user-id",
        ),
        (
            !is_header && config.hash_field.is_some(),
            "--hash-field is for -s header only: add -s header or leave it out",
        ),
    ]
}

fn health_rules(config: &Config, given: &Given) -> [Rule; 3] {
    [
        (
            config.health.check == Check::Off && PROBES.iter().any(|long| given.has(long)),
            "--health off makes no probes: leave it out, or leave -c, -R, --health-timeout, \
             --rise and --fall out",
        ),
        (
            config.health.check != Check::Http && ASKS.iter().any(|long| given.has(long)),
            "--health-path, --health-host, --health-method and --health-expect are for HTTP \
             probes: add --health http or leave them out",
        ),
        (
            config.strategy == Strategy::Rank && config.health.check == Check::Off,
            "-s rank uses the durations of probes, and --health off makes none: leave one of them \
             out",
        ),
    ]
}

fn listener_rules(config: &Config, given: &Given) -> [Rule; 6] {
    let for_tls = ["client-ca", "hsts", "redirect-http"];
    [
        (
            config.admin.is_none() && (given.has("admin-host") || given.has("admin-public")),
            "--admin-host and --admin-public are for the admin listener only: add --admin 9000 or \
             leave them out",
        ),
        (
            config.takeover && config.reuse_port,
            "--takeover replaces the one process at an address, and with --reuse-port there may be \
             several: leave one of them out",
        ),
        (
            config.takeover && config.listen.port() == Some(0),
            "--takeover needs a port, as nothing listens on port 0: write the one that is in use",
        ),
        (
            !speaks_tls(config) && for_tls.iter().any(|long| given.has(long)),
            "--client-ca, --hsts and --redirect-http are for TLS only: add --cert FILE or leave \
             them out",
        ),
        (
            config.self_signed && !config.certificates.is_empty(),
            "--tls makes a certificate and --cert names one: leave one of them out",
        ),
        (
            config.acme_webroot.is_some() && speaks_tls(config) && config.redirect_http.is_none(),
            "--acme-webroot answers in the clear, where no port is with --cert: add \
             --redirect-http 80, or leave it out",
        ),
    ]
}

fn speaks_tls(config: &Config) -> bool {
    config.self_signed || !config.certificates.is_empty()
}

fn output_rules(config: &Config, given: &Given) -> [Rule; 5] {
    [
        (
            (config.rate.is_some() || config.connections_per_client.is_some())
                && config.listen.unix_name().is_some()
                && config.proxy_protocol != TrustedProxies::All,
            "--rate and --max-connections-per-client need clients' addresses, which a unix socket \
             does not have: add --proxy-protocol any, or leave them out",
        ),
        (
            config.sticky_key_file.is_some() && config.sticky.is_none(),
            "--sticky-key is for --sticky only: add --sticky srv or leave it out",
        ),
        (
            given.has("log-format") && config.access_log.is_none(),
            "--log-format is for the access log only: add -l FILE or leave it out",
        ),
        (
            given.has("check") && given.has("print-config"),
            "--check and --print-config each end the program: leave one of them out",
        ),
        (
            config.record.is_some() && config.record == log_file(config),
            "-l and --record name the same file: give each a file of its own",
        ),
    ]
}

/// What texts of TCP probes need.
fn text_rules(config: &Config) -> [Rule; 2] {
    let dialogue = config.health.dialogue.as_ref();
    [
        (
            dialogue.is_some() && config.health.check != Check::Tcp,
            "--health-send and --health-expect-text are for TCP probes: add --health tcp or leave \
             them out",
        ),
        (
            dialogue.is_some_and(|dialogue| dialogue.expect.is_empty()),
            "--health-send alone shows no more than connecting does: add --health-expect-text TEXT",
        ),
    ]
}

/// What a unix socket does not go with.
fn socket_rules(config: &Config) -> [Rule; 5] {
    let socket = config.listen.unix_name();
    [
        (
            config.socket_mode.is_some() && !matches!(socket, Some(UnixName::Path(_))),
            "--socket-mode is for a unix socket with a path: listen on unix:/PATH, or leave it out",
        ),
        (
            config.reuse_port && socket.is_some(),
            "--reuse-port is for ports, and a unix socket has none: leave one of them out",
        ),
        (
            config.redirect_http.is_some() && socket.is_some(),
            "--redirect-http sends clients to the port of TLS, and a unix socket has none: leave \
             one of them out",
        ),
        (
            config.strategy == Strategy::Source
                && socket.is_some()
                && config.proxy_protocol != TrustedProxies::All,
            "-s source goes by the client's address, which those of a unix socket do not have: \
             choose another strategy, or add --proxy-protocol any if a balancer in front sends it",
        ),
        (
            config.mode == Mode::Redirect
                && config.backends.iter().any(|spec| spec.endpoint.unix_name().is_some()),
            "-m redirect sends clients to the backends, and they cannot reach a unix socket: \
             leave one of them out",
        ),
    ]
}

fn log_file(config: &Config) -> Option<PathBuf> {
    match &config.access_log {
        Some(LogTarget::File(path)) => Some(path.clone()),
        Some(LogTarget::Stdout) | None => None,
    }
}

/// Refuses an admin listener that others could reach unasked, or that is a backend.
fn check_admin(config: &Config) -> Result<(), UsageError> {
    let Some(at) = config.admin.as_ref().map(AdminAddress::at) else {
        return Ok(());
    };
    if !at.is_loopback() && !config.admin_public {
        return Err(UsageError::BadValue {
            spelled: "--admin".to_owned(),
            reason: format!(
                "other machines could reach `{at}` and see every server's address and traffic: \
                 write 127.0.0.1:{}, or add --admin-public",
                at.port
            ),
        });
    }
    let backends = config.backends.iter().map(|spec| &spec.endpoint);
    match backends.into_iter().find(|backend| backend.reaches_port(at)) {
        Some(backend) => Err(UsageError::Loop(backend.clone())),
        None => Ok(()),
    }
}

/// Refuses a given option or strategy that does nothing in the mode of `config`; defaults pass.
fn check_modes(
    rows: &[&'static Opt<Config>],
    given: &Given,
    config: &Config,
) -> Result<(), UsageError> {
    let strategy = (format!("-s {}", config.strategy.name()), modes::of_strategy(config.strategy));
    let options = rows.iter().filter(|row| given.has(row.long));
    let options = options.map(|row| (row.names(), row.modes));
    let mut all = std::iter::once(strategy).chain(options);
    match all.find(|(_, modes)| !modes.contains(&config.mode)) {
        Some((spelled, modes)) => Err(UsageError::NoEffect {
            spelled,
            mode: named(config.mode, &modes::NAMES),
            modes: modes.iter().map(|mode| named(*mode, &modes::NAMES)).collect(),
        }),
        None => Ok(()),
    }
}
