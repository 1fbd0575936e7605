//! Counts on a disk: over ends, crashes and compactions.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use controlplane_ratelimit::clock::Clock;
use controlplane_ratelimit::log::{Log, Recovered};
use controlplane_ratelimit::metrics::Metrics;
use controlplane_ratelimit::store::Store;
use controlplane_ratelimit::writer::Writer;
use mesh_quota::{Asked, Key, Limit, Moment, Unit};

const NOON: Moment = Moment(1_795_262_400);

fn asked(user: &str, requests: u32) -> Asked {
    let limit = Limit {
        name: "l".into(),
        entries: Vec::new(),
        requests,
        unit: Unit::Day,
    };
    Asked::new("shop", Key::new("shop", [("user", user)]), Arc::new(limit))
}

/// A store with its writer's thread.
struct Open {
    store: Store,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

fn open(dir: &Path, most_grown: u64) -> (Open, Recovered) {
    let (log, counters, recovered) = Log::open(dir, 100_000, NOON).unwrap();
    let clock = Clock::new(|| Duration::from_secs(NOON.0));
    let metrics = Metrics::new(&prometheus::Registry::new());
    let (store, writer) = Writer::new(log, counters, clock, metrics);
    let writer = writer.growing_at_most(most_grown);
    let thread = std::thread::spawn(move || writer.run());
    (Open { store, thread }, recovered)
}

/// The log's files, the oldest first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    files.sort();
    files
}

impl Open {
    async fn pass(&self, user: &str, requests: u32, times: u32) -> u32 {
        let mut passed = 0;
        for _ in 0..times {
            let statuses = self.store.take(&[asked(user, requests)], 1, NOON).await.unwrap();
            passed += u32::from(!statuses[0].over);
        }
        passed
    }

    fn close(self) {
        self.store.stop();
        self.thread.join().unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_orderly_end_loses_nothing_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (first, recovered) = open(dir.path(), u64::MAX);
    assert_eq!(recovered, Recovered::default());
    assert_eq!(first.pass("bob", 1000, 15).await, 15);
    assert_eq!(first.pass("eve", 5, 3).await, 3);
    first.close();
    let (second, _) = open(dir.path(), u64::MAX);
    let left = |user, requests| second.store.look(&[asked(user, requests)], NOON)[0].remaining;
    assert_eq!((left("bob", 1000), left("eve", 5)), (985, 2));
    assert_eq!(second.pass("eve", 5, 9).await, 2);
    second.close();
}

/// What a process that is killed leaves behind: whatever was given out is there.
#[tokio::test]
async fn a_crash_gives_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let (first, _) = open(dir.path(), u64::MAX);
    assert_eq!(first.pass("bob", 10, 4).await, 4);
    assert_eq!(first.pass("eve", 1000, 4).await, 4);
    for path in segments(dir.path()) {
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"torn");
        fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    let (after, recovered) = open(copy.path(), u64::MAX);
    assert_eq!(recovered.damaged, 4);
    assert_eq!(after.pass("bob", 10, 20).await, 6);
    // The rest of a block is the price.
    assert_eq!(after.store.look(&[asked("eve", 1000)], NOON)[0].remaining, 990);
    after.close();
    first.close();
}

#[tokio::test]
async fn the_log_is_compacted_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), 2000);
    for n in 0..300 {
        assert_eq!(store.pass(&format!("user-{}", n % 40), 1000, 1).await, 1);
        assert_eq!(store.pass("bob", 199, 1).await, u32::from(n < 199));
    }
    store.close();
    let files = segments(dir.path());
    let last = files.last().unwrap().display().to_string();
    assert!(!last.ends_with("counters.0000000001.log"), "{files:?}");
    let bytes: u64 = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes < 41 * 60 * 2 + 2 * 2000 + 1000, "{bytes}");
    let (again, recovered) = open(dir.path(), 2000);
    assert_eq!(recovered.damaged, 0);
    assert_eq!(again.store.len(), 41);
    assert_eq!(again.store.list("bob", 1, NOON)[0].used, 199);
    assert_eq!(again.store.list("user-39", 1, NOON)[0].used, 7);
    again.close();
}

#[test]
fn a_directory_has_one_process_and_no_foreign_files() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = Log::open(dir.path(), 10, NOON).unwrap();
    let error = Log::open(dir.path(), 10, NOON).err().unwrap().to_string();
    assert!(error.contains("another process"), "{error}");
    drop(log);
    let mut options = OpenOptions::new();
    let path = dir.path().join("counters.0000000009.log");
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    file.write_all(b"something else, long enough").unwrap();
    let error = Log::open(dir.path(), 10, NOON).err().unwrap().to_string();
    assert!(error.contains("counters.0000000009.log: is no log"), "{error}");
}
