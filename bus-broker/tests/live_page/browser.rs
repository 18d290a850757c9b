//! Debian's chromium without a window, spoken to over two pipes: it has no port, and nobody else can reach it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes that works, also where the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(90);
/// What it is called.
const PROGRAM: &str = "chromium";
/// It takes its orders from descriptor 3 and answers on 4; what it says otherwise goes elsewhere.
const SCRIPT: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >&2";

/// A browser with one page. It ends when it is dropped.
pub struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Value>,
    next: u64,
    session: String,
    _profile: TempDir,
}

/// Why there is no browser here, if there is none.
pub fn missing() -> Option<String> {
    let tried = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("{PROGRAM} --version ends with {}", output.status)),
        Err(error) => Some(format!("there is no program {PROGRAM}: {error}")),
    }
}

impl Browser {
    /// With an empty page.
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh", PROGRAM, "--headless=new", "--no-sandbox"]);
        command.args(["--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update"]);
        command.args(["--remote-debugging-pipe", "--hide-scrollbars"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a shell");
        let orders = child.stdin.take().expect("it is piped");
        let answers = listen(child.stdout.take().expect("it is piped"));
        let session = String::new();
        let mut browser = Browser { child, orders, answers, next: 0, session, _profile: profile };
        let target = browser.order("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.order("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        browser.order("Page.enable", json!({}));
        browser
    }

    /// Gives an order, and waits for its answer, which is no failure.
    pub fn order(&mut self, method: &str, params: Value) -> Value {
        self.try_order(method, params).unwrap_or_else(|said| panic!("{method}: {said}"))
    }

    fn try_order(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.next += 1;
        let mut order = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            order["sessionId"] = json!(self.session);
        }
        write!(self.orders, "{order}\0").expect("it is there");
        self.orders.flush().expect("it is there");
        loop {
            let said = self.answers.recv_timeout(PATIENCE);
            let said = said.unwrap_or_else(|error| panic!("{method} is not answered: {error}"));
            if said["id"] == json!(self.next) {
                return match said.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(said["result"].clone()),
                };
            }
        }
    }

    /// What an expression comes to; a promise is waited for.
    pub fn value(&mut self, expression: &str) -> Value {
        let said = self.try_value(expression);
        said.unwrap_or_else(|said| panic!("{expression}: {said}"))
    }

    fn try_value(&mut self, expression: &str) -> Result<Value, Value> {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true
        });
        let said = self.try_order("Runtime.evaluate", asked)?;
        match said.get("exceptionDetails") {
            Some(details) => Err(details.clone()),
            None => Ok(said["result"]["value"].clone()),
        }
    }

    /// Waits until a condition holds in the page. Where another page takes its place meanwhile, that one is asked.
    pub fn until(&mut self, condition: &str) {
        let end = Instant::now() + PATIENCE;
        let limit = PATIENCE.as_millis() / 2;
        let asked = format!(
            "new Promise((tell) => {{ const end = Date.now() + {limit}; const look = () => {{ \
             let is = false; try {{ is = Boolean({condition}); }} catch {{ is = false; }} \
             if (is || Date.now() > end) tell(is); else setTimeout(look, 25); }}; look(); }})"
        );
        loop {
            match self.try_value(&asked) {
                Ok(Value::Bool(true)) => return,
                Err(_) if Instant::now() < end => {}
                other => {
                    let text = self.value("document.body.innerText.slice(0, 3000)");
                    panic!("never: {condition}: {other:?}\n{text}");
                }
            }
        }
    }

    /// Goes to this address, in a window of that size, under a system that prefers that.
    pub fn go(&mut self, url: &str, (width, height): (u32, u32), prefers: &str) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600
        });
        self.order("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": prefers }]);
        self.order("Emulation.setEmulatedMedia", json!({ "features": features }));
        // The page of before, or its answers, cannot be taken for the new one.
        self.order("Page.navigate", json!({ "url": "about:blank" }));
        self.until("location.href === 'about:blank' && document.readyState === 'complete'");
        self.order("Page.navigate", json!({ "url": url }));
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'");
    }

    /// Presses a key with this name.
    pub fn press(&mut self, key: &str) {
        let text = if key.chars().count() == 1 { key } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            self.order("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "text": text }));
        }
    }

    /// Writes down how the whole page looks.
    pub fn picture(&mut self, path: &Path) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let said = self.order("Page.captureScreenshot", whole);
        let bytes = from_base64(said["data"].as_str().expect("data"));
        assert!(bytes.starts_with(b"\x89PNG"), "no picture");
        std::fs::write(path, bytes).expect("it can be written");
        println!("picture: {}", path.display());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own processes when it is told to; killed it would leave them behind.
        let close = json!({ "id": 0, "method": "Browser.close" });
        if write!(self.orders, "{close}\0").is_ok() && self.orders.flush().is_ok() {
            while self.answers.recv_timeout(PATIENCE).is_ok() {}
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it says, from a thread of its own.
fn listen(answers: ChildStdout) -> Receiver<Value> {
    let (tell, told) = sync_channel(1024);
    thread::spawn(move || {
        for part in BufReader::new(answers).split(0) {
            let Ok(value) = part.map(|part| serde_json::from_slice(&part).unwrap_or_default())
            else {
                return;
            };
            if tell.send(value).is_err() {
                return;
            }
        }
    });
    told
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len()), 0u32, 0);
    for value in text.bytes().filter_map(digit) {
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

#[test]
fn base64_is_read() {
    assert_eq!(from_base64("aGVsbG8gd29ybGQ="), b"hello world");
}
