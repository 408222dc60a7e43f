//! A real Chromium without a window, driven over its debugging protocol on two pipes: no port, no WebSocket, and it ends
//! with the test whatever ends that.
//!
//! Needs `chromium` on the path, or `CHROMIUM` to name one; a test without it fails and says how to get it.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::wait::{SOON, wait_for};
use super::{has_passed, stretched};

/// Gives the browser its pipes, which it wants as the files 3 and 4.
const WITH_PIPES: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

const OPTIONS: [&str; 10] = [
    "--headless",
    "--remote-debugging-pipe",
    // a container has no user namespaces, and the only page is ours
    "--no-sandbox",
    // a container has 64 MiB of shared memory
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    // a name that has to be resolved is not ours
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// How the page is looked at.
#[derive(Clone, Copy)]
pub(crate) struct View {
    /// Pixels of the page's own measure.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_dark: bool,
}

/// A desk.
pub(crate) const DESK: View = View { width: 1200, height: 900, is_dark: false };
/// The narrowest phone.
pub(crate) const PHONE: View = View { width: 360, height: 740, is_dark: true };

/// A key of the keyboard.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    name: &'static str,
    code: u32,
    text: &'static str,
}

pub(crate) const TAB: Key = Key { name: "Tab", code: 9, text: "" };
pub(crate) const ENTER: Key = Key { name: "Enter", code: 13, text: "\r" };

/// A browser with one page open; ended with the value.
pub(crate) struct Browser {
    child: Child,
    commands: RefCell<ChildStdin>,
    answers: Receiver<Value>,
    reader: Option<JoinHandle<()>>,
    _profile: TempDir,
    session: RefCell<Option<String>>,
    calls: Cell<u64>,
    events: RefCell<Vec<Value>>,
}

impl Browser {
    /// Starts the browser and opens `url`.
    #[track_caller]
    pub(crate) fn open(url: &str, view: View) -> Browser {
        Browser::open_without(&[], url, view)
    }

    /// The same, but requests of addresses like these fail.
    #[track_caller]
    pub(crate) fn open_without(blocked: &[&str], url: &str, view: View) -> Browser {
        let browser = Browser::launch();
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        *browser.session.borrow_mut() = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.call("Network.setBlockedURLs", &json!({ "urls": blocked }));
        browser.look(view);
        browser.call("Page.navigate", &json!({ "url": url }));
        browser
    }

    fn launch() -> Browser {
        let named = std::env::var_os("CHROMIUM").filter(|name| !name.is_empty());
        let program = named.unwrap_or_else(|| "chromium".into());
        let profile = tempfile::Builder::new().prefix("uw-browser-").tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", WITH_PIPES, "sh"])
            .arg(&program)
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = RefCell::new(child.stdin.take().unwrap());
        let mut pipe = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        let reader = std::thread::spawn(move || {
            let mut message = Vec::new();
            while matches!(pipe.read_until(0, &mut message), Ok(length) if length > 0) {
                message.pop();
                let parsed = serde_json::from_slice(&message).expect("the browser speaks JSON");
                message.clear();
                if sender.send(parsed).is_err() {
                    return;
                }
            }
        });
        Browser {
            child,
            commands,
            answers,
            reader: Some(reader),
            _profile: profile,
            session: RefCell::default(),
            calls: Cell::new(0),
            events: RefCell::default(),
        }
    }

    /// Calls a method of the protocol and returns its result.
    #[track_caller]
    fn call(&self, method: &str, params: &Value) -> Value {
        let id = self.calls.get() + 1;
        self.calls.set(id);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &*self.session.borrow() {
            message["sessionId"] = json!(session);
        }
        let sent = write!(self.commands.borrow_mut(), "{message}\0");
        sent.unwrap_or_else(|error| panic!("{method}: {error}; {NO_BROWSER}"));
        let deadline = Instant::now() + stretched(SOON);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.answers.recv_timeout(left);
            let mut answer = answer.unwrap_or_else(|error| panic!("{method}: {error}; {NO_BROWSER}"));
            if answer["id"] != id {
                self.events.borrow_mut().push(answer);
                continue;
            }
            assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
            return answer["result"].take();
        }
    }

    /// Changes the size of the page and the colours that its reader prefers.
    #[track_caller]
    pub(crate) fn look(&self, View { width, height, is_dark }: View) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// The value of an expression, or of the promise that it gives.
    #[track_caller]
    pub(crate) fn evaluate(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// The text that the first such element shows; empty if there is none.
    #[track_caller]
    pub(crate) fn text(&self, selector: &str) -> String {
        let expression = format!("document.querySelector({})?.innerText ?? ''", json!(selector));
        self.evaluate(&expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the text of an element is as wished, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, selector: &str, is_so: impl Fn(&str) -> bool) -> String {
        wait_for(&format!("{selector} is as it should be"), SOON, || {
            let text = self.text(selector);
            if is_so(&text) { Ok(text) } else { Err(text) }
        })
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, expression: &str) {
        wait_for(what, SOON, || match self.evaluate(expression) {
            Value::Bool(true) => Ok(()),
            other => Err(other.to_string()),
        });
    }

    /// Presses and releases a key.
    #[track_caller]
    pub(crate) fn press(&self, Key { name, code, text }: Key) {
        let key = json!({ "key": name, "code": name, "windowsVirtualKeyCode": code, "text": text });
        for kind in ["keyDown", "keyUp"] {
            let mut event = key.clone();
            event["type"] = json!(kind);
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Role and name of everything that a screen reader is told of.
    #[track_caller]
    pub(crate) fn accessibility_tree(&self) -> Vec<(String, String)> {
        let answer = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = answer["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// The addresses that the page has asked for so far.
    #[track_caller]
    pub(crate) fn requests(&self) -> Vec<String> {
        self.evaluate("0"); // what has happened by now is told before the answer
        let events = self.events.borrow();
        let requests = events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the browser complains about so far: errors, warnings and violations of the page's policy.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<Value> {
        self.evaluate("0");
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Log.entryAdded") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] != "log",
            _ => false,
        };
        self.events.borrow().iter().filter(is_complaint).cloned().collect()
    }

    /// The page as a PNG: its upper part of so many pixels.
    #[track_caller]
    pub(crate) fn screenshot(&self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let params = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer = self.call("Page.captureScreenshot", &params);
        BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }
}

const NO_BROWSER: &str = "is `chromium` installed? `config/install-tools.sh chromium` does that where there is apt; \
    elsewhere install it and let CHROMIUM name it";

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() && self.session.borrow().is_some() {
            let events = self.events.borrow();
            for event in events.iter().filter(|event| event["method"] != "Network.dataReceived") {
                eprintln!("--- browser --- {:.300}", event.to_string());
            }
        }
        drop(write!(self.commands.get_mut(), r#"{{"id":0,"method":"Browser.close"}}{}"#, '\0'));
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && !has_passed(asked, SOON) {
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}
