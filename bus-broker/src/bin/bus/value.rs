//! Values of flags: durations, sizes, modes, headers.

use std::net::SocketAddr;
use std::time::Duration;

use bus_core::{LEASE_MAX, QUEUE_BYTES_MAX, QUEUE_BYTES_MIN, Selector};
use bytesize::ByteSize;
use tokio::time::Instant;

/// Which types, behind the name or as a flag.
#[derive(Clone, Copy, clap::Args)]
pub struct SelectArgs {
    /// Only these types: any, 5, <=5 (of a queue: lowest first), !5
    // A number that is too low is a wrong selector; a mistyped flag is none.
    #[arg(allow_negative_numbers = true)]
    selector: Option<Selector>,
    /// The same as a flag
    #[arg(
        long = "selector",
        short = 's',
        value_name = "SELECTOR",
        conflicts_with = "selector",
        allow_hyphen_values = true
    )]
    flag: Option<Selector>,
}

impl SelectArgs {
    /// All types, unless it was said.
    pub fn selector(&self) -> Selector {
        self.selector.or(self.flag).unwrap_or(Selector::Any)
    }
}

/// A duration: `5` and `1.5` are seconds, else `250ms`, `1m30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write 5 (seconds), 250ms or 1m30s");
    if text.starts_with('-') {
        return Err(format!("`{text}` is in the past: a duration is at least 0"));
    }
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| wrong()),
        Err(_) => humantime::parse_duration(text).map_err(|_| wrong()),
    }
}

/// So long after that; what is too far away to be told comes in thirty years.
pub fn deadline(from: Instant, limit: Duration) -> Instant {
    let far = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    from.checked_add(limit.min(far)).unwrap_or(from)
}

/// A size in bytes: `4096`, `64KiB`, `16MB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = |_| format!("`{text}` is not a size: write 4096, 64KiB or 16MiB");
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(wrong)
}

/// What a queue may hold in bytes.
pub fn queue_bytes(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        given @ QUEUE_BYTES_MIN..=QUEUE_BYTES_MAX => Ok(given),
        given => Err(format!(
            "{given} bytes are not {} to {}: each message counts 64 more than its length",
            show_bytes(QUEUE_BYTES_MIN),
            show_bytes(QUEUE_BYTES_MAX)
        )),
    }
}

/// How long a delivery is leased.
pub fn lease(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        given if given < Duration::from_millis(1) || given > LEASE_MAX => {
            Err(format!("`{text}` is not between 1ms and {}", show_duration(LEASE_MAX)))
        }
        given => Ok(given),
    }
}

/// Permission bits in octal: `0700`, `755`.
pub fn mode(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u16::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 && !digits.starts_with('+') => Ok(mode),
        _ => Err(format!("`{text}` is not a mode: write it in octal, 0700 or 755")),
    }
}

/// An address and a port; `localhost` is a name for one.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let numbers = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numbers.parse().map_err(|_| {
        format!("`{text}` is not an address and a port: write 127.0.0.1:9464 or [::1]:9464")
    })
}

/// A header: `key:value`; the value may be empty.
pub fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().into(), value.trim_start().into()))
        }
        _ => Err(format!("`{text}` is not a header: write KEY:VALUE")),
    }
}

/// Bytes for people.
pub fn show_bytes(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// A duration for people, short.
pub fn show_duration(duration: Duration) -> String {
    let rounded = match duration {
        long if long >= Duration::from_secs(1) => Duration::from_secs(long.as_secs()),
        short => Duration::from_millis(u64::try_from(short.as_millis()).unwrap_or_default()),
    };
    humantime::format_duration(rounded).to_string()
}

/// A number with a mark for each thousand.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_and_refused() {
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        let now = Instant::now();
        assert!(deadline(now, Duration::MAX) > deadline(now, Duration::from_secs(9)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "-1s", "soon", "NaN", "inf", "1e300"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert!(bytes("much").is_err());
        assert_eq!(address("localhost:9464"), address("127.0.0.1:9464"));
        assert!(address("localhost").is_err() && address("example.org:1").is_err());
        assert_eq!(mode("0700"), Ok(0o700));
        for bad in ["", "8", "1000", "+7", "rwx"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
        assert_eq!(header("k: v:w"), Ok(("k".into(), "v:w".into())));
        assert!(header("kv").is_err() && header(":v").is_err());
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_count(123), "123");
    }
}
