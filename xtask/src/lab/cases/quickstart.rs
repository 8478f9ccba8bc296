//! docs/quickstart.md, typed as it stands there.
//!
//! A block of the page with the language `sh` is typed into a terminal, that with the name behind the word; without a
//! name it is the first. What stands in a block `text` behind it has to appear there, each line as a part of what is
//! said. Blocks with the name `setup` install and build: who runs this has done so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::scene::Lab;
use crate::console::Console;
use crate::{process, workspace};

/// How long anything that is shown may take: a guest boots in that time, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Blocks that are not typed.
const SETUP: &str = "setup";

pub(super) fn quickstart(lab: &Lab) -> Result<()> {
    let page = fs::read_to_string(workspace::root().join("docs/quickstart.md"))?;
    let blocks = blocks(&page)?;
    ensure!(blocks.iter().filter(|block| block.typed).count() > 5, "docs/quickstart.md has no commands");
    let sources = sources(&lab.dir())?;
    let mut terminals = BTreeMap::new();
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.terminal != SETUP) {
        let terminal = match terminals.remove(&block.terminal) {
            Some(terminal) => terminal,
            None => Terminal::open(&sources)?,
        };
        let terminal = terminals.entry(block.terminal.clone()).or_insert(terminal);
        // What is typed has been done when what is to be shown is there, or the next command is taken.
        let shown = blocks.get(number + 1).is_some_and(|next| !next.typed && next.terminal == block.terminal);
        let result = match block.typed {
            true => terminal.type_in(&block.lines, shown),
            false => terminal.shows(&block.lines),
        };
        result.with_context(|| {
            format!("docs/quickstart.md, line {}, terminal {:?}", block.at, block.terminal)
        })?;
    }
    Ok(())
}

/// A folder that is to the page what the sources are to a newcomer.
fn sources(dir: &str) -> Result<String> {
    let sources = format!("{dir}/softiov");
    fs::create_dir_all(format!("{sources}/target"))?;
    symlink(super::super::dir(), format!("{sources}/target/lab"))?;
    symlink(workspace::root().join("examples"), format!("{sources}/examples"))?;
    // The usual folders, for this sandbox only.
    for folder in ["/run/softiov", "/var/lib/softiov"] {
        fs::create_dir_all(folder)?;
        process::run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", folder]))?;
    }
    Ok(sources)
}

/// Something of the page that is typed or shown.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    typed: bool,
    terminal: String,
    lines: Vec<String>,
    /// Its line in the page.
    at: usize,
}

/// The blocks of a page.
fn blocks(page: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let (language, name) = info.split_once(' ').unwrap_or((info, ""));
        let before = blocks.last().map_or("", |block| block.terminal.as_str());
        let terminal = if name.is_empty() && language == "text" { before } else { name }.to_owned();
        let body: Vec<String> = lines
            .by_ref()
            .map_while(|(_, line)| (line != "```").then(|| line.to_owned()))
            .filter(|line| !line.trim().is_empty())
            .collect();
        ensure!(!body.is_empty(), "the block in line {} is empty", at + 1);
        if let typed @ ("sh" | "text") = language {
            blocks.push(Block { typed: typed == "sh", terminal, lines: body, at: at + 1 });
        }
    }
    Ok(blocks)
}

/// A shell, and what runs in it.
struct Terminal {
    console: Console,
    /// How much of what was said is not of interest any more.
    seen: usize,
    commands: u32,
}

impl Terminal {
    fn open(sources: &str) -> Result<Self> {
        let mut shell = Command::new("unshare");
        shell.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-e"]);
        let softiov = workspace::daemon();
        let programs = softiov.parent().unwrap_or_else(|| Path::new("/")).display();
        let path = std::env::var("PATH").unwrap_or_default();
        shell.current_dir(sources).env("PATH", format!("{programs}:{path}"));
        Ok(Self { console: Console::start(shell, PATIENCE)?, seen: 0, commands: 0 })
    }

    /// Types lines, and waits until the shell takes others unless something is to be `shown`.
    fn type_in(&mut self, lines: &[String], shown: bool) -> Result<()> {
        self.seen = self.console.said().len();
        for line in lines {
            self.console.tell(line)?;
        }
        if shown {
            return Ok(());
        }
        self.commands += 1;
        self.console.tell(&format!("echo taken $(({} + 1000))", self.commands))?;
        self.shows(&[format!("taken {}", self.commands + 1000)])
    }

    /// Waits until lines with these parts have appeared, one after the other.
    fn shows(&mut self, lines: &[String]) -> Result<()> {
        let parts: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        let said = self.console.expect(self.seen, &parts)?;
        let end = parts.iter().try_fold(0, |from, part| Some(from + said[from..].find(part)? + part.len()));
        self.seen += end.unwrap_or(said.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
