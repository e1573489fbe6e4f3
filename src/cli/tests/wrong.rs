//! Every wrong use with its message.

use super::*;

const NO_BACKEND: &str = "no backend to balance over: name them after the port, as in \
                      loadbalancer 8080 1234 5678, or try loadbalancer demo";

const WRONG: &[(&str, &str)] = &[
    // No backend.
    ("", NO_BACKEND),
    ("8080", NO_BACKEND),
    ("-p 8080", NO_BACKEND),
    ("-v", NO_BACKEND),
    // Unknown options.
    ("1 2 --stratgy rr", "there is no option `--stratgy`; did you mean --strategy?"),
    ("1 2 --stratgy=rr", "there is no option `--stratgy`; did you mean --strategy?"),
    ("1 2 --interval 5", "there is no option `--interval`; did you mean --check-interval?"),
    ("1 2 -strategy rr", "there is no option `-strategy`; did you mean --strategy?"),
    ("1 2 --bogus", "there is no option `--bogus`; see loadbalancer --help"),
    ("1 2 -x", "there is no option `-x`; see loadbalancer --help"),
    ("1 2 -vx", "there is no option `-vx`; see loadbalancer --help"),
    ("1 2 --=5", "there is no option `--`; see loadbalancer --help"),
    ("demo -b h:1", "there is no option `-b`; see loadbalancer demo --help"),
    ("httpserver 1 -N 8", "there is no option `-N`; see loadbalancer httpserver --help"),
    // Once, with a value, without a value.
    ("1 2 -N 8 -N 9", "-N/--max-pairs is given twice: keep one"),
    ("1 2 -N 8 --max-pairs=8", "-N/--max-pairs is given twice: keep one"),
    ("1 2 -v -v", "-v/--verbose is given twice: keep one"),
    ("1 2 --rise 1 --rise 1", "--rise is given twice: keep one"),
    ("1 2 -N", "-N needs a value: write -N NUM"),
    ("1 2 --rise", "--rise needs a value: write --rise NUM"),
    ("1 -N -R 7 2", "-N needs a value: write -N NUM before `-R`"),
    // Which of two readings?
    (
        "1234 -p 8080 5678",
        "`1234` beside -p 8080 has two readings: to listen on 1234 leave out -p, for a backend on \
         port 1234 write -b 1234",
    ),
    (
        "-p h:80 -b h:1 -- :1234",
        "`:1234` beside -p h:80 has two readings: to listen on 1234 leave out -p, for a backend \
         on port 1234 write -b 1234",
    ),
    ("1 -b -v", "-b needs a value: write -b ADDR... before `-v`"),
    ("1 -f", "-f needs a value: write -f FILE"),
    ("1 2 --verbose=yes", "--verbose takes no value: write it alone"),
    ("1 2 -v=1", "-v takes no value: write it alone"),
    // Addresses.
    ("abc 1", "`abc` has no port: write `abc:PORT`"),
    ("8080 abc", "`abc` has no port: write `abc:PORT`"),
    ("8080 65536", "`65536` has too big a port: write 1 to 65535"),
    ("65536 1", "`65536` has too big a port: write 1 to 65535"),
    ("8080 0", "`0` is no backend, port 0 is not in use: write 1 to 65535"),
    ("-b 0 -p 1", "-b: `0` is no backend, port 0 is not in use: write 1 to 65535"),
    ("-b localhost", "-b: `localhost` has no port: write `localhost:PORT`"),
    ("-b h:1,h:2", "-b: `h:1,h:2` has a comma in it: put a space between addresses"),
    ("-p abc 1", "-p: `abc` has no port: write `abc:PORT`"),
    ("--listen=70000 1", "--listen: `70000` has too big a port: write 1 to 65535"),
    ("8080 http://h:1/", "`http://h:1/` is a URL: write `h:1`"),
    ("8080 1234 1234", "the backend `1234` is given twice: keep one"),
    ("8080 1 -b localhost:1", "the backend `localhost:1` is given twice: keep one"),
    ("8080 8080", "the backend `8080` is the balancer itself: change one of the ports"),
    (
        "-p 8080 [::1]:8080",
        "the backend `[::1]:8080` is the balancer itself: change one of the ports",
    ),
    ("h:1 H:1", "the backend `H:1` is the balancer itself: change one of the ports"),
    // The admin listener.
    (
        "8080 1 --admin 0.0.0.0:9000",
        "--admin: other machines could reach `0.0.0.0:9000` and see every server's address and \
         traffic: write 127.0.0.1:9000, or add --admin-public",
    ),
    (
        "8080 1 --admin lb.example:9000",
        "--admin: other machines could reach `lb.example:9000` and see every server's address and \
         traffic: write 127.0.0.1:9000, or add --admin-public",
    ),
    ("8080 1 --admin x", "--admin: `x` has no port: write `x:PORT`"),
    (
        "8080 9000 --admin 9000",
        "the backend `9000` is the balancer itself: change one of the ports",
    ),
    (
        "8080 localhost:9000 --admin 127.0.0.1:9000",
        "the backend `localhost:9000` is the balancer itself: change one of the ports",
    ),
    (
        "8080 1 --hsts 1h",
        "--client-ca, --hsts and --redirect-http are for TLS only: add --cert FILE or leave them \
         out",
    ),
    (
        "8080 1 --cert c.pem --acme-webroot w",
        "--acme-webroot answers in the clear, where no port is with --cert: add --redirect-http \
         80, or leave it out",
    ),
    (
        "8080 1 --admin-host lb.example",
        "--admin-host and --admin-public are for the admin listener only: add --admin 9000 or \
         leave them out",
    ),
    (
        "8080 1 --admin 9000 --admin-host a:1",
        "--admin-host: `a:1` is not a host name: write one like lb.example.org",
    ),
    ("8080 1 --live-path alive", "--live-path: `alive` is not a path: write one like /healthcheck"),
    // Limits of a client.
    (
        "8080 1 --rate 5",
        "--rate: `5` is no rate: write 100/s, or 100/s:200 for bursts of 200, at most 1000000",
    ),
    (
        "8080 1 --max-connections-per-client 0",
        "--max-connections-per-client: `0` is not a whole number from 1 to 1000000",
    ),
    (
        "unix:/tmp/x 1 --rate 5/s",
        "--rate and --max-connections-per-client need clients' addresses, which a unix socket does \
         not have: add --proxy-protocol any, or leave them out",
    ),
    // Sticky sessions.
    (
        "8080 1 --sticky a;b",
        "--sticky: `a;b` is not the name of a cookie: write one like srv, at most 64 bytes",
    ),
    (
        "8080 1 --sticky-key x",
        "--sticky-key is for --sticky only: add --sticky srv or leave it out",
    ),
    ("8080 1 --slow-start x", "--slow-start: `x` is not a duration: write 500ms, 5s, 1m or 2h"),
    // The queue.
    ("8080 1 --queue-max -1", "--queue-max: `-1` is not a whole number from 0 to 1000000"),
    (
        "8080 1 --queue-max 1000001",
        "--queue-max: `1000001` is not a whole number from 0 to 1000000",
    ),
    // Edits of heads.
    (
        "8080 1 --header-up X-Env",
        "--header-up: `X-Env` is no edit: write 'Name: value' to set a field, -Name to remove it",
    ),
    ("8080 1 --header-up -v", "--header-up needs a value: write --header-up EDIT before `-v`"),
    (
        "8080 1 --header-up --verbose",
        "--header-up needs a value: write --header-up EDIT before `--verbose`",
    ),
    (
        "8080 1 --header-up -Host",
        "--header-up: `-Host` is needed in every request: set it, as in 'Host: www.example.org'",
    ),
    (
        "8080 1 --header-down -Content-Length",
        "--header-down: `-Content-Length` is a field of the connection or the framing, which this \
         program writes: leave it out",
    ),
    (
        "8080 1 --header-down X-A:1 --header-down -x_a",
        "--header-down: `x_a` is edited twice: keep one",
    ),
    // Commands.
    ("dmeo", "there is no command `dmeo`; did you mean demo?"),
    ("htpserver 1234", "there is no command `htpserver`; did you mean httpserver?"),
    ("-v demo", "the command `demo` must come first: write loadbalancer demo ..."),
    ("8080 demo", "the command `demo` must come first: write loadbalancer demo ..."),
    ("demo 1 2", "unexpected argument `2`: the demo takes one address and brings its own backends"),
    ("demo abc", "`abc` has no port: write `abc:PORT`"),
    ("httpserver", "no port to listen on given: write loadbalancer httpserver 1234"),
    (
        "httpserver 1 --remove-dir --until-eof",
        "--remove-dir needs --until-eof and -d: add both or leave it out",
    ),
    (
        "httpserver 1 --max-upload 1x",
        "--max-upload: `1x` is not a size: write 100000, 500k, 20m or 1g",
    ),
    ("httpserver abc", "`abc` has no port: write `abc:PORT`"),
    ("httpserver 1 2", "unexpected argument `2`: start another httpserver for it"),
    (
        "httpserver 1 --fail-rate 30",
        "--fail-rate: `30` is not a share: write 0.3 or 30%, at most 1 or 100%",
    ),
    ("get", "no URL given: write loadbalancer get http://localhost:8080/file"),
    ("get h:1/f", "`h:1/f` is not a URL: write `http://h:1/f`"),
    ("get ftp://h", "`ftp://h` is no URL of HTTP: write one beginning with http:// or https://"),
    ("get http:///f", "`http:///f` names no host: write http://host:port/file"),
    (
        "get http://h/a http://h/b",
        "unexpected argument `http://h/b`: get takes one URL, run it again for the next",
    ),
    ("top 1 2", "unexpected argument `2`: top takes one address"),
    ("top http://h:1/", "`http://h:1/` is a URL: write `h:1`"),
    ("top 0", "unexpected argument `0`: write the port that the balancer printed"),
];

#[test]
fn every_wrong_command_line_has_its_message() {
    for (text, expected) in WRONG {
        match line(&format!("loadbalancer {text}")) {
            Err(wrong) => assert_eq!(wrong.to_string(), *expected, "{text}"),
            Ok(command) => panic!("{text}: {command:?}"),
        }
    }
}

const BAD_VALUES: &[(&str, &str)] = &[
    ("-N 0", "-N: `0` is not a whole number from 1 to 1000000"),
    ("-N1000001", "-N: `1000001` is not a whole number from 1 to 1000000"),
    ("--max-pairs=-1", "--max-pairs: `-1` is not a whole number from 1 to 1000000"),
    ("-N=", "-N: `` is not a whole number from 1 to 1000000"),
    ("-R 0", "-R: `0` is not a whole number from 1 to 1000000000"),
    ("-c 0", "-c: `0` is too short: write at least 10ms"),
    ("-c -5", "-c: `-5` is negative: write a time to wait, like 5s"),
    ("-N -1", "-N: `-1` is not a whole number from 1 to 1000000"),
    ("-c 25h", "-c: `25h` is too long: write at most 24h"),
    ("-c soon", "-c: `soon` is not a duration: write 500ms, 5s, 1m or 2h"),
    ("--idle-timeout 0", "--idle-timeout: `0` is too short: write at least 1ms"),
    ("--health-timeout 5001ms", "--health-timeout: `5001ms` is too long: write at most 5s"),
    (
        "-s rrr",
        "-s: `rrr` is not one of first, rr, rand, least-conn, least-time, least-load, \
                    rank, p2c, source, uri, header; did you mean rr?",
    ),
    ("-m htp", "-m: `htp` is not one of http, tcp, redirect; did you mean http?"),
    (
        "-m https",
        "-m: `https` is not one of http, tcp, redirect; for https write --cert FILE, or -m tcp \
         to forward TLS as it is",
    ),
    ("--key k.pem", "--key: a key follows its certificate: write --cert FILE first"),
    ("--cert c --key k --key l", "--key: the --cert before it has a --key already: keep one"),
    ("--cert c --cert c", "--cert: c is given twice: keep one"),
    ("--cert -", "--cert: `-` is not a file: write the name of one"),
    (
        "-s sticky",
        "-s: `sticky` is not one of first, rr, rand, least-conn, least-time, least-load, rank, \
         p2c, source, uri, header; to keep a client at its server write --sticky srv, or -s source",
    ),
    ("-m 5", "-m: `5` is not one of http, tcp, redirect"),
    ("--health on", "--health: `on` is not one of http, tcp, off"),
    (
        "-m redirect --redirect-status 300",
        "--redirect-status: `300` is not one of 301, 302, 303, 307, 308; did you mean 301?",
    ),
    (
        "--trust-forwarded=10.0.0.0/33",
        "--trust-forwarded: `10.0.0.0/33` has no prefix length from 0 to 32 after the /",
    ),
    (
        "--trust-forwarded=",
        "--trust-forwarded: `` is not an address or network: write 10.0.0.1 or 10.0.0.0/8",
    ),
    (
        "--proxy-protocol all",
        "--proxy-protocol: `all` is not an address or network: write 10.0.0.1 or 10.0.0.0/8, or any",
    ),
    (
        "--proxy-protocol 10.0.0.1,any",
        "--proxy-protocol: `any` is not an address or network: write 10.0.0.1 or 10.0.0.0/8, or any",
    ),
    ("--all-down-status 200", "--all-down-status: `200` is not a whole number from 400 to 599"),
    ("--health-expect 600", "--health-expect: `600` is not a whole number from 200 to 599"),
    ("--health-path x", "--health-path: `x` is not a path: write one like /healthcheck"),
    ("--health-host a/b", "--health-host: `a/b` is not a host: write one like www.example.org"),
    ("--health-host :80", "--health-host: `:80` is not a host: write one like www.example.org"),
    (
        "--health-method head",
        "--health-method: `head` is not one of GET, HEAD, OPTIONS; did you mean HEAD?",
    ),
    ("--rise 101", "--rise: `101` is not a whole number from 1 to 100"),
    ("--fall 0", "--fall: `0` is not a whole number from 1 to 100"),
    ("--retries 10", "--retries: `10` is not a whole number from 0 to 9"),
    ("--error-page 503", "--error-page: `503` is not CODE=FILE: write 503=busy.html"),
    ("--error-page 503=a --error-page 503=b", "--error-page: 503 has two pages: keep one"),
    ("--hash-field a:b", "--hash-field: `a:b` is not a field name: write one like x-user-id"),
    ("-l=", "-l: the name is empty: write a file name"),
    ("-f -", "-f: `-` is not a file: write the name of one"),
];

#[test]
fn every_bad_value_has_its_message() {
    for (text, expected) in BAD_VALUES {
        match line(&format!("loadbalancer 8080 1234 {text}")) {
            Err(wrong) => assert_eq!(wrong.to_string(), *expected, "{text}"),
            Ok(command) => panic!("{text}: {command:?}"),
        }
    }
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let off = "--health off makes no probes: leave it out, or leave -c, -R, --health-timeout, \
               --rise and --fall out";
    let asks = "--health-path, --health-host, --health-method and --health-expect are for HTTP \
                probes: add --health http or leave them out";
    let probeless = "-s rank uses the durations of probes, and --health off makes none: leave one \
                     of them out";
    let table = [
        ("-s header", "-s header needs a field to hash: add --hash-field x-user-id"),
        ("--hash-field x", "--hash-field is for -s header only: add -s header or leave it out"),
        (
            "-m tcp -s uri",
            "-s uri does nothing with -m tcp: leave it out, or write -m http or -m redirect",
        ),
        (
            "-m tcp -s header --hash-field x",
            "-s header does nothing with -m tcp: leave it out, or write -m http or -m redirect",
        ),
        (
            "-m redirect -s lc",
            "-s least-conn does nothing with -m redirect: leave it out, or write -m http or -m tcp",
        ),
        (
            "--head-timeout 5 -m tcp",
            "--head-timeout does nothing with -m tcp: leave it out, or write -m http or \
             -m redirect",
        ),
        (
            "-N 8 -m redirect",
            "-N/--max-pairs does nothing with -m redirect: leave it out, or write -m http or \
             -m tcp",
        ),
        ("-s rank --health off", probeless),
        ("-m redirect -s rank --health off", probeless),
        (
            "--log-format json",
            "--log-format is for the access log only: add -l FILE or leave it out",
        ),
        (
            "--redirect-status 302",
            "--redirect-status does nothing with -m http: leave it out, or write -m redirect",
        ),
        (
            "-m tcp --fall-on-5xx 3",
            "--fall-on-5xx does nothing with -m tcp: leave it out, or write -m http",
        ),
        ("--health off -c 5", off),
        ("--health off --rise 2", off),
        ("--health tcp --health-path /x", asks),
        ("--health tcp --health-host x", asks),
        ("--health off --health-method HEAD", asks),
        ("-m tcp --health-expect 200", asks),
    ];
    for (text, expected) in table {
        for command in ["loadbalancer 8080 1234", "loadbalancer demo"] {
            let wrong = line(&format!("{command} {text}")).expect_err(text);
            assert_eq!(wrong.to_string(), expected, "{text}");
        }
    }
}

#[test]
fn words_of_a_backend_are_refused_as_in_a_list() {
    let long = format!("{}:80", "h".repeat(60));
    for (given, expected) in [
        (
            &["80", "10.0.0.1:80", "weight=3"][..],
            "`weight=3` is a word of a backend: put it into one argument with the address: \
             '10.0.0.1:80 weight=3'",
        ),
        (
            &["80", "h:1 max=5", "backup"],
            "`backup` is a word of a backend: put it into one argument with the address: \
             'h:1 max=5 backup'",
        ),
        (
            &["80", &long, "send-proxy"],
            "`send-proxy` is a word of a backend: put it into one argument with the address: \
             'HOST:PORT send-proxy'",
        ),
        (
            &["80", "-b", "each"],
            "-b: `each` is a word of a backend: put it into one argument with the address: \
             'HOST:PORT each'",
        ),
        (&["80", "h each"], "`h` has no port: write `h:PORT`"),
        (
            &["80", "10.0.0.1:80 each"],
            "the backend `10.0.0.1:80 each`: expected each after a host name, `10.0.0.1:80` is one \
             backend",
        ),
        (
            &["80", "-b", "h:1 weight=0"],
            "-b: the backend `h:1 weight=0`: expected weight= a whole number from 1 to 1000, got `0`",
        ),
        (&["80", "h:1 drain drain"], "the backend `h:1 drain drain`: expected drain once"),
        (
            &["80", "h:1 h:2"],
            "the backend `h:1 h:2`: expected one server, got `h:2` as well: give each its own line \
             or argument",
        ),
        (&["80", "h:1", "h:1 weight=2"], "the backend `h:1` is given twice: keep one"),
        (&["80 weight=2", "h:1"], "`80 weight=2` has a space in it: write HOST:PORT without"),
    ] {
        let wrong = arguments(given).expect_err(expected);
        assert_eq!(wrong.to_string(), expected);
    }
    let text = arguments(&["80", "h:1 send-proxy"]).expect_err("HTTP mode").to_string();
    assert!(text.contains("expected send-proxy in TCP mode only"), "{text}");
}

#[test]
fn backends_of_the_command_line_end_at_their_maximum() {
    let ports = |count: usize| {
        let words: Vec<String> = (1..=count).map(|port| format!("h:{port}")).collect();
        line(&format!("loadbalancer 8080 {}", words.join(" ")))
    };
    assert!(ports(crate::config::BACKENDS_MAX).is_ok());
    let wrong = ports(crate::config::BACKENDS_MAX + 1).expect_err("one too many");
    assert_eq!(wrong.to_string(), "there are more than 1000 backends: leave some out");
}

#[test]
fn arguments_that_are_not_utf8_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    for tail in [&["\u{fffd}"][..], &["1", "\u{fffd}"], &["1", "2", "-s", "\u{fffd}"]] {
        let argv = ["loadbalancer"].iter().chain(tail).map(|word| match *word {
            "\u{fffd}" => OsString::from_vec(b"\xFF".to_vec()),
            word => OsString::from(word),
        });
        let wrong = parse(argv.collect()).expect_err("no text");
        assert_eq!(wrong.to_string(), "`\u{fffd}` is not UTF-8: write plain text");
    }
}

#[test]
fn an_empty_word_is_an_empty_address() {
    let wrong = parse(["loadbalancer", ""].map(OsString::from).to_vec()).expect_err("empty");
    let expected = "the address is empty: write PORT, HOST:PORT or [IPv6]:PORT";
    assert_eq!(wrong.to_string(), expected);
}
