use super::*;

#[test]
fn headers_of_the_proxy_protocol() {
    let client = |source: &str, destination: &str| OnBehalf {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    };
    let text = |client: &OnBehalf| String::from_utf8(announce(ProxyProtocolVersion::V1, client)).unwrap();
    let four = client("10.0.0.1:4000", "10.96.0.1:80");
    assert_eq!(text(&four), "PROXY TCP4 10.0.0.1 10.96.0.1 4000 80\r\n");
    let six = client("[2001:db8::1]:4000", "[2001:db8::2]:80");
    assert_eq!(text(&six), "PROXY TCP6 2001:db8::1 2001:db8::2 4000 80\r\n");
    assert_eq!(text(&client("10.0.0.1:1", "[::1]:2")), "PROXY UNKNOWN\r\n");
    let binary = announce(ProxyProtocolVersion::V2, &four);
    assert!(binary.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c") && binary.len() == 28);
}
