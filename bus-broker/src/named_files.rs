//! The files that a configuration names: which of them cannot be used, and why.
//!
//! For whoever checks a configuration: all of them are told, not the first alone. Reading may take for ever, so
//! this is nothing for a thread on which others wait.

use std::fs::File;
use std::path::Path;

use crate::certificates::Certificates;
use crate::config::BrokerConfig;

impl BrokerConfig {
    /// What is wrong with the files that it names (certificates, keys, tokens), and with its bridges: a sentence each.
    /// A broker with one of these would not start.
    pub fn unusable_files(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(files) = &self.tls {
            let named = [
                ("certificate", Some(&files.certificate)),
                ("key", Some(&files.key)),
                ("client_authority", files.client_authority.as_ref()),
            ];
            let named = named.into_iter().filter_map(|(key, path)| Some((key, path?)));
            let unreadable: Vec<String> = named
                .filter_map(|(key, path)| unreadable(path).map(|why| format!("[tls] {key}: {why}")))
                .collect();
            // What can be read can still be no certificate.
            let unfit = unreadable.is_empty().then(|| Certificates::read(self).err()).flatten();
            wrong.extend(unreadable);
            wrong.extend(unfit.map(|error| format!("[tls] {error}")));
        }
        for bridge in &self.bridges {
            let unreadable: Vec<String> = bridge
                .named_files()
                .into_iter()
                .filter_map(|(key, path)| {
                    let name = bridge.name();
                    unreadable(path).map(|why| format!("[[bridge]] `{name}` {key}: {why}"))
                })
                .collect();
            let unfit = match unreadable.is_empty() {
                true => bridge.check().and_then(|()| bridge.check_files()).err(),
                false => None,
            };
            wrong.extend(unreadable);
            wrong.extend(unfit.map(|error| error.to_string()));
        }
        wrong
    }
}

/// Why a file cannot be read, if it cannot.
fn unreadable(path: &Path) -> Option<String> {
    let place = path.display();
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Some(format!("{place} is no regular file")),
        // Pipes may keep whoever opens them for ever.
        Ok(_) => {}
        Err(error) => return Some(format!("cannot read {place}: {error}")),
    }
    File::open(path).err().map(|error| format!("cannot read {place}: {error}"))
}
