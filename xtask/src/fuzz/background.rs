//! Fuzzing beside something else: a process of its own, which gets what the others leave of the processors.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::tally::Tally;
use crate::{process, ui, workspace};

/// A run of all targets, which began and may still go on. It ends with this process.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Begins to build and to run the targets. What is said about it is kept for [`Background::finish`].
    pub(crate) fn start() -> Result<Self> {
        let log = workspace::target_dir().join("fuzz.log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let me = env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nice", "-n", "19"]).arg(me).arg("fuzz");
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot run `{}`", process::shown(&command)))?;
        Ok(Self { child, log })
    }

    /// Waits for the end, and says what was said meanwhile.
    pub(crate) fn finish(mut self) -> Result<Tally> {
        let status = self.child.wait()?;
        let said = fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        let said = String::from_utf8_lossy(&said);
        ui::line(said.trim_end());
        let tally = said.lines().rev().find_map(|line| Tally::parse(line.strip_prefix("fuzz: ")?));
        tally.with_context(|| format!("fuzzing ended with {status} and no closing line"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // One that has ended already need not be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
