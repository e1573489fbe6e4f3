//! Writes the forwarded head: removes hop-by-hop fields, adds `Host`, `Via` and `X-Forwarded-*`
//! (RFC 9110 §7.6). Unchanged lines are copied as received, as many at once as possible.

mod lines;
mod request;
mod response;

pub use request::{RequestContext, offers_upgrade, request, was_offered};
pub use response::{Additions, BodyTransform, Persistence, response, write_hsts};

/// Most bytes by which a forwarded head can be longer than the received one: two copies of an
/// authority, two of an address, the subject of a certificate, and constant text.
pub const GROWTH_BYTES_MAX: usize = 1536;

/// Most bytes of `X-Client-Cert-Subject`.
pub const SUBJECT_BYTES_MAX: usize = 512;

// A space and a CR for each line of a response head with bare LFs, and constant text.
const _: () = assert!(GROWTH_BYTES_MAX > 2 * super::head::FIELDS_MAX + 200);

const _: () = assert!(
    GROWTH_BYTES_MAX > 2 * super::target::AUTHORITY_BYTES_MAX + 2 * 46 + SUBJECT_BYTES_MAX + 250
);
