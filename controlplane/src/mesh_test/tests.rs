use super::*;

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

#[tokio::test]
async fn whoever_is_heard_is_well_and_whoever_must_not_be_is_not() {
    let (listener, address) = listener().await;
    tokio::select! {
        ended = serve(listener) => panic!("the server ended: {ended:?}"),
        () = async {
            let said = dial(&address, false, Duration::ZERO).await.expect("heard");
            assert!(said.contains("is anybody there? heard from 127.0.0.1"), "{said}");
            let error = dial(&address, true, Duration::ZERO).await.expect_err("it answers");
            assert!(error.to_string().contains("must not"), "{error}");
        } => {}
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_a_failure_unless_nobody_is_to_be_there() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = dial(&address, false, Duration::from_secs(2))
        .await
        .expect_err("nobody");
    assert!(error.to_string().contains("does not answer after 2 s"), "{error}");
    dial(&address, true, Duration::ZERO)
        .await
        .expect("as it should be");
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_was_not_let_through() {
    let (listener, address) = listener().await;
    let hang_up = async {
        loop {
            drop(listener.accept().await.expect("a connection"));
        }
    };
    tokio::select! {
        () = hang_up => {}
        said = dial(&address, true, Duration::ZERO) => drop(said.expect("as it should be")),
    }
}
