//! What a request asks for, or why it is not answered. Pure: bytes go in.
//!
//! A page of a stranger can have a browser ask here under a name of the stranger's that leads to this address. So the name that
//! was asked for has to be one that nobody else can have: that of the loopback, or the address itself. Only the figures for scrapers
//! are answered under any name, where they are open to other hosts: those have names for this one that are unknown here.

use std::net::IpAddr;

/// A request, with all of its headers.
pub(super) const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub path: String,
    /// What stands behind the question mark.
    pub query: String,
}

/// Whether only the head of the answer is wanted, and what is asked for at this address, or the status
/// that says why that is not answered.
pub(super) fn parse(bytes: &[u8], here: IpAddr) -> (bool, Result<Request, &'static str>) {
    if bytes.len() > REQUEST_BYTES_MAX {
        return (false, Err("431 Request Header Fields Too Large"));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return (false, Err("400 Bad Request")) };
    let mut lines = text.split("\r\n");
    let words = lines.next().unwrap_or_default().split(' ').collect::<Vec<_>>();
    let [method, target, version @ ("HTTP/1.1" | "HTTP/1.0")] = words[..] else {
        return (false, Err("400 Bad Request"));
    };
    let asked = match (method, target.starts_with('/')) {
        ("GET" | "HEAD", true) => check_headers(lines, version, here, is_for_scrapers(target)),
        ("GET" | "HEAD", false) => Err("400 Bad Request"),
        _ => Err("405 Method Not Allowed"),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request { path: path.to_owned(), query: query.to_owned() };
    (method == "HEAD", asked.map(|()| request))
}

/// The host is this one, and nothing comes behind the headers.
fn check_headers<'a>(
    lines: impl Iterator<Item = &'a str>,
    version: &str,
    here: IpAddr,
    for_scrapers: bool,
) -> Result<(), &'static str> {
    let mut hosts = 0;
    let any_name = for_scrapers && !here.to_canonical().is_loopback();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or("400 Bad Request")?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" if !any_name && !is_here(value, here) => return Err("421 Misdirected Request"),
            "host" => hosts += 1,
            "content-length" if value != "0" => return Err("413 Content Too Large"),
            "transfer-encoding" => return Err("413 Content Too Large"),
            _ => {}
        }
    }
    match (hosts, version) {
        // A browser always says one.
        (1, _) | (0, "HTTP/1.0") => Ok(()),
        _ => Err("400 Bad Request"),
    }
}

/// Whether that is what monitoring asks for, from other hosts too.
fn is_for_scrapers(target: &str) -> bool {
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}

/// Whether a `Host` names the loopback or this address, whatever the port: it may be a tunnel's.
fn is_here(host: &str, here: IpAddr) -> bool {
    let (name, rest) = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']').unwrap_or_default(),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || rest.is_empty() != port.is_empty() {
        return false;
    }
    let address: Option<IpAddr> = name.parse().ok();
    let is_ours = |it: IpAddr| it.is_loopback() || it.to_canonical() == here.to_canonical();
    name.eq_ignore_ascii_case("localhost") || address.is_some_and(is_ours)
}

/// The pairs of a query, decoded. `None` if they are none.
pub(super) fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        Some((decode(key)?, decode(value)?))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Text with `%20` for a space and the like.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [char::from(rest.next()?), char::from(rest.next()?)];
                let [high, low] = digits.map(|digit| digit.to_digit(16));
                u8::try_from(high? * 16 + low?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{REQUEST_BYTES_MAX, pairs, parse};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn status(request: &str) -> String {
        match parse(request.as_bytes(), HERE).1 {
            Ok(request) => format!("{} {}", request.path, request.query),
            Err(status) => status.split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn requests_are_one_line_of_three_words_and_headers() {
        for (request, expected) in [
            ("GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "/metrics x=1"),
            ("HEAD / HTTP/1.1\r\nhOST:127.0.0.1\r\nAccept: a\r\n\r\n", "/ "),
            ("GET / HTTP/1.0\r\n\r\n", "/ "),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
            ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", "413"),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "413"),
            ("GET / HTTP/2\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
        ] {
            assert_eq!(status(request), expected, "{request}");
        }
        assert_eq!(status(&"a".repeat(REQUEST_BYTES_MAX + 1)), "431");
        assert!(parse(b"HEAD / HTTP/1.0\r\n\r\n", HERE).0);
    }

    #[test]
    fn only_names_that_nobody_else_can_have_are_answered() {
        let good = "localhost LOCALHOST:9464 127.0.0.1 127.1.2.3:1 [::1] [::1]:9464 192.0.2.7:80 \
                    [::ffff:192.0.2.7]";
        let bad = "evil.example evil.example:9464 localhost.evil.example localhost. 192.0.2.8 \
                   127.0.0.1.evil.example localhost:x localhost: [::1 [::1]x 0.0.0.0 a@localhost";
        let ask = |host: &str| status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        good.split_whitespace().for_each(|host| assert_eq!(ask(host), "/ ", "{host}"));
        bad.split_whitespace().for_each(|host| assert_eq!(ask(host), "421", "{host}"));
        assert_eq!(ask(""), "421");
        assert_eq!(status("GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n"), "421");
    }

    #[test]
    fn scrapers_of_other_hosts_may_use_any_name_and_browsers_may_not() {
        let ask = |target: &str, here: IpAddr| {
            let request = format!("GET {target} HTTP/1.1\r\nHost: broker.lan:9464\r\n\r\n");
            parse(request.as_bytes(), here).1.is_ok()
        };
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for target in ["/metrics", "/metrics?x=1", "/health", "/health/ready"] {
            assert!(ask(target, HERE) && !ask(target, loopback), "{target}");
        }
        for target in ["/", "/snapshot.json", "/metricsx", "/?/metrics"] {
            assert!(!ask(target, HERE), "{target}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let of = |text: &str| {
            pairs(text).map(|all| all.iter().map(|(k, v)| format!("{k}:{v};")).collect::<String>())
        };
        assert_eq!(of("a=1&b=x%20y+z%C3%A4&&c="), Some("a:1;b:x y zä;c:;".into()));
        for broken in ["a", "a=%", "a=%2", "a=%+1", "a=%zz", "a=%ff"] {
            assert_eq!(of(broken), None, "{broken}");
        }
    }
}
