//! A program in a terminal, as a person uses it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::eventually;

/// A program that believes that it is in a terminal. It is killed when dropped.
pub(crate) struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs this program with the environment of `command`.
    pub(crate) fn run(command: &Command) -> Self {
        let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
        let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
        let mut script = Command::new("script");
        script.args(["-qec", &words.collect::<Vec<_>>().join(" "), "/dev/null"]).env("TERM", "dumb");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (keyboard, mut output) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut some) {
                shown.lock().unwrap().extend_from_slice(&some[..length]);
            }
        });
        Self { script, keyboard, screen }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Everything that was shown so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until all of this was shown.
    pub(crate) fn wait_for(&self, texts: &[&str]) {
        let mut shown = String::new();
        eventually(&format!("{texts:?} in a terminal"), || {
            shown = self.shown();
            texts.iter().all(|text| shown.contains(text))
        });
    }

    /// Waits for the program's end, and returns its exit status.
    pub(crate) fn end(mut self) -> i32 {
        let mut status = None;
        eventually("the end of a program in a terminal", || {
            status = self.script.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its program gets SIGHUP when the terminal goes.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
