use std::task::Waker;

use super::*;

fn next(body: &mut CopyBody) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    body.poll_frame(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_copy_gets_everything_and_ends_with_the_original() {
    let mut copies = Copies::none();
    let (mut a, mut b) = (
        copies.add(SizeHint::default(), None),
        copies.add(SizeHint::default(), None),
    );
    assert!(next(&mut a).is_pending());
    copies.data(&Bytes::from_static(b"one"));
    for body in [&mut a, &mut b] {
        let Poll::Ready(Some(Ok(frame))) = next(body) else {
            panic!("there is data")
        };
        assert_eq!(frame.into_data().ok().as_deref(), Some(&b"one"[..]));
        assert!(!body.is_end_stream());
    }
    copies.end(&Ok(None));
    assert!(a.is_end_stream() && matches!(next(&mut a), Poll::Ready(None)));
}

#[test]
fn who_is_too_slow_or_whose_original_breaks_off_gets_an_error() {
    let mut copies = Copies::none();
    let (mut slow, mut broken) = (
        copies.add(SizeHint::default(), None),
        copies.add(SizeHint::default(), None),
    );
    let piece = Bytes::from(vec![0; LIMIT / 2 + 1]);
    copies.data(&piece);
    assert!(next(&mut broken).is_ready());
    copies.data(&piece);
    assert!(matches!(
        next(&mut slow),
        Poll::Ready(Some(Err(BodyError::NotKept)))
    ));
    assert!(matches!(next(&mut broken), Poll::Ready(Some(Ok(_)))));
    drop(copies);
    assert!(matches!(
        next(&mut broken),
        Poll::Ready(Some(Err(BodyError::NotKept)))
    ));
}

#[test]
fn what_came_before_belongs_to_a_copy_and_only_to_that() {
    let mut copies = Copies::none();
    let mut early = copies.add(SizeHint::default(), None);
    let kept = VecDeque::from([Bytes::from_static(b"one")]);
    let mut late = copies.add_after(SizeHint::default(), &kept, None, None);
    assert!(next(&mut early).is_pending());
    assert!(matches!(next(&mut late), Poll::Ready(Some(Ok(_)))));
    copies.data(&Bytes::from_static(b"two"));
    assert!(matches!(next(&mut early), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(next(&mut late), Poll::Ready(Some(Ok(_)))));
    let mut over = copies.add_after(SizeHint::default(), &kept, Some(None), None);
    assert!(!over.is_end_stream() && matches!(next(&mut over), Poll::Ready(Some(Ok(_)))));
    assert!(over.is_end_stream());
}
