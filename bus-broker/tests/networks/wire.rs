//! A wire between two hosts (a veth pair), and what can be wrong with it.
//!
//! Every fault is the kernel's: links go down, packets are dropped where they arrive, sockets are
//! reset, a bucket lets through so much. Healing takes all of them away.

use crate::host::Host;
use crate::tools::{run, try_run};

/// The bytes that a slow wire lets through at once, and how long it keeps what comes beyond them.
const BURST: &str = "16kb";
const PATIENCE: &str = "400ms";

/// A wire.
pub struct Wire {
    ends: [End; 2],
}

/// One end of it.
struct End {
    host: usize,
    namespace: String,
    device: String,
    address: String,
}

/// Which way packets are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Both,
    /// What comes to the host on this end of the wire: the left one is 0.
    To(usize),
}

impl Wire {
    /// Wire `number`, between two hosts that have no such wire yet.
    pub fn new(number: usize, left: &Host, right: &Host) -> Wire {
        let device = format!("wire{number}");
        let end = |host: &Host, last: u8| End {
            host: host.index,
            namespace: host.namespace().to_owned(),
            device: device.clone(),
            address: format!("10.77.{number}.{last}"),
        };
        let wire = Wire { ends: [end(left, 1), end(right, 2)] };
        let [one, two] = [left.namespace(), right.namespace()];
        let pair = ["type", "veth", "peer", "name", &device, "netns", two];
        run(&[&["ip", "link", "add", &device, "netns", one], &pair[..]].concat());
        for end in &wire.ends {
            let address = format!("{}/24", end.address);
            run(&["ip", "-n", &end.namespace, "address", "add", &address, "dev", &device]);
            end.set("up");
            let chain = format!("chain inet {device} arriving");
            end.nft(&format!("add table inet {device}"));
            end.nft(&format!("add {chain} {{ type filter hook input priority 0; }}"));
        }
        wire
    }

    /// The address of the left end, 0, or the right one, 1.
    pub fn address(&self, end: usize) -> &str {
        &self.ends[end].address
    }

    /// The host on the other end and its address, if `host` is on one.
    pub fn across(&self, host: usize) -> Option<(usize, &str)> {
        let [left, right] = &self.ends;
        match host {
            host if host == left.host => Some((right.host, &right.address)),
            host if host == right.host => Some((left.host, &left.address)),
            _ => None,
        }
    }

    /// Pulls it out, at this end: the other one sees that.
    pub fn down(&self, end: usize) {
        self.ends[end].set("down");
    }

    /// Drops such a share of the packets that arrive, in percent. The sender is not told.
    pub fn drop_packets(&self, way: Way, percent: u8) {
        for (index, end) in self.ends.iter().enumerate() {
            if way == Way::Both || way == Way::To(index) {
                let chance = match percent {
                    100.. => String::new(),
                    share => format!("numgen random mod 100 < {share}"),
                };
                let device = &end.device;
                end.nft(&format!("add rule inet {device} arriving iifname {device} {chance} drop"));
            }
        }
    }

    /// Resets the connections over it, as seen from this end; how many there were.
    pub fn reset(&self, end: usize) -> usize {
        let End { namespace, .. } = &self.ends[end];
        let other = &self.ends[1 - end].address;
        let words = ["ss", "-K", "-H", "-t", "-n", "state", "established", "dst", other];
        // A kernel that cannot do that is one where there were none.
        let told = try_run(&[&["ip", "netns", "exec", namespace], &words[..]].concat());
        told.unwrap_or_default().lines().filter(|line| line.contains(other.as_str())).count()
    }

    /// Answers whatever arrives of TCP at this end with a reset, as a firewall does that has forgotten
    /// its connections.
    pub fn refuse(&self, end: usize) {
        let end = &self.ends[end];
        let device = &end.device;
        let rule = format!("iifname {device} meta l4proto tcp reject with tcp reset");
        end.nft(&format!("add rule inet {device} arriving {rule}"));
    }

    /// Lets so much through in either direction (as `tc` has it: `2mbit`).
    pub fn slow_down(&self, rate: &str) {
        for end in &self.ends {
            let bucket = ["tbf", "rate", rate, "burst", BURST, "latency", PATIENCE];
            run(&[&end.shaping("replace")[..], &bucket].concat());
        }
    }

    /// Delays everything in either direction by so much (`50ms`), where the kernel can.
    pub fn delay(&self, time: &str) -> Result<(), String> {
        for end in &self.ends {
            try_run(&[&end.shaping("replace")[..], &["netem", "delay", time]].concat())?;
        }
        Ok(())
    }

    /// Nothing is wrong with it any more.
    pub fn heal(&self) {
        for end in &self.ends {
            end.nft(&format!("flush chain inet {} arriving", end.device));
            // There may be nothing to take away.
            let _ = try_run(&end.shaping("delete"));
            end.set("up");
        }
    }
}

impl End {
    fn set(&self, state: &str) {
        run(&["ip", "-n", &self.namespace, "link", "set", &self.device, state]);
    }

    fn nft(&self, rule: &str) {
        run(&["ip", "netns", "exec", &self.namespace, "nft", rule]);
    }

    fn shaping<'a>(&'a self, verb: &'a str) -> [&'a str; 8] {
        ["tc", "-n", &self.namespace, "qdisc", verb, "dev", &self.device, "root"]
    }
}
