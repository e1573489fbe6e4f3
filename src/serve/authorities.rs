//! Whom servers in TLS are verified by: read with the backends, at the start and with each reading
//! of the list.

use super::failure::{Failure, say};
use super::watched::{Stamped, stamped};
use crate::config::list::Listed;
use crate::config::{BackendSpec, Config, Mode, Trust};
use crate::net::tls::{Authorities, Carries, Places};
use std::path::{Path, PathBuf};

/// What connections carry in this mode.
pub fn carries(mode: Mode) -> Carries {
    match mode {
        Mode::Http | Mode::Redirect => Carries::Http,
        Mode::Tcp => Carries::Anything,
    }
}

/// What the backends of the command line are verified by, and room for those of a list.
///
/// Errors: one sentence about the first that cannot be used.
pub fn of_given(given: &[BackendSpec], mode: Mode) -> Result<Authorities, Failure> {
    let mut authorities = Authorities::new(Places::of_environment(), carries(mode));
    for spec in given {
        add(&mut authorities, spec)
            .map_err(|problem| Failure(format!("backend {spec}: {problem}")))?;
    }
    Ok(authorities)
}

/// Adds what this backend is verified by.
///
/// Errors: one sentence.
pub fn add(authorities: &mut Authorities, spec: &BackendSpec) -> Result<(), String> {
    spec.tls_server().map_or(Ok(()), |server| authorities.add(&server))
}

/// Reads what all backends are verified by; none where none speaks TLS. Lines of the list at `path`
/// whose server cannot be verified are reported and taken out.
///
/// Errors: a server of the command line cannot be verified.
pub fn read(
    given: &[BackendSpec],
    path: &Path,
    listed: &mut Vec<Listed>,
    config: &Config,
) -> Result<Option<Authorities>, Failure> {
    let mut authorities = of_given(given, config.mode)?;
    listed.retain(|Listed { line, spec }| {
        let outcome = add(&mut authorities, spec);
        if let Err(problem) = &outcome {
            say(config.events, format_args!("{}:{line}: {problem}", path.display()));
        }
        outcome.is_ok()
    });
    let all = || given.iter().chain(listed.iter().map(|listed| &listed.spec));
    for line in insecure_lines(all(), &[]) {
        say(config.events, format_args!("{line}"));
    }
    let is_needed = all().any(|spec| spec.tls.is_some());
    Ok(is_needed.then_some(authorities))
}

/// A line about each server whose certificate is not verified, and was verified, or not there, `before`.
pub fn insecure_lines<'a>(
    specs: impl Iterator<Item = &'a BackendSpec>,
    before: &[Listed],
) -> Vec<String> {
    let is_insecure =
        |spec: &BackendSpec| spec.tls.as_ref().is_some_and(|tls| tls.trust == Trust::Nobody);
    let was = |new: &BackendSpec| {
        let mut old = before.iter().map(|listed| &listed.spec);
        old.any(|old| is_insecure(old) && old.endpoint == new.endpoint)
    };
    let new = specs.filter(|spec| is_insecure(spec) && !was(spec));
    new.map(|spec| format!("backend {spec}: INSECURE, ITS CERTIFICATE IS NOT VERIFIED")).collect()
}

/// The files and folders that these servers are verified by, each as it is now.
pub fn stamps<'a>(specs: impl Iterator<Item = &'a BackendSpec>) -> Stamped {
    let trusts = specs.filter_map(|spec| spec.tls.as_ref()).map(|tls| &tls.trust);
    let files = trusts.flat_map(|trust| match trust {
        Trust::File(path) => vec![path.clone()],
        Trust::System => Places::of_environment().paths(),
        Trust::Nobody => Vec::new(),
    });
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files.dedup();
    stamped(files)
}
