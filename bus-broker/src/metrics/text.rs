//! The text that Prometheus reads (exposition format 0.0.4).
//!
//! Families of samples, each with what it means. The number of samples has a bound: those beyond it are left out and
//! counted, so that whoever makes names without end fills neither this page nor the memory of whoever reads it.

use std::fmt::{Display, Write as _};

/// Samples on a page: a thousand queues have fourteen each.
const SERIES_MAX: usize = 50_000;

/// What a family counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until the broker is started anew.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A page that is being written.
pub(super) struct Page {
    text: String,
    name: &'static str,
    series: usize,
    series_max: usize,
    dropped: u64,
}

impl Page {
    pub fn new() -> Page {
        Page { text: String::new(), name: "", series: 0, series_max: SERIES_MAX, dropped: 0 }
    }

    /// A family begins, and the one before is complete.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.name = name;
    }

    /// A sample of this family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        if self.series >= self.series_max {
            self.dropped += 1;
            return;
        }
        self.series += 1;
        self.text.push_str(self.name);
        for (index, (key, label)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(key);
            self.text.push_str("=\"");
            for letter in label.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    /// A family with one sample.
    pub fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// The whole page. How much was left out stands on it always.
    pub fn finish(mut self) -> String {
        const HELP: &str = "Samples that were left out of this page, since there are too many.";
        let dropped = self.dropped;
        self.series_max = usize::MAX;
        self.single("busbar_dropped_series", Kind::Gauge, HELP, dropped);
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Page};

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut page = Page::new();
        page.family("a", Kind::Gauge, "What it is.");
        page.sample(&[("name", "x\"} 1\nb 2\\")], 7);
        let expected = "# HELP a What it is.\n# TYPE a gauge\na{name=\"x\\\"} 1\\nb 2\\\\\"} 7\n";
        assert!(page.finish().starts_with(expected));
    }

    #[test]
    fn samples_beyond_the_bound_are_left_out_and_counted() {
        let mut page = Page { series_max: 10, ..Page::new() };
        page.family("a", Kind::Counter, "What it is.");
        (0..13).for_each(|number| page.sample(&[("n", &number.to_string())], number));
        let text = page.finish();
        assert_eq!(text.lines().filter(|line| line.starts_with("a{")).count(), 10);
        assert!(text.ends_with("\nbusbar_dropped_series 3\n"), "{text}");
    }
}
