use std::io::Write;
use std::process::{Command, Stdio};

use tokio::net::TcpListener;

use super::*;
use crate::process::in_namespaces;

#[test]
fn without_redirection_it_is_the_local_address() {
    in_namespaces(|| {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            block_on(async {
                let listener = TcpListener::bind(listen).await.unwrap();
                let addr = listener.local_addr().unwrap();
                let (_client, accepted) = connected(&listener, addr).await;
                assert_eq!(redirected(&accepted).unwrap(), None);
                assert_eq!(orig_dst(&accepted).unwrap().addr(), addr);
            });
        }
    });
}

#[test]
fn a_redirected_connection_remembers_where_it_went() {
    in_namespaces(|| {
        nft(REDIRECT);
        block_on(async {
            // One dual-stack listener, as in a pod: IPv4 arrives under a mapped address.
            let listener = TcpListener::bind("[::]:15001").await.unwrap();
            for wanted in ["127.0.0.9:80", "[::1]:80"] {
                let (_client, accepted) = connected(&listener, wanted.parse().unwrap()).await;
                assert_eq!(
                    orig_dst(&accepted).unwrap(),
                    OrigDst::new(wanted.parse().unwrap())
                );
                assert_eq!(local_addr(&accepted).unwrap().port(), 15001);
            }
        });
    });
}

const REDIRECT: &str = "
add table inet t
add chain inet t c { type nat hook output priority -100; }
add rule inet t c tcp dport 80 redirect to :15001
";

async fn connected(listener: &TcpListener, to: SocketAddr) -> (TcpStream, TcpStream) {
    let (client, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

fn nft(rules: &str) {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nft (package nftables) is installed");
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}
