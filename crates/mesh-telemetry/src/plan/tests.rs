use mesh_model::l7::attach::Given;

use super::*;
use crate::testing::Story;

fn logging(format: &str, filter: Option<&str>) -> Effective {
    let sink = LogSink::File {
        path: "/dev/stdout".into(),
        format: LogFormat::Text(format.into()),
    };
    let value = LoggedTo {
        sink,
        filter: filter.map(Into::into),
    };
    Effective {
        logging: Some(vec![given(value)]),
        ..Effective::default()
    }
}

fn given<T>(value: T) -> Given<T> {
    Given {
        value,
        object: mesh_model::l7::ObjectRef {
            kind: "Telemetry".into(),
            name: mesh_types::NamespacedName::new("shop", "t"),
        },
        target: mesh_model::l7::Target::Mesh,
    }
}

#[test]
fn a_log_with_a_filter() {
    let (plan, wrong) = Plan::compile(&logging("%REQ(X-TEAM)%\n", Some("response.code >= 400")));
    assert_eq!(wrong, []);
    assert!(plan.needs.request_headers);
    let log = &plan.logs.unwrap()[0];
    let story = Story::new();
    let mut record = story.record();
    assert!(!log.takes(&record));
    record.response.code = 500;
    assert!(log.takes(&record));
}

#[test]
fn what_cannot_be_carried_out_is_named() {
    let (plan, wrong) = Plan::compile(&logging("%NO_SUCH%", None));
    assert_eq!(wrong[0].to_string(), "log format: there is no operator %NO_SUCH%");
    assert_eq!(plan.logs.unwrap().len(), 0);
    let (plan, wrong) = Plan::compile(&logging("x", Some("nothing")));
    assert!(wrong[0].to_string().starts_with("log filter: "), "{wrong:?}");
    assert_eq!(
        plan.logs.unwrap().len(),
        0,
        "it must not tell what was to be kept away"
    );
}

#[test]
fn nothing_said_is_not_nothing_logged() {
    assert!(Plan::compile(&Effective::default()).0.logs.is_none());
    let off = Effective {
        logging: Some(Vec::new()),
        ..Effective::default()
    };
    assert_eq!(Plan::compile(&off).0.logs.unwrap().len(), 0);
}
