//! Whom servers in TLS are verified by: read with the backends, at the start and with each reading
//! of the list.

use super::failure::Failure;
use crate::config::{BackendSpec, Mode, Trust};
use crate::net::files::Stamp;
use crate::net::tls::{Authorities, Carries, Places};
use std::path::PathBuf;

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

/// Whether this backend's certificate is not verified.
pub fn is_insecure(spec: &BackendSpec) -> bool {
    spec.tls.as_ref().is_some_and(|tls| tls.trust == Trust::Nobody)
}

/// The line about such a backend.
pub fn insecure_line(spec: &BackendSpec) -> String {
    format!("backend {spec}: INSECURE, ITS CERTIFICATE IS NOT VERIFIED")
}

/// The files that a list names, each as it is now.
pub fn stamps<'a>(specs: impl Iterator<Item = &'a BackendSpec>) -> Vec<(PathBuf, Option<Stamp>)> {
    let trusts = specs.filter_map(|spec| spec.tls.as_ref()).map(|tls| &tls.trust);
    let files = trusts.filter_map(|trust| match trust {
        Trust::File(path) => Some(path.clone()),
        Trust::System | Trust::Nobody => None,
    });
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files.dedup();
    files.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect()
}
