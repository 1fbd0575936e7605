use super::*;

#[test]
fn filters_are_checked() {
    assert!(parse_filter("info,access=off,h2=warn").is_ok());
    assert!(parse_filter("").is_ok());
    let error = parse_filter("info,access=loud").unwrap_err().to_string();
    assert!(error.starts_with("log filter \"info,access=loud\": "), "{error}");
    assert!(parse_filter(&"a,".repeat(3000)).is_err());
}

#[test]
fn the_filter_changes_at_run_time() {
    let (layer, handle) = reload::Layer::new(parse_filter("info").unwrap());
    let _subscriber = tracing_subscriber::registry().with(layer);
    let control = LogControl {
        handle,
        initial: "info".into(),
        current: Arc::new(Mutex::new("info".to_owned())),
    };
    control.merge("access=debug").unwrap();
    assert_eq!(control.current(), "info,access=debug");
    assert!(control.merge("access=loud").is_err());
    assert_eq!(control.current(), "info,access=debug");
    control.reset();
    assert_eq!(control.current(), "info");
}

#[tokio::test]
async fn the_route_shows_changes_and_resets() {
    let (layer, handle) = reload::Layer::new(parse_filter("info").unwrap());
    let _subscriber = tracing_subscriber::registry().with(layer);
    let control = LogControl {
        handle,
        initial: "info".into(),
        current: Arc::new(Mutex::new("info".to_owned())),
    };
    let routes = control.routes();
    let show = |path: &'static str| {
        let routes = &routes;
        async move { admin::body_text(routes.answer(admin::Request::post(path)).await).await }
    };
    assert_eq!(show("/logging").await, "active log filters:\ninfo\n");
    assert_eq!(
        show("/logging?level=debug").await,
        "active log filters:\ninfo,debug\n"
    );
    assert_eq!(
        show("/logging?reset&level=access%3Doff").await,
        "active log filters:\ninfo,access=off\n"
    );
    assert_eq!(show("/logging?reset").await, "active log filters:\ninfo\n");
    assert!(show("/logging?level=a=loud").await.starts_with("log filter"));
}

#[test]
fn formats_have_names() {
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    assert_eq!("plain".parse(), Ok(LogFormat::Plain));
    assert!("xml".parse::<LogFormat>().is_err());
}
