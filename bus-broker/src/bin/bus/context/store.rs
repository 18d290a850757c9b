//! Contexts as files: `busbar/contexts/NAME.toml`, and `busbar/context` with the name of the one in use.
//!
//! Invariants: a file is written wholly or not at all, and for its owner alone; one that holds a token
//! and that others can read is refused.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bus_client::Token;
use bus_core::sys::{effective_uid, file_mode, folder_mode, owner_and_mode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::{Exit, Problem};

/// Bytes of a file that are looked at.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const NAME_BYTES_MAX: usize = 64;

/// A URL and credentials. It has no `Debug`, which might print the token.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Context {
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The broker.
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The file with the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The token may go over plain TCP to other hosts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub token_insecure: bool,
    /// As `--tls-ca`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// As `--tls-cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// As `--tls-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// As `--tls-name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_name: Option<String>,
}

impl Context {
    /// Keeps this token in it.
    pub fn set_token(&mut self, token: &Token) {
        (self.token, self.token_file) = (Some(token.secret().to_owned()), None);
    }

    /// The token that is kept in it.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same with what is set in the other one. Paths become absolute: a context is used anywhere.
    pub fn overlaid(mut self, other: Context) -> Result<Context, Problem> {
        if !other.url.is_empty() {
            self.url = other.url;
        }
        if let Some(path) = absolute(other.token_file)? {
            (self.token, self.token_file) = (None, Some(path));
        }
        self.token_insecure |= other.token_insecure;
        self.tls_ca = absolute(other.tls_ca)?.or(self.tls_ca);
        self.tls_cert = absolute(other.tls_cert)?.or(self.tls_cert);
        self.tls_key = absolute(other.tls_key)?.or(self.tls_key);
        self.tls_name = other.tls_name.or(self.tls_name);
        match self.tls_cert.is_some() == self.tls_key.is_some() {
            true => Ok(self),
            false => Err(Problem::usage("give both --tls-cert and --tls-key")),
        }
    }

    /// By what it shows who somebody is.
    pub fn shows(&self) -> &'static str {
        let token = self.token.is_some() || self.token_file.is_some();
        match (token, self.tls_cert.is_some()) {
            (true, true) => "token, certificate",
            (true, false) => "token",
            (false, true) => "certificate",
            (false, false) => "-",
        }
    }

    /// All but the token, for people.
    pub fn rows(&self, name: &str, used: bool) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut rows = vec![("context", name.to_owned())];
        rows.push(("in use", if used { "yes" } else { "no" }.to_owned()));
        rows.push(("url", self.url.clone()));
        let mut add = |key, value: Option<String>| rows.extend(value.map(|value| (key, value)));
        add("description", self.description.clone());
        add("token", self.token.as_ref().map(|_| "kept here, not shown".to_owned()));
        add("token file", path(&self.token_file));
        add("token over plain tcp", self.token_insecure.then(|| "yes".to_owned()));
        add("authority", path(&self.tls_ca));
        add("certificate", path(&self.tls_cert));
        add("key", path(&self.tls_key));
        add("name in the certificate", self.tls_name.clone());
        rows
    }

    /// All but the token, as JSON.
    pub fn json(&self, name: &str, used: bool) -> Value {
        json!({
            "name": name,
            "in_use": used,
            "url": self.url,
            "description": self.description,
            "has_token": self.token.is_some(),
            "token_file": self.token_file,
            "token_insecure": self.token_insecure,
            "tls_ca": self.tls_ca,
            "tls_cert": self.tls_cert,
            "tls_key": self.tls_key,
            "tls_name": self.tls_name,
        })
    }
}

fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>, Problem> {
    path.map(|path| Ok(std::path::absolute(path)?)).transpose()
}

/// Where contexts are kept.
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// In the user's configuration directory.
    pub fn of_user() -> Result<Store, Problem> {
        let folder =
            |key: &str| std::env::var_os(key).map(PathBuf::from).filter(|p| p.is_absolute());
        let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
        let none = "contexts need a place: set XDG_CONFIG_HOME or HOME to an absolute path";
        let config = config.ok_or_else(|| Problem::usage(none))?;
        Ok(Store { folder: config.join("busbar") })
    }

    #[cfg(test)]
    pub fn at(folder: &Path) -> Store {
        Store { folder: folder.to_owned() }
    }

    /// All names, in order.
    pub fn names(&self) -> Result<Vec<String>, Problem> {
        let folder = self.folder.join("contexts");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed("read", &folder, &error))?,
        };
        let name = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".toml").filter(|name| is_name(name)).map(str::to_owned)
        };
        let mut names: Vec<String> = entries.filter_map(|entry| name(entry.ok()?)).collect();
        names.sort();
        Ok(names)
    }

    /// The context of this name.
    pub fn load(&self, name: &str) -> Result<Context, Problem> {
        let path = self.path(name)?;
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = format!("there is no context `{name}` (`bus context ls` lists them)");
                return Err(Problem::new(Exit::Nothing, text));
            }
            file => file.map_err(|error| failed("read", &path, &error))?,
        };
        let mut text = String::new();
        let read = (&mut file).take(FILE_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| failed("read", &path, &error))?;
        let context: Context = toml::from_str(&text).map_err(|error| {
            // The whole error would show the line, and so the token.
            Problem::usage(format!("{}: {}", path.display(), error.message()))
        })?;
        if context.token.is_some() {
            check_private(&file, &path)?;
        }
        Ok(context)
    }

    /// Keeps a context.
    pub fn save(&self, name: &str, context: &Context, force: bool) -> Result<(), Problem> {
        let path = self.path(name)?;
        if path.exists() && !force {
            let text = format!("the context `{name}` is there already: --force replaces it");
            return Err(Problem::new(Exit::Conflict, text));
        }
        let text = toml::to_string(context)
            .map_err(|error| Problem::new(Exit::Other, format!("cannot write it: {error}")))?;
        write(&path, &text)
    }

    /// Forgets a context.
    pub fn remove(&self, name: &str) -> Result<(), Problem> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Problem::new(Exit::Nothing, format!("there is no context `{name}`")))
            }
            removed => {
                removed.map_err(|error| failed("remove", &path, &error))?;
                match self.selected()?.as_deref() == Some(name) {
                    true => self.select(None),
                    false => Ok(()),
                }
            }
        }
    }

    /// The name of the one in use.
    pub fn selected(&self) -> Result<Option<String>, Problem> {
        let path = self.folder.join("context");
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.map_err(|error| failed("read", &path, &error))?;
                Ok(Some(text.trim().to_owned()).filter(|name| !name.is_empty()))
            }
        }
    }

    /// Uses this one from now on, or none.
    pub fn select(&self, name: Option<&str>) -> Result<(), Problem> {
        write(&self.folder.join("context"), &format!("{}\n", name.unwrap_or_default()))
    }

    fn path(&self, name: &str) -> Result<PathBuf, Problem> {
        match is_name(name) {
            true => Ok(self.folder.join("contexts").join(format!("{name}.toml"))),
            false => Err(Problem::usage(format!(
                "`{name}` is not a name of a context: letters, digits, `-`, `_` and `.` inside, at most {NAME_BYTES_MAX}"
            ))),
        }
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && name.len() <= NAME_BYTES_MAX && name.chars().all(allowed)
}

/// A token that others can read is everybody's.
fn check_private(file: &File, path: &Path) -> Result<(), Problem> {
    let found = file.metadata().map_err(|error| failed("look at", path, &error))?;
    let (path, uid) = (path.display(), effective_uid());
    // Elsewhere it has the rights of the user's own folder.
    let Some((owner, mode)) = owner_and_mode(&found) else { return Ok(()) };
    if mode & 0o077 != 0 {
        let text = format!(
            "{path} holds a token, and others can read it (mode {:04o}): chmod 600 {path}",
            mode & 0o7777
        );
        return Err(Problem::new(Exit::Denied, text));
    }
    match owner == uid || owner == 0 {
        true => Ok(()),
        false => Err(Problem::new(
            Exit::Denied,
            format!("{path} holds a token, and belongs to uid {owner}: chown {uid} {path}"),
        )),
    }
}

/// Writes a file for its owner alone, wholly or not at all.
fn write(path: &Path, text: &str) -> Result<(), Problem> {
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        let made = folder_mode(builder.recursive(true), 0o700).create(folder);
        made.map_err(|error| failed("make", folder, &error))?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = || {
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(true);
        let mut file = file_mode(options, 0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(|error| {
        // What is left of it would be found by nobody.
        let _ = fs::remove_file(&new);
        failed("write", path, &error)
    })
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(Exit::File, format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_token_that_others_can_read_is_refused_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::at(folder.path());
        let mut context = Context { url: "local:".into(), ..Context::default() };
        context.set_token(&Token::new("bus_0123456789abcdef0123456789abcdef").expect("a token"));
        store.save("lab", &context, false).expect("it can be written");
        let path = folder.path().join("contexts/lab.toml");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
        assert!(store.load("lab").is_ok(), "the control");
        let shown = format!("{:?}{}", context.rows("lab", true), context.json("lab", true));
        assert!(!shown.contains("bus_"), "{shown}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("our own");
        let Err(problem) = store.load("lab") else { panic!("it was taken") };
        assert_eq!(problem.exit(), Exit::Denied);
        assert!(format!("{problem:?}").contains("chmod 600"), "{problem:?}");
        let Err(problem) = store.save("lab", &context, false) else { panic!("written over") };
        assert_eq!(problem.exit(), Exit::Conflict);
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert!(["a", "a.b", "lab-2_x"].iter().all(|name| is_name(name)));
        for bad in ["", "../a", "a/b", ".a", "-a", "a b", "ü"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_mistake_in_a_file_does_not_show_its_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::at(folder.path());
        write(&folder.path().join("contexts/a.toml"), "token = \"bus_secret\" x").expect("a file");
        let Err(problem) = store.load("a") else { panic!("it was taken") };
        assert!(!format!("{problem:?}").contains("secret"), "{problem:?}");
    }
}
