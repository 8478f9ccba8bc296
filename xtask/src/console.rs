//! A program that is driven by what it reads and says.

use std::io::{ErrorKind, PipeReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::process;

/// How much of what was said an error shows.
const SHOWN: usize = 1500;

/// The running program; it is killed if this is dropped, or if this process dies.
#[derive(Debug)]
pub(crate) struct Console {
    child: Child,
    stdin: Option<ChildStdin>,
    output: PipeReader,
    said: String,
    /// How long an answer may take.
    patience: Duration,
}

impl Console {
    /// A program whose lines of output are passed on at once, and which ends when this process does.
    pub(crate) fn command(program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "stdbuf", "--output=L", program]);
        command
    }

    /// Starts a program whose answers may each take `patience`.
    pub(crate) fn start(mut command: Command, patience: Duration) -> Result<Self> {
        let (output, writer) = std::io::pipe()?;
        fcntl_setfl(&output, fcntl_getfl(&output)? | OFlags::NONBLOCK)?;
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        let mut child =
            command.spawn().with_context(|| format!("cannot run `{}`", process::shown(&command)))?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, output, said: String::new(), patience })
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// Waits until it has said all of `words`, one after the other, from byte `from` of what it said on.
    pub(crate) fn expect(&mut self, from: usize, words: &[&str]) -> Result<&str> {
        let until = Instant::now() + self.patience;
        while !contains(&self.said[from..], words) {
            self.read(until).with_context(|| {
                let start = self.said.floor_char_boundary(self.said.len().saturating_sub(SHOWN));
                format!("waited for {words:?}; it said\n{}", &self.said[start..])
            })?;
        }
        Ok(&self.said[from..])
    }

    /// Sends a line.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its input is closed")?;
        writeln!(stdin, "{line}").context("it does not read")
    }

    /// Sends a line, and waits until it has said `words` after that.
    pub(crate) fn ask(&mut self, line: &str, words: &[&str]) -> Result<&str> {
        let from = self.said.len();
        self.tell(line)?;
        self.expect(from, words)
    }

    fn read(&mut self, until: Instant) -> Result<()> {
        if !process::poll_one(&PollFd::new(&self.output, PollFlags::IN), until)? {
            bail!("it said nothing more in time");
        }
        let mut bytes = [0; 4096];
        match self.output.read(&mut bytes) {
            Ok(0) => bail!("it has ended"),
            Ok(count) => self.said.push_str(&String::from_utf8_lossy(&bytes[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("its output broke"),
        }
        Ok(())
    }

    /// Sends the last line, and waits until it ends.
    pub(crate) fn end(mut self, line: &str) -> Result<ExitStatus> {
        let until = Instant::now() + self.patience;
        self.tell(line)?;
        self.stdin = None;
        // What it still says has to be read, or it would wait for us.
        while self.read(until).is_ok() {}
        process::wait_until(&mut self.child, until)?.context("it does not end")
    }
}

fn contains(mut text: &str, words: &[&str]) -> bool {
    words.iter().all(|word| match text.split_once(word) {
        Some((_, rest)) => {
            text = rest;
            true
        }
        None => false,
    })
}

impl Drop for Console {
    fn drop(&mut self) {
        // One that has ended already need not be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
