"""Requests and responses that readers of HTTP/1.1 may understand differently, for differential.py.

A request is (name, most, bytes): `most` is how many requests a reader to the letter of RFC 9110 and
RFC 9112 finds, 0 where it has to refuse. A response is (name, is_whole, closes, bytes): whether
such a reader would forward it as it is, and whether the server closes after it.
"""

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"
LAST = "0\r\n\r\n"


def octets(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def post(fields, body="", version="1.1"):
    """A POST with these field lines."""
    return octets(f"POST /1 HTTP/{version}\r\nHost: x\r\n{fields}\r\n\r\n{body}")


def get(fields="", target="/1", version="HTTP/1.1"):
    """A GET with these field lines, each with its end."""
    return octets(f"GET {target} {version}\r\nHost: x\r\n{fields}\r\n")


def chunks(body, fields=CHUNKED):
    return post(fields, body)


def table(prefix, rows):
    return [(f"{prefix}: {name}", most, octets(raw)) for name, most, raw in rows]


def lengths():
    def of(name, most, value):
        return name, most, post(f"Content-Length: {value}", "abc") + (b"" if most else SMUGGLED)

    return table("length", [
        of("plain", 1, "3"),
        of("leading zeros", 1, "003"),
        of("plus", 0, "+3"),
        of("minus", 0, "-3"),
        of("hexadecimal", 0, "0x3"),
        of("fraction", 0, "3.0"),
        of("exponent", 0, "3e0"),
        of("underscore", 0, "3_"),
        of("two numbers", 0, "3 3"),
        of("inner space", 0, "1 1"),
        of("list", 0, "3, 3"),
        of("list that differs", 0, "3, 4"),
        of("trailing comma", 0, "3,"),
        of("empty", 0, ""),
        of("past 2^64", 0, "18446744073709551619"),
        of("past 2^63", 0, "9223372036854775811"),
        of("quoted", 0, '"3"'),
        of("vertical tab", 0, "\x0b3"),
        of("no-break space", 0, "\xa03"),
        ("twice", 0, post("Content-Length: 3\r\nContent-Length: 3", "abc")),
        ("twice, differing", 0, post("Content-Length: 3\r\nContent-Length: 38", "abc") + SMUGGLED),
        ("in a GET", 1, get("Content-Length: 3\r\n") + b"abc"),
        ("zero and a body", 1, post("Content-Length: 0", "abc")),
    ])


def codings():
    def lines(name, most, fields):
        return name, most, post(fields, LAST) + (b"" if most else SMUGGLED)

    def of(name, most, value):
        return lines(name, most, f"Transfer-Encoding: {value}")

    return table("coding", [
        of("chunked", 1, "chunked"),
        of("upper case", 1, "CHUNKED"),
        of("empty member before", 1, ", chunked"),
        of("empty member after", 1, "chunked,"),
        of("prefix", 0, "xchunked"),
        of("suffix", 0, "chunkedx"),
        of("quoted", 0, '"chunked"'),
        of("parameter", 0, "chunked;q=1"),
        of("identity", 0, "identity"),
        of("gzip", 0, "gzip"),
        of("gzip, chunked", 0, "gzip, chunked"),
        of("chunked, gzip", 0, "chunked, gzip"),
        of("chunked, identity", 0, "chunked, identity"),
        of("identity, chunked", 0, "identity, chunked"),
        lines("twice", 0, f"{CHUNKED}\r\n{CHUNKED}"),
        of("twice in a list", 0, "chunked, chunked"),
        lines("two lines, one unknown", 0, f"Transfer-Encoding: x\r\n{CHUNKED}"),
        lines("empty", 0, "Transfer-Encoding:"),
        lines("space before the colon", 0, "Transfer-Encoding : chunked"),
        lines("tab before the colon", 0, "Transfer-Encoding\t: chunked"),
        of("vertical tab before", 0, "\x0bchunked"),
        of("NUL after", 0, "chunked\0"),
        lines("folded", 0, "Transfer-Encoding:\r\n chunked"),
        lines("bare LF before", 0, f"X: y\n{CHUNKED}"),
        lines("bare CR before", 0, f"X: y\r{CHUNKED}"),
        lines("underscore for hyphen", 1, "Content-Length: 5\r\nTransfer_Encoding: chunked"),
        lines("taken away by Connection", 1, f"{CHUNKED}\r\nConnection: Transfer-Encoding"),
        ("in HTTP/1.0", 0, post(CHUNKED, LAST, "1.0") + SMUGGLED),
        ("length first", 0, post(f"Content-Length: 6\r\n{CHUNKED}", LAST + "G")),
        ("length last", 0, post(f"{CHUNKED}\r\nContent-Length: 6", LAST + "G")),
        ("length and unknown", 0, post("Content-Length: 3\r\nTransfer-Encoding: x", "abc")),
        ("length of zero first", 0, post(f"Content-Length: 0\r\n{CHUNKED}", LAST)),
        ("length taken away by Connection", 1,
         post("Content-Length: 3\r\nConnection: Content-Length", "abc")),
    ])


def chunk_grammar():
    def of(name, most, size):
        return name, most, chunks(f"{size}\r\nabc\r\n" + LAST)

    return table("chunk", [
        of("plain", 1, "3"),
        ("upper case size", 1, chunks("A\r\n0123456789\r\n" + LAST)),
        of("extension", 1, '3;a="b c"'),
        of("leading zeros", 1, "0000003"),
        ("trailer", 1, chunks("3\r\nabc\r\n0\r\nX: y\r\n\r\n")),
        ("trailer that frames", 1, chunks("0\r\nContent-Length: 40\r\n\r\n")),
        of("trailing space", 1, "3 "),
        of("space before the extension", 1, "3 ;a"),
        of("leading space", 0, " 3"),
        of("0x", 0, "0x3"),
        of("plus", 0, "+3"),
        of("minus", 0, "-3"),
        of("underscore", 0, "0_3"),
        of("no size", 0, ""),
        of("no digit", 0, "g"),
        of("two sizes", 0, "3 3"),
        of("past 2^64", 0, "10000000000000003"),
        of("past 2^32", 1, "100000003"),
        ("bare LF after the size", 0, chunks("3\nabc\r\n" + LAST)),
        ("bare CR after the size", 0, chunks("3\rabc\r\n" + LAST)),
        ("bare LF in the extension", 0, chunks("2;\nxx\r\n4b\r\n0\r\n\r\n") + SMUGGLED),
        of("bare CR in the extension", 0, "3;a\rb"),
        of("NUL in the extension", 0, "3;\0"),
        ("bare LF after the data", 0, chunks("3\r\nabc\n" + LAST)),
        ("nothing after the data", 0, chunks("3\r\nabc" + LAST)),
        ("data longer than its size", 0, chunks("3\r\nabcd\r\n" + LAST)),
        ("two bytes for CRLF", 0, chunks("3\r\nabcXX0\r\n\r\n")),
        ("bare LF at the end", 0, chunks("0\r\n\n") + SMUGGLED),
        ("bare LFs", 0, chunks("3\nabc\n0\n\n") + SMUGGLED),
        ("trailer without a colon", 0, chunks("0\r\nabc\r\n\r\n")),
        ("trailer folded", 0, chunks("0\r\nA: b\r\n c\r\n\r\n")),
        ("trailer after a bare LF", 0, chunks("0\r\nA: b\nC: d\r\n\r\n")),
        ("several zeros", 1, chunks("000\r\n\r\n")),
    ])


def field_syntax():
    def of(name, most, lines):
        return name, most, get(f"{lines}\r\n")

    return table("field", [
        of("space before the colon", 0, "A : b"),
        of("space in the name", 0, "A b: c"),
        of("empty name", 0, ": b"),
        of("no colon", 0, "A"),
        of("folded", 0, "A: b\r\n c"),
        ("folded first line", 0, b"GET /1 HTTP/1.1\r\n Host: x\r\n\r\n"),
        of("NUL in the value", 0, "A: b\0c"),
        of("control character in the value", 0, "A: b\x01c"),
        of("DEL in the value", 0, "A: b\x7fc"),
        of("bytes past ASCII in the value", 1, "A: \xe9\xff"),
        of("bytes past ASCII in the name", 0, "\xe9: b"),
        of("NUL in the name", 0, "A\0: b"),
        of("bare LF", 0, "A: b\nC: d"),
        of("bare CR", 0, "A: b\rC: d"),
        of("CR CR LF", 0, "A: b\r"),
        ("bare LF at the end", 0, b"GET /1 HTTP/1.1\r\nHost: x\r\n\n"),
        ("LF only", 0, b"GET /1 HTTP/1.1\nHost: x\n\n"),
        of("slash in the name", 0, "A/b: c"),
        of("quotes in the name", 0, '"A": c'),
        of("empty value", 1, "A:"),
        of("tab around the value", 1, "A:\tb\t"),
        of("Connection lists Host", 1, "Connection: close, Host"),
        of("two Connections", 1, "Connection: close\r\nConnection: X-A\r\nX-A: b"),
        ("Upgrade to h2c", 1, get(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n")),
        ("Expect of something else", 0, post("Expect: a\r\nContent-Length: 3", "abc")),
        ("Expect of something else as well", 0, post(
            "Expect: 100-continue\r\nExpect: a\r\nContent-Length: 3", "abc")),
        ("Expect twice", 1, post("Expect: 100-continue\r\nExpect: 100-continue\r\n"
                                 "Content-Length: 3", "abc")),
    ])


def hosts():
    def of(name, most, lines, target="/1", version="1.1"):
        return name, most, f"GET {target} HTTP/{version}\r\n{lines}\r\n"

    return table("host", [
        of("none", 0, ""),
        of("none in HTTP/1.0", 1, "", version="1.0"),
        of("empty", 1, "Host:\r\n"),
        of("twice", 0, "Host: x\r\nHost: x\r\n"),
        of("twice, differing", 0, "Host: x\r\nHost: y\r\n"),
        of("list", 0, "Host: x, y\r\n"),
        of("path", 0, "Host: x/y\r\n"),
        of("query", 0, "Host: x?y\r\n"),
        of("fragment", 0, "Host: x#y\r\n"),
        of("user", 0, "Host: u@x\r\n"),
        of("scheme", 0, "Host: http://x\r\n"),
        of("inner space", 0, "Host: x y\r\n"),
        of("port", 1, "Host: x:81\r\n"),
        of("empty port", 1, "Host: x:\r\n"),
        of("port that is none", 0, "Host: x:8a\r\n"),
        of("port past 65535", 1, "Host: x:65536\r\n"),
        of("two ports", 0, "Host: x:80:81\r\n"),
        of("IPv6", 1, "Host: [::1]:81\r\n"),
        of("IPv6 not closed", 0, "Host: [::1\r\n"),
        of("IPv6 that is none", 0, "Host: [::g]\r\n"),
        of("backslash", 0, "Host: x\\y\r\n"),
        of("bytes past ASCII", 0, "Host: \xe9\r\n"),
        of("percent-encoded", 1, "Host: x%41\r\n"),
        of("percent without digits", 0, "Host: x%zz\r\n"),
        of("absolute target", 1, "Host: x\r\n", "http://x/1"),
        of("absolute target, other Host", 1, "Host: y\r\n", "http://x/1"),
        of("absolute target, no Host", 0, "", "http://x/1"),
        of("absolute target with a user", 0, "Host: x\r\n", "http://u@x/1"),
        of("absolute target without a host", 0, "Host: x\r\n", "http:///1"),
        of("absolute target, other scheme", 0, "Host: x\r\n", "ftp://x/1"),
    ])


def targets():
    def of(name, most, target):
        return name, most, get(target=target)

    return table("target", [
        of("fragment", 0, "/1#a"),
        of("backslash", 1, "/a\\b"),
        of("quote and angle brackets", 1, '/"<>'),
        of("bytes past ASCII", 0, "/\xc3\xa9"),
        of("bytes that are not UTF-8", 0, "/\xff"),
        of("control character", 0, "/\x01"),
        of("DEL", 0, "/\x7f"),
        of("NUL", 0, "/\0"),
        of("tab", 0, "/\t"),
        of("inner space", 0, "/a b"),
        of("percent without digits", 1, "/%zz"),
        of("encoded NUL", 1, "/%00"),
        of("dots", 1, "/a/../b"),
        of("dots above the root", 1, "/../b"),
        of("two slashes", 1, "//x/1"),
        of("no slash", 0, "1"),
        of("asterisk with GET", 0, "*"),
        ("asterisk with OPTIONS", 1, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
        of("authority with GET", 0, "x:80"),
        ("CONNECT", 0, b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n"),
        of("too long", 0, "/" + "a" * 40000),
    ])


def request_lines():
    def of(name, most, line):
        return name, most, f"{line}\r\nHost: x\r\n\r\n"

    return table("line", [
        of("two spaces", 0, "GET  /1 HTTP/1.1"),
        of("tab", 0, "GET\t/1\tHTTP/1.1"),
        of("leading space", 0, " GET /1 HTTP/1.1"),
        of("trailing space", 0, "GET /1 HTTP/1.1 "),
        of("empty line before", 1, "\r\nGET /1 HTTP/1.1"),
        of("bare LF before", 0, "\nGET /1 HTTP/1.1"),
        ("no version", 0, "GET /1\r\n\r\n"),
        of("lower case version", 0, "GET /1 http/1.1"),
        of("HTTP/1.2", 0, "GET /1 HTTP/1.2"),
        of("HTTP/0.9", 0, "GET /1 HTTP/0.9"),
        of("HTTP/2.0", 0, "GET /1 HTTP/2.0"),
        of("HTTP/1.10", 0, "GET /1 HTTP/1.10"),
        of("HTTP/01.1", 0, "GET /1 HTTP/01.1"),
        of("HTTP/1,1", 0, "GET /1 HTTP/1,1"),
        ("HTTP/2 preface", 0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        of("lower case method", 1, "get /1 HTTP/1.1"),
        of("unknown method", 1, "BREW /1 HTTP/1.1"),
        of("method that is no token", 0, "GE(T /1 HTTP/1.1"),
        ("bare CR at the end", 0, "GET /1 HTTP/1.1\rHost: x\r\n\r\n"),
        ("bare LF at the end", 0, "GET /1 HTTP/1.1\nHost: x\r\n\r\n"),
        ("TLS", 0, b"\x16\x03\x01\x00\x05hello\r\n\r\n"),
    ])


def pipelines():
    return table("pipeline", [
        ("two", 2, get() + get(target="/2")),
        ("a malformed one after", 1, get() + b"GET /2\r\n\r\n" + SMUGGLED),
        ("after a length", 2, post("Content-Length: 3", "abc") + get(target="/2")),
        ("after the last chunk", 2, chunks("1\r\na\r\n" + LAST) + get(target="/2")),
        ("after a malformed chunk", 0, chunks("zz\r\n") + SMUGGLED),
        ("after Connection: close", 1, get("Connection: close\r\n") + SMUGGLED),
        ("after HTTP/1.0", 1, get(version="HTTP/1.0") + SMUGGLED),
        ("after an Upgrade", 2,
         get("Connection: upgrade\r\nUpgrade: websocket\r\n") + get(target="/2")),
        ("after a TRACE", 1, b"TRACE /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    ])


REQUESTS = (lengths() + codings() + chunk_grammar() + field_syntax() + hosts() + targets()
            + request_lines() + pipelines())

OTHER = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


def answer(fields, body="abc", status="200 OK", version="1.1"):
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"HTTP/{version} {status}\r\n{lines}\r\n{body}"


LENGTH = "Content-Length: 3"

ANSWERS = [(name, is_whole, closes, octets(raw)) for name, is_whole, closes, raw in [
    ("plain", True, False, answer([LENGTH])),
    ("chunked", True, False, answer([CHUNKED], "3\r\nabc\r\n" + LAST)),
    ("until close", True, True, answer([])),
    ("HTTP/1.0", True, True, answer([], version="1.0")),
    ("no reason", True, False, answer([LENGTH], status="200")),
    ("interim first", True, False, answer([], "", "103 Early Hints") + answer([LENGTH])),
    ("interim with a length", True, False,
     answer([LENGTH], "", "103 Early Hints") + answer([LENGTH])),
    ("204 with a length", True, False, answer([LENGTH], "", "204 No Content")),
    ("204 with a coding", True, False, answer([CHUNKED], "", "204 No Content")),
    ("304 with a length", True, False, answer([LENGTH], "", "304 Not Modified")),
    ("length and coding", False, False, answer([LENGTH, CHUNKED], LAST + "abc")),
    ("two lengths", False, False, answer([LENGTH, "Content-Length: 4"])),
    # Only one reading is possible: RFC 9112 §6.3 and §2.2 let a recipient take them so.
    ("two equal lengths", True, False, answer([LENGTH, LENGTH])),
    ("a list of equal lengths", True, False, answer(["Content-Length: 3, 3"])),
    ("negative length", False, False, answer(["Content-Length: -3"])),
    ("length past 2^64", False, False, answer(["Content-Length: 18446744073709551619"])),
    ("unknown coding", False, False, answer(["Transfer-Encoding: x"])),
    ("coding in HTTP/1.0", False, True, answer([CHUNKED], LAST, version="1.0")),
    ("chunked twice", False, False, answer(["Transfer-Encoding: chunked, chunked"], LAST)),
    ("malformed chunk", False, False, answer([CHUNKED], "zz\r\nabc")),
    ("bare LF in a chunk", False, False, answer([CHUNKED], "3\nabc\n0\n\n")),
    ("cut inside its length", False, True, answer(["Content-Length: 5"])),
    ("cut inside a chunk", False, True, answer([CHUNKED], "5\r\nabc")),
    ("no last chunk", False, True, answer([CHUNKED], "3\r\nabc\r\n")),
    ("cut inside its head", False, True, "HTTP/1.1 200 OK\r\nContent-"),
    ("nothing", False, True, ""),
    ("no status line", False, True, "hello\r\n\r\n"),
    ("HTTP/2", False, True, answer([LENGTH], version="2")),
    ("status of two digits", False, True, answer([LENGTH], status="20 OK")),
    ("status of four digits", False, True, answer([LENGTH], status="2000 OK")),
    ("status 099", False, True, answer([LENGTH], status="099 OK")),
    ("status 101 unasked", False, False, answer([], "", "101 Switching Protocols")),
    ("space before the colon", False, False, answer(["Content-Length : 3"])),
    ("folded", False, False, answer([LENGTH, "A: b\r\n c"])),
    ("bare LF", True, False, answer(["A: b\nContent-Length: 3"])),
    ("bare CR", False, False, answer([LENGTH, "A: b\rC: d"])),
    ("NUL", False, False, answer([LENGTH, "A: b\0"])),
    ("no colon", False, False, answer([LENGTH, "A"])),
    ("field name past ASCII", False, False, answer([LENGTH, "\xe9: a"])),
    ("another response after it", True, False, answer([LENGTH]) + OTHER),
    ("empty line before", True, False, "\r\n" + answer([LENGTH])),
    ("head of 40 kB", False, False, answer([LENGTH, "A: " + "b" * 40000])),
]]
