//! The rows of the option table about TLS.

use super::modes::EVERY;
use super::option::{Group, Opt, Take};
use super::value::pem_file;
use crate::config::{CertificateFile, Config};

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
