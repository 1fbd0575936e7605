use super::*;

#[test]
fn streams_of_one_tunnel_spread_over_all_workers() {
    let loads = Loads::new(3);
    let placed: Vec<_> = (0..6).map(|_| loads.place(1)).collect();
    let workers: Vec<_> = placed.iter().map(Load::worker).collect();
    assert_eq!(workers, [1, 2, 0, 1, 2, 0]);
}

#[test]
fn a_stream_stays_where_it_came_if_nobody_is_less_busy() {
    let loads = Loads::new(2);
    let first = loads.place(0);
    assert_eq!(first.worker(), 0);
    drop(first);
    assert_eq!(loads.place(0).worker(), 0);
    let busy = loads.at(0);
    assert_eq!(loads.place(0).worker(), 1);
    drop(busy);
    assert_eq!(loads.place(0).worker(), 0);
}
