//! The rows of the option table about TLS.

use super::modes::{EVERY, HEADS};
use super::option::{Group, Opt, Take};
use super::value::{directory, pem_file, shown_path};
use crate::config::{CertificateFile, Config, HostPort};
use std::time::Duration;

pub const CERT: Opt<Config> = Opt {
    long: "cert",
    short: None,
    value: "FILE",
    group: Group::Tls,
    help: "Speak TLS to clients, with this certificate: a PEM file with its chain, and with its \
           key unless --key follows; may be repeated, then each is for its names; read again when \
           it changes",
    modes: EVERY,
    take: Take::Each {
        add: |c, v| {
            let chain = pem_file(v)?;
            if c.certificates.iter().any(|file| file.chain == chain) {
                return Err(format!("{v} is given twice: keep one"));
            }
            c.certificates.push(CertificateFile { chain, key: None });
            Ok(())
        },
        shown: |c| c.certificates.iter().map(|file| file.chain.display().to_string()).collect(),
    },
};

pub const KEY: Opt<Config> = Opt {
    long: "key",
    short: None,
    value: "FILE",
    group: Group::Tls,
    help: "The key of the --cert before it, if it is in a file of its own; PEM, not encrypted",
    modes: EVERY,
    take: Take::Each {
        add: |c, v| match c.certificates.last_mut() {
            Some(file) if file.key.is_none() => {
                file.key = Some(pem_file(v)?);
                Ok(())
            }
            Some(_) => Err("the --cert before it has a --key already: keep one".to_owned()),
            None => Err("a key follows its certificate: write --cert FILE first".to_owned()),
        },
        shown: |c| {
            let keys = c.certificates.iter().filter_map(|file| file.key.as_ref());
            keys.map(|key| key.display().to_string()).collect()
        },
    },
};

/// For the demo only.
pub const DEMO_TLS: Opt<Config> = Opt {
    long: "tls",
    short: None,
    value: "",
    group: Group::Tls,
    help: "Speak TLS to clients, with a certificate for localhost that is made now; how curl trusts \
           it is printed",
    modes: EVERY,
    take: Take::Flag { set: |c| c.self_signed = true, is_set: |c| c.self_signed },
};

pub const CLIENT_CA: Opt<Config> = Opt {
    long: "client-ca",
    short: None,
    value: "FILE",
    group: Group::Tls,
    help: "Require a certificate of clients that one of the authorities in FILE has signed; servers \
           get its subject as X-Client-Cert-Subject",
    modes: EVERY,
    take: Take::Text {
        set: |c, v| pem_file(v).map(|file| c.client_ca = Some(file)),
        default: |c| shown_path(c.client_ca.as_deref()),
    },
};

pub const REDIRECT_HTTP: Opt<Config> = Opt {
    long: "redirect-http",
    short: None,
    value: "ADDR",
    group: Group::Tls,
    help: "Listen here too, and answer each request with 308 to the same in https",
    modes: HEADS,
    take: Take::Text {
        set: |c, v| {
            let at = HostPort::listener(v).map_err(|error| error.to_string())?;
            c.redirect_http = Some(at);
            Ok(())
        },
        default: |c| c.redirect_http.as_ref().map_or("off".to_owned(), HostPort::to_string),
    },
};

pub const ACME_WEBROOT: Opt<Config> = Opt {
    long: "acme-webroot",
    short: None,
    value: "DIR",
    group: Group::Tls,
    help: "Answer challenges of certificate authorities with the files in \
           DIR/.well-known/acme-challenge, where certbot's webroot plugin puts them; on the port of \
           --redirect-http or, without TLS, on that of clients",
    modes: HEADS,
    take: Take::Text {
        set: |c, v| directory(v).map(|path| c.acme_webroot = Some(path)),
        default: |c| shown_path(c.acme_webroot.as_deref()),
    },
};

/// Browsers take ten years for ever.
const HSTS_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

pub const HSTS: Opt<Config> = Opt {
    long: "hsts",
    short: None,
    value: "TIME",
    group: Group::Tls,
    help: "Have browsers use https only for so long after each response, such as 8760h for a year; \
           0: not",
    modes: HEADS,
    take: Take::Duration { at: |c| &mut c.hsts, least: Duration::ZERO, most: HSTS_MAX },
};
