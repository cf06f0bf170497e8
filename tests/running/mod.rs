//! The program as a child process that prints JSON lines.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// The program with these arguments, not run yet, and deaf to the settings of whoever runs the tests.
pub(crate) fn program<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kithkin"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KITHKIN_") {
            command.env_remove(name);
        }
    }
    command
}

/// The seed of a test's randomness: `KITHKIN_SEED`, or another one each time.
pub(crate) fn seed() -> u64 {
    std::env::var("KITHKIN_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap_or_default().subsec_nanos().into()
        })
}

/// A number in a line.
pub(crate) fn number(line: &Value, name: &str) -> u64 {
    line[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// A child that is killed when dropped.
pub(crate) struct Running {
    /// How long one line may take.
    pub(crate) patience: Duration,
    child: Child,
    lines: Receiver<Value>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts it, with JSON lines on standard output.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            // A line without its end was torn by a kill: it was never told.
            while matches!(stdout.read_line(&mut text), Ok(n) if n > 0) && text.ends_with('\n') {
                let line = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{error} in the line {text}"));
                if sender.send(line).is_err() {
                    return;
                }
                text.clear();
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            patience: LONG,
            child,
            lines,
            stderr: Some(stderr),
        }
    }

    /// The next line; none when there is none before `within` is over.
    pub(crate) fn line_within(&self, within: Duration) -> Option<Value> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the program has ended"),
        }
    }

    /// Reads until a line of this type comes.
    pub(crate) fn until(&mut self, kind: &str) -> Value {
        self.until_any(&[kind])
    }

    /// Reads until a line of one of these types comes.
    pub(crate) fn until_any(&mut self, kinds: &[&str]) -> Value {
        let deadline = Instant::now() + self.patience;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) if kinds.iter().any(|kind| line["type"] == *kind) => return line,
                Ok(_) => {}
                Err(error) => {
                    let _ = self.child.kill();
                    panic!(
                        "no line of type {kinds:?}: {error}; it said: {}",
                        self.stderr()
                    );
                }
            }
        }
    }

    /// `kill -9`, and waits until it is gone. Returns the lines that had been told before.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
        self.lines.iter().collect()
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, for example `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end; returns how it ended, the lines that were left and what it said on standard error.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<Value>, String) {
        let deadline = Instant::now() + self.patience;
        let mut rest = Vec::new();
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {rest:?}"),
            }
        }
        // Its output is closed, so it ends, or a signal has ended it.
        let status = self.child.wait().expect("it can be waited for");
        (status, rest, self.stderr())
    }

    fn stderr(&mut self) -> String {
        self.stderr
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already in most cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Of a test that fails, one wants to know what its nodes said.
        if std::thread::panicking() {
            let (id, said) = (self.id(), self.stderr());
            eprintln!("process {id} said last: {:?}", self.lines.try_iter().last());
            eprintln!("process {id} logged: {said}");
        }
    }
}
