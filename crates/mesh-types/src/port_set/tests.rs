use super::*;

#[test]
fn sets_are_what_their_ports_say() {
    let sets = [
        PortSet::none(),
        PortSet::all(),
        PortSet::Only([80, 443].into()),
        PortSet::Only([443, 8080].into()),
        PortSet::AllBut([80].into()),
        PortSet::AllBut([80, 8080].into()),
    ];
    let probes = [0, 80, 443, 8080, 9090, u16::MAX];
    for a in &sets {
        let complement = a.clone().complement();
        assert!(
            probes.iter().all(|p| a.contains(*p) != complement.contains(*p)),
            "{a:?}"
        );
        for b in &sets {
            let (either, both) = (a.clone().union(b.clone()), a.clone().intersection(b.clone()));
            for p in probes {
                assert_eq!(
                    either.contains(p),
                    a.contains(p) || b.contains(p),
                    "{a:?} {b:?} {p}"
                );
                assert_eq!(
                    both.contains(p),
                    a.contains(p) && b.contains(p),
                    "{a:?} {b:?} {p}"
                );
            }
        }
    }
    assert!(PortSet::none().is_none() && !PortSet::none().is_all());
    assert!(PortSet::all().is_all() && !PortSet::all().is_none());
}

#[test]
fn the_same_ports_are_the_same_set_however_they_are_said() {
    let every: BTreeSet<u16> = (0..=u16::MAX).collect();
    let most: BTreeSet<u16> = (1..=u16::MAX).collect();
    assert!(PortSet::Only(every.clone()).is_all());
    assert!(PortSet::AllBut(every.clone()).is_none());
    assert_eq!(PortSet::Only(every), PortSet::all());
    assert_eq!(PortSet::AllBut([0].into()), PortSet::Only(most.clone()));
    assert_ne!(PortSet::AllBut([1].into()), PortSet::Only(most));
    assert_ne!(PortSet::none(), PortSet::all());
}
