use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_line_is_written_before_the_guard_is_gone() {
    let sink = Sink::default();
    let (lines, guard) = start(sink.clone()).unwrap();
    let producers: Vec<_> = (0..4)
        .map(|producer| {
            let mut lines = lines.clone();
            std::thread::spawn(move || {
                for i in 0..5_000 {
                    lines.write_all(format!("{producer} {i}\n").as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for producer in producers {
        producer.join().unwrap();
    }
    drop(guard);
    let written = String::from_utf8(sink.0.lock().clone()).unwrap();
    assert_eq!(written.lines().filter(|l| l.contains(' ')).count(), 20_000);
}

#[test]
fn a_full_queue_makes_producers_wait_and_loses_nothing() {
    let sink = Sink::default();
    let held = sink.0.lock();
    let (mut lines, guard) = start(sink.clone()).unwrap();
    let producer = std::thread::spawn(move || {
        let line = [b'x'; 1 << 16];
        for _ in 0..200 {
            lines.write_all(&line).unwrap();
        }
    });
    drop(held);
    producer.join().unwrap();
    drop(guard);
    assert_eq!(sink.0.lock().len(), 200 << 16);
}
