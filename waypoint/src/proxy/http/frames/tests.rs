use std::time::Duration;

use super::*;

fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let head = (u32::try_from(length).expect("it is short")).to_be_bytes();
    let mut frame = [&head[1..], &[kind, flags, 0, 0, 0, 1]].concat();
    frame.resize(HEAD + length, 0);
    frame
}

/// How many of these are taken, of so many.
fn taken(bytes: &[u8], most: usize) -> (usize, Option<Flood>) {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    frames.feed(&[0; PREFACE], now).expect("the preface is none");
    for n in 0..most {
        if let Err(flood) = frames.feed(bytes, now) {
            return (n, Some(flood));
        }
    }
    (most, None)
}

#[tokio::test]
async fn each_kind_has_an_allowance() {
    for (bytes, most, flood) in [
        (frame(PING, 0, 8), 1100, Flood::Ping),
        (frame(SETTINGS, 0, 0), 101, Flood::Settings),
        (frame(RST_STREAM, 0, 4), 1100, Flood::Reset),
        (frame(PRIORITY, 0, 5), 1001, Flood::Priority),
        (frame(WINDOW_UPDATE, 0, 4), 6000, Flood::WindowUpdate),
        (frame(DATA, 0, 0), 101, Flood::EmptyData),
        (frame(CONTINUATION, 0, 10), 65, Flood::Continuation),
        // Requests that are given up at once.
        (
            [frame(HEADERS, 5, 6), frame(RST_STREAM, 0, 4)].concat(),
            1100,
            Flood::Reset,
        ),
    ] {
        let (taken, why) = taken(&bytes, 20_000);
        assert_eq!(why, Some(flood));
        assert!(taken <= most, "{flood:?}: {taken}");
    }
}

#[tokio::test]
async fn honest_work_gives_allowances_back() {
    for bytes in [
        // Bodies of one byte, each with a window to open.
        [
            frame(DATA, 0, 1),
            frame(HEADERS, 5, 10),
            frame(WINDOW_UPDATE, 0, 4),
        ]
        .concat(),
        frame(DATA, 0, 1),
        [frame(DATA, 0, 16_384), frame(PING, 0, 8)].concat(),
        [
            frame(HEADERS, 1, 20),
            frame(CONTINUATION, 0, 20),
            frame(CONTINUATION, 4, 20),
        ]
        .concat(),
        [frame(HEADERS, 4, 20), frame(DATA, 1, 0)].concat(),
        frame(PING, 1, 8),
        frame(SETTINGS, 1, 0),
    ] {
        assert_eq!(taken(&bytes, 50_000), (50_000, None));
    }
    // Time does, too.
    let mut now = Instant::now();
    let mut frames = Frames::new(now);
    frames.feed(&[0; PREFACE], now).expect("the preface is none");
    for _ in 0..10_000 {
        now += Duration::from_millis(20);
        frames.feed(&frame(PING, 0, 8), now).expect("there are few");
    }
}

#[tokio::test]
async fn frames_are_the_same_wherever_their_pieces_end() {
    let now = Instant::now();
    let all: Vec<u8> = [vec![0; PREFACE], frame(HEADERS, 4, 300), frame(DATA, 0, 7)]
        .into_iter()
        .chain((0..150).map(|_| frame(SETTINGS, 0, 6)))
        .flatten()
        .collect();
    for length in [1, 2, 3, 8, 9, 10, 17, 1000, 100_000] {
        let mut frames = Frames::new(now);
        let fed = all.chunks(length).try_for_each(|piece| frames.feed(piece, now));
        assert_eq!(fed, Err(Flood::Settings), "{length}");
    }
}

#[tokio::test]
async fn a_header_is_open_from_its_first_byte_to_its_last() {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    frames.feed(&[0; PREFACE], now).expect("the preface is none");
    let mut open = |bytes: &[u8]| {
        frames.feed(bytes, now).expect("no flood");
        frames.header_since().is_some()
    };
    assert!(!open(&frame(SETTINGS, 0, 6)));
    let whole = frame(HEADERS, END_HEADERS, 20);
    assert!(open(&whole[..HEAD]), "its frame is announced");
    assert!(open(&whole[HEAD..HEAD + 19]));
    assert!(!open(&whole[HEAD + 19..]));
    assert!(open(&frame(HEADERS, 0, 20)), "more is to come");
    assert!(open(&frame(CONTINUATION, 0, 0)));
    assert!(!open(&frame(CONTINUATION, END_HEADERS, 3)));
    assert!(!open(&frame(DATA, 0, 100)[..50]), "a body may take its time");
}

#[tokio::test(start_paused = true)]
async fn each_header_has_its_own_beginning() {
    let mut frames = Frames::new(Instant::now());
    frames
        .feed(&[0; PREFACE], Instant::now())
        .expect("the preface is none");
    // Never a moment without an unfinished header, and yet none that takes long.
    let whole = frame(HEADERS, END_HEADERS, 20);
    frames.feed(&whole[..HEAD], Instant::now()).expect("no flood");
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(50)).await;
        let next = [&whole[HEAD..], &whole[..HEAD]].concat();
        frames.feed(&next, Instant::now()).expect("no flood");
        assert_eq!(frames.header_since(), Some(Instant::now()));
    }
}
