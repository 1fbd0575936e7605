use std::path::Path;
use std::sync::Barrier;

use super::*;

type Handle = std::thread::JoinHandle<()>;

fn files() -> (Files, Arc<Mutex<Vec<Handle>>>) {
    let threads: Arc<Mutex<Vec<Handle>>> = Arc::default();
    let started = threads.clone();
    let start = move |name: String, body: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name).spawn(body)?;
        started.lock().push(thread);
        Ok(())
    };
    (Files::new(&Registry::new(), Box::new(start)), threads)
}

fn line(buffer: &mut LineBuffer, text: &str) -> bool {
    buffer.line(|out| out.extend_from_slice(text.as_bytes()))
}

/// Everything that was handed over is written.
fn finish(files: Files, threads: &Mutex<Vec<Handle>>) {
    drop(files);
    for thread in threads.lock().drain(..) {
        thread.join().unwrap();
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn lines_of_several_workers_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let name: Strng = path.display().to_string().into();
    let (files, threads) = files();
    let workers: Vec<_> = (0..4)
        .map(|n| {
            let mut buffer = files.file(&name).unwrap().buffer();
            std::thread::spawn(move || {
                for i in 0..2000 {
                    line(&mut buffer, &format!("{n} {i}\n"));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    finish(files, &threads);
    let text = read(&path);
    assert_eq!(text.lines().count(), 8000);
    assert!(text.lines().all(|line| line.split(' ').count() == 2));
}

#[test]
fn a_file_that_was_moved_away_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let mut file = LogFile::new(&path.display().to_string().into(), Arc::default());
    file.write(b"one\n").unwrap();
    std::fs::rename(&path, &old).unwrap();
    file.write(b"two\n").unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write(b"three\n").unwrap();
    assert_eq!(read(&old), "one\n");
    assert_eq!(read(&path), "three\n");
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_and_nobody_waits() {
    let barrier = Arc::new(Barrier::new(2));
    let held = barrier.clone();
    let registry = Registry::new();
    let threads: Arc<Mutex<Vec<Handle>>> = Arc::default();
    let started = threads.clone();
    // The thread that writes does not begin before the barrier.
    let start = move |_: String, body: Box<dyn FnOnce() + Send>| {
        let held = held.clone();
        started.lock().push(std::thread::spawn(move || {
            held.wait();
            body();
        }));
        Ok(())
    };
    let files = Files::new(&registry, Box::new(start));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slow.log");
    let sink = files.file(&path.display().to_string().into()).unwrap();
    let mut buffer = sink.buffer();
    for _ in 0..QUEUE + 10 {
        line(&mut buffer, "x\n");
        buffer.hand_over();
    }
    assert_eq!(sink.lost(), 10);
    assert_eq!(
        registry.gather()[0].get_metric()[0].get_counter().get_value(),
        10.0
    );
    barrier.wait();
    drop((buffer, sink));
    finish(files, &threads);
    assert_eq!(read(&path).lines().count(), QUEUE);
}

#[test]
fn a_file_that_cannot_be_written_loses_lines_and_nothing_else() {
    let (files, threads) = files();
    let sink = files.file(&"/nonexistent/directory/log".into()).unwrap();
    let mut buffer = sink.buffer();
    assert!(line(&mut buffer, "a\n"), "the first one");
    assert!(!line(&mut buffer, "b\n"));
    drop(buffer);
    let lost = sink.lost.clone();
    drop(sink);
    finish(files, &threads);
    assert_eq!(lost.load(Ordering::Relaxed), 2);
}

#[test]
fn whoever_rotates_files_loses_no_line() {
    let (files, threads) = files();
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("a.log"), dir.path().join("a.log.1"));
    let sink = files.file(&path.display().to_string().into()).unwrap();
    let mut buffer = sink.buffer();
    let mut write = |text: &str| {
        line(&mut buffer, text);
        buffer.hand_over();
        assert!(files.flush(Duration::from_secs(60)), "it is written");
    };
    write("1\n");
    std::fs::rename(&path, &moved).unwrap();
    write("2\n");
    assert_eq!((read(&moved), read(&path)), ("1\n".to_owned(), "2\n".to_owned()));
    // Told so, too, where the place of the file says nothing: here it is the same one.
    files.reopen();
    write("3\n");
    assert_eq!(read(&path), "2\n3\n");
    drop((buffer, sink));
    finish(files, &threads);
}

#[test]
fn whoever_waits_for_a_writer_that_hangs_gives_up() {
    let barrier = Arc::new(Barrier::new(2));
    let (hold, threads): (_, Arc<Mutex<Vec<Handle>>>) = (barrier.clone(), Arc::default());
    let started = threads.clone();
    let start = move |name: String, body: Box<dyn FnOnce() + Send>| {
        let hold = hold.clone();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            hold.wait();
            body();
        })?;
        started.lock().push(thread);
        Ok(())
    };
    let files = Files::new(&Registry::new(), Box::new(start));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hangs.log");
    let sink = files.file(&path.display().to_string().into()).unwrap();
    let mut buffer = sink.buffer();
    for _ in 0..QUEUE {
        line(&mut buffer, "x\n");
        buffer.hand_over();
    }
    assert!(!files.flush(Duration::from_millis(30)));
    barrier.wait();
    assert!(files.flush(Duration::from_secs(60)));
    drop((buffer, sink));
    finish(files, &threads);
    assert_eq!(read(&path).lines().count(), QUEUE);
}
