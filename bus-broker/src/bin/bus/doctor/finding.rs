//! One thing that was looked at: how it is, what that costs, and what to do about it.

use serde_json::{Value, json};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and costs something.
    Costs,
    /// The bus cannot work so.
    Broken,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: a stable word.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What is there.
    pub found: String,
    /// What it costs, and what to do; empty if nothing.
    pub cost: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// All is well.
    pub fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        let (cost, remedy) = (String::new(), String::new());
        Finding { what, verdict: Verdict::Ok, found: found.into(), cost, remedy }
    }

    /// It works, and costs this, until that is done.
    pub fn costs(
        what: &'static str,
        found: impl Into<String>,
        cost: &str,
        remedy: &str,
    ) -> Finding {
        Finding {
            verdict: Verdict::Costs,
            cost: cost.into(),
            remedy: remedy.into(),
            ..Finding::ok(what, found)
        }
    }

    /// The bus cannot work so.
    pub fn broken(
        what: &'static str,
        found: impl Into<String>,
        cost: &str,
        remedy: &str,
    ) -> Finding {
        Finding { verdict: Verdict::Broken, ..Finding::costs(what, found, cost, remedy) }
    }

    fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Costs => "costs",
            Verdict::Broken => "broken",
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{:<7} {}: {}", self.word(), self.what, self.found);
        for (lead, more) in [("", &self.cost), ("do: ", &self.remedy)] {
            if !more.is_empty() {
                text.push_str(&format!("\n        {lead}{more}"));
            }
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "what": self.what,
            "verdict": self.word(),
            "found": self.found,
            "cost": self.cost,
            "remedy": self.remedy,
        })
    }
}
