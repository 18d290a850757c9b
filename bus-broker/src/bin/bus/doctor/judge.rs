//! What the figures of a machine mean for the bus. Pure: figures in, findings out.

use std::time::Duration;

use super::finding::Finding;
use crate::value::show_bytes;

/// Descriptors of a broker for each client on lanes, about: its socket, the process, two memories.
const DESCRIPTORS_PER_CLIENT: u64 = 4;
const DESCRIPTORS_MIN: u64 = 64;
const DESCRIPTORS_GOOD: u64 = 1024;
const BACKLOG_GOOD: u64 = 128;
const MEMORY_GOOD: u64 = 256 * 1024 * 1024;
const MEMORY_MIN: u64 = 32 * 1024 * 1024;
/// Seconds since 1970 at the beginning of 2024: certificates of today are of no use before that.
const CLOCK_MIN: Duration = Duration::from_secs(1_704_067_200);

/// How many descriptors a process may have: soft limit and hard limit; `None` is none.
pub fn descriptors(soft: Option<u64>, hard: Option<u64>) -> Finding {
    let what = "descriptors";
    let shown = |limit: Option<u64>| limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    let found = format!("soft limit {}, hard limit {}", shown(soft), shown(hard));
    let clients = hard.unwrap_or(u64::MAX) / DESCRIPTORS_PER_CLIENT;
    match hard.unwrap_or(u64::MAX) {
        // A broker raises its soft limit itself.
        DESCRIPTORS_GOOD.. => Finding::ok(what, found),
        DESCRIPTORS_MIN.. => Finding::costs(
            what,
            found,
            &format!(
                "a broker has room for about {clients} clients on lanes; then others go over the socket, and at last newcomers wait"
            ),
            "raise the hard limit: LimitNOFILE= of the unit, or `ulimit -Hn 65536`",
        ),
        _ => Finding::broken(
            what,
            found,
            "a broker has not even room for its listeners and a few clients",
            "raise the hard limit: LimitNOFILE= of the unit, or `ulimit -Hn 65536`",
        ),
    }
}

/// Connections that the kernel keeps until they are accepted.
pub fn backlog(somaxconn: Option<u64>) -> Finding {
    match somaxconn {
        None => Finding::ok("backlog", "the kernel does not tell net.core.somaxconn"),
        Some(length @ BACKLOG_GOOD..) => {
            Finding::ok("backlog", format!("net.core.somaxconn {length}"))
        }
        Some(length) => Finding::costs(
            "backlog",
            format!("net.core.somaxconn {length}"),
            "when many clients come at once some are refused and come again",
            "sysctl -w net.core.somaxconn=4096",
        ),
    }
}

/// The folder of the default socket, if it is there: its owner and mode.
pub fn folder(path: &str, uid: u32, found: Option<(u32, u32)>) -> Finding {
    let what = "socket folder";
    let Some((owner, mode)) = found else {
        return Finding::ok(what, format!("{path} is not there: a broker makes it"));
    };
    let shown = format!("{path} (uid {owner}, mode {:04o})", mode & 0o7777);
    if owner != uid && owner != 0 {
        return Finding::broken(
            what,
            shown,
            "it belongs to somebody else, who could put a socket of his own there",
            &format!("chown {uid} {path}, or let the broker listen elsewhere (--listen)"),
        );
    }
    match mode & 0o022 != 0 && mode & 0o1000 == 0 {
        true => Finding::broken(
            what,
            shown,
            "others may write into it, so no broker listens there",
            &format!("chmod go-w {path}"),
        ),
        false => Finding::ok(what, shown),
    }
}

/// Memory that is to be had: of the machine, and of the control group (limit, used).
pub fn memory(available: Option<u64>, group: Option<(u64, u64)>) -> Finding {
    let what = "memory";
    let in_group = group.map(|(limit, used)| limit.saturating_sub(used));
    let Some(left) = available.into_iter().chain(in_group).min() else {
        return Finding::ok(what, "the kernel does not tell");
    };
    let found = match group {
        None => format!("{} available, no limit of a control group", show_bytes(left)),
        Some((limit, used)) => format!(
            "{} available (control group: {} of {} used)",
            show_bytes(left),
            show_bytes(used),
            show_bytes(limit)
        ),
    };
    let remedy = "raise MemoryMax= of the unit, or bound the queues (`bus set QUEUE --bytes`)";
    match left {
        MEMORY_GOOD.. => Finding::ok(what, found),
        MEMORY_MIN.. => Finding::costs(
            what,
            found,
            "a queue alone may hold 64 MiB by default, and each client on lanes has half a megabyte",
            remedy,
        ),
        _ => Finding::broken(what, found, "a broker that works would be killed for it", remedy),
    }
}

/// Something of the kernel that lanes need, as it was tried.
pub fn feature(what: &'static str, tried: Result<(), String>, cost: &str) -> Finding {
    match tried {
        Ok(()) => Finding::ok(what, "works"),
        Err(error) => Finding::costs(
            what,
            error,
            cost,
            "a newer kernel (Linux 5.10 has all that is needed), or one that forbids less",
        ),
    }
}

/// Whether process numbers are the machine's own, and what container this is by its own word. An inner
/// namespace costs only with a broker outside, which is seen where lanes are tried.
pub fn namespace(own: Option<bool>, container: Option<&str>) -> Finding {
    let place = container.map(|name| format!(" (container: {name})")).unwrap_or_default();
    let found = match own {
        None => "the kernel does not tell",
        Some(true) => "process numbers are those of the machine",
        Some(false) => {
            "process numbers are those of an inner namespace: with a broker outside there are no lanes"
        }
    };
    Finding::ok("namespace", format!("{found}{place}"))
}

/// The time since 1970, and what the kernel takes it from.
pub fn clock(now: Duration, source: Option<&str>) -> Finding {
    let source = source.unwrap_or("unknown");
    let found = format!("{} s since 1970, from {source}", now.as_secs());
    if now < CLOCK_MIN {
        return Finding::broken(
            "clock",
            found,
            "it is wrong: certificates (tls://) are not valid yet for it",
            "set the time, or have it set (NTP)",
        );
    }
    match source {
        "hpet" | "acpi_pm" | "jiffies" => Finding::costs(
            "clock",
            found,
            "reading the clock takes a microsecond instead of some nanoseconds, for each turn of the broker",
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource, if that is available",
        ),
        _ => Finding::ok("clock", found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{Broken, Costs, Ok};
    use super::*;

    #[test]
    fn limits_are_judged_by_what_a_broker_needs() {
        assert_eq!(descriptors(Some(256), Some(4096)).verdict, Ok, "it raises the soft one");
        assert_eq!(descriptors(None, None).verdict, Ok);
        assert_eq!(descriptors(Some(256), Some(256)).verdict, Costs);
        assert_eq!(descriptors(Some(10), Some(20)).verdict, Broken);
        assert_eq!(backlog(Some(4096)).verdict, Ok);
        assert_eq!(backlog(Some(16)).verdict, Costs);
    }

    #[test]
    fn a_folder_of_somebody_else_is_broken() {
        assert_eq!(folder("/run/bus", 7, None).verdict, Ok);
        assert_eq!(folder("/run/bus", 7, Some((7, 0o755))).verdict, Ok);
        assert_eq!(folder("/run/bus", 7, Some((0, 0o755))).verdict, Ok);
        assert_eq!(folder("/run/bus", 7, Some((8, 0o755))).verdict, Broken);
        assert_eq!(folder("/run/bus", 7, Some((7, 0o777))).verdict, Broken);
        assert_eq!(folder("/run/bus", 7, Some((7, 0o1777))).verdict, Ok, "a sticky one");
    }

    #[test]
    fn the_tightest_memory_counts() {
        const GIB: u64 = 1 << 30;
        assert_eq!(memory(Some(8 * GIB), None).verdict, Ok);
        assert_eq!(memory(Some(8 * GIB), Some((GIB, GIB - (100 << 20)))).verdict, Costs);
        assert_eq!(memory(Some(8 * GIB), Some((GIB, 2 * GIB))).verdict, Broken);
        assert_eq!(memory(Some(1 << 20), None).verdict, Broken);
        assert_eq!(memory(None, None).verdict, Ok);
    }

    #[test]
    fn a_clock_of_long_ago_is_broken_and_a_slow_one_costs() {
        let now = Duration::from_secs(1_800_000_000);
        assert_eq!(clock(now, Some("tsc")).verdict, Ok);
        assert_eq!(clock(now, Some("hpet")).verdict, Costs);
        assert_eq!(clock(Duration::ZERO, Some("tsc")).verdict, Broken);
        let inner = namespace(Some(false), Some("docker"));
        assert!(inner.found.contains("inner namespace") && inner.found.contains("docker"));
        assert!(!namespace(Some(true), None).found.contains("inner"));
        assert_eq!(feature("sealing", Err("no".into()), "x").verdict, Costs);
    }
}
