use super::*;
use crate::l7::filter::Share;
use crate::l7::select::Spread;

#[test]
fn delay_and_failure_are_drawn_apart() {
    let half = Share::new(1, 2).unwrap();
    let fault = Fault {
        delay: Some((Duration::from_secs(1), half)),
        abort: Some((Abort::Http(503), half)),
    };
    let injected = |numbers: [u64; 2]| {
        let mut numbers = numbers.into_iter();
        let injected = inject(&fault, || numbers.next().unwrap());
        (injected.delay.is_some(), injected.abort.is_some())
    };
    assert_eq!(injected([0, 0]), (true, true));
    assert_eq!(injected([0, 1]), (true, false));
    assert_eq!(injected([1, 0]), (false, true));
    assert_eq!(injected([1, 1]), (false, false));
    assert_eq!(inject(&Fault::default(), || 0), Injected::default());
}

/// HTTPRouteRequestMultipleMirrors, HTTPRouteRequestPercentageMirror.
#[test]
fn several_mirrors_each_with_its_share() {
    let mirror = |name: &str, share| Mirror {
        destination: Destination::Backend(name.into()),
        share,
    };
    let none = Share::new(0, 100).unwrap();
    let mirrors = [
        mirror("all", Share::ALL),
        mirror("none", none),
        mirror("fifth", Share::new(20, 100).unwrap()),
        Mirror {
            destination: Destination::Invalid("not found".into()),
            share: Share::ALL,
        },
    ];
    let (spread, mut counts) = (Spread::new(1), [0, 0, 0]);
    for _ in 0..500 {
        let random = spread.next();
        for destination in mirrored(&mirrors, || random) {
            let at = mirrors
                .iter()
                .position(|m| m.destination == *destination)
                .unwrap();
            counts[at] += 1;
        }
    }
    assert_eq!((counts[0], counts[1]), (500, 0));
    assert!((75..=125).contains(&counts[2]), "{counts:?}");
}
