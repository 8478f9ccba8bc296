//! A process that is killed while it changes the store: what it was told to be done is done, and nothing by half.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Error, Expect, Kind, OpenError, Store};

const COUNTER: Kind = Kind::new("counter", 2);
const LOG: Kind = Kind::new("log", 1_000_000);

/// Tells the child where the store is.
const CHILD: &str = "STORE_TEST_CHILD";
/// What the child says of a change that is done; the number follows.
const DONE: &str = "done ";

/// Counts on and on: two counters and an entry of a log in each change.
fn count_until_killed(path: &Path) -> ! {
    let store = Store::open(path).unwrap();
    loop {
        let number = store.change(|change| {
            let number = change.get::<u64>(COUNTER, "first")?.map_or(1, |found| found.value + 1);
            change.put(COUNTER, "first", Expect::Any, &number)?;
            change.put(LOG, &format!("{number:09}"), Expect::Absent, &"x".repeat(3000))?;
            change.put(COUNTER, "second", Expect::Any, &number)?;
            Ok::<_, Error>(number)
        });
        println!("{DONE}{}", number.unwrap());
        std::io::stdout().flush().unwrap();
    }
}

/// Has a child count until `acknowledged` more changes are done, kills it, and returns the last that it said is done.
fn kill_after(path: &Path, acknowledged: usize) -> u64 {
    let name = "tests::crash::what_is_acknowledged_survives_a_kill";
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut done = Vec::new();
    let mut line = String::new();
    // What it still said before it died counts, too, if the line is whole. The harness may have begun the first line.
    while lines.read_line(&mut line).unwrap() > 0 {
        if let Some((_, number)) = line.split_once(DONE)
            && let Some(number) = number.strip_suffix('\n')
        {
            done.push(number.parse().unwrap());
            if done.len() == acknowledged {
                assert!(matches!(Store::open(path), Err(OpenError::InUse(_))));
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(done.len() >= acknowledged, "the child ended by itself after {done:?}");
    done[done.len() - 1]
}

#[test]
fn what_is_acknowledged_survives_a_kill() {
    if let Some(path) = env::var_os(CHILD) {
        count_until_killed(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    for round in 0..12 {
        let acknowledged = kill_after(&path, 1 + round * 3);
        let store = Store::open(&path).unwrap();
        let counter =
            |name| store.get::<u64>(COUNTER, name).unwrap().map(|found| (found.value, found.revision.0));
        let number = store.revision().unwrap().0;
        // The one that was under way may be there as well, if it is whole.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&number),
            "{acknowledged} acknowledged, {number} there"
        );
        assert_eq!((counter("first"), counter("second")), (Some((number, number)), Some((number, number))));
        let log = store.list::<String>(LOG).unwrap();
        assert!(log.unreadable.is_empty());
        let expected: Vec<String> = (1..=number).map(|number| format!("{number:09}")).collect();
        assert_eq!(log.objects.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), expected);
    }
}
