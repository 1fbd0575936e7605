use super::*;

fn frame(family: [u8; 2], network: &[u8], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend(family);
    frame.extend(network);
    frame.extend(ports.map(u16::to_be_bytes).concat());
    frame.extend([0; 8]);
    // A header of eight words: twelve bytes of options.
    frame.extend([0x80, 0x18, 0, 0, 0, 0, 0, 0]);
    frame.extend([1; 12]);
    frame.extend(payload);
    frame
}

fn v4(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 20];
    (header[0], header[9]) = (0x45, TCP);
    frame([0x08, 0x00], &header, ports, payload)
}

#[test]
fn records_of_tls_on_the_tunnels_port_are_counted_in_both_families() {
    assert!(is_tunnelled(&v4([40000, 15008], &[22, 3, 1, 0, 9])));
    assert!(is_tunnelled(&v4([15008, 40000], &[23, 3, 3, 0, 9])));
    let mut header = [0; 40];
    (header[0], header[6]) = (0x60, TCP);
    assert!(is_tunnelled(&frame(
        [0x86, 0xdd],
        &header,
        [1, 15008],
        &[23, 3, 3, 0, 9]
    )));
}

#[test]
fn other_ports_other_payloads_and_stumps_are_not() {
    assert!(!is_tunnelled(&v4([40000, 9000], &[22, 3, 1, 0, 9])));
    assert!(!is_tunnelled(&v4([40000, 15008], b"GET / HTTP/1.1")));
    assert!(!is_tunnelled(&v4([40000, 15008], &[])));
    let whole = v4([40000, 15008], &[22, 3, 1, 0, 9]);
    for length in 0..whole.len() - 4 {
        assert!(!is_tunnelled(&whole[..length]), "{length}");
    }
}
