//! PROXY headers: any split gives the same result as the whole, what follows a header changes
//! nothing, and a header that names a client can be written and read again.

use super::splits;
use loadbalancer::wire::proxy_protocol::{
    HEADER_BYTES_MAX, Named, Parse, Version, WRITTEN_BYTES_MAX, parse, write,
};

pub fn run(data: &[u8]) {
    let whole = parse(data);
    for end in splits(data.len()) {
        match (parse(&data[..end]), whole) {
            (Parse::Partial, _) => {}
            (early, whole) => assert_eq!(early, whole, "after {end} bytes"),
        }
    }
    match whole {
        Parse::Partial => assert!(data.len() < HEADER_BYTES_MAX, "{} bytes", data.len()),
        Parse::Malformed(fault) => {
            assert!(!fault.reason().is_empty());
            let more = [data, b"\r\n"].concat();
            assert_eq!(parse(&more), whole, "two more bytes make it a header");
        }
        Parse::Complete { bytes, named } => {
            assert!(bytes <= HEADER_BYTES_MAX && bytes <= data.len(), "{bytes} bytes");
            assert_eq!(parse(&data[..bytes]), whole, "what follows matters");
            for end in splits(bytes) {
                assert_eq!(parse(&data[..end]), Parse::Partial, "{end} of {bytes} bytes");
            }
            write_again(named);
        }
    }
}

fn write_again(named: Named) {
    for version in [Version::V1, Version::V2] {
        let written = write(version, named);
        let bytes = written.bytes();
        assert!(bytes.len() <= WRITTEN_BYTES_MAX);
        let Parse::Complete { bytes: read, named: again } = parse(bytes) else {
            panic!("{bytes:?} is no header");
        };
        assert_eq!(read, bytes.len());
        match (named, again) {
            (Named::Client(one), Named::Client(two)) => {
                for (one, two) in [(one.source, two.source), (one.destination, two.destination)] {
                    assert_eq!(one.ip().to_canonical(), two.ip().to_canonical());
                    assert_eq!(one.port(), two.port());
                }
            }
            (Named::Client(_), _) | (_, Named::Client(_)) => panic!("{named:?} became {again:?}"),
            (Named::Proxy, Named::Proxy | Named::Unknown) | (Named::Unknown, Named::Unknown) => {}
            (Named::Unknown, Named::Proxy) => panic!("a client became the proxy itself"),
        }
    }
}
