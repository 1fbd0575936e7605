use controlplane_k8s_api::Kind;

use super::*;

fn remark(kind: Kind, name: &str, counts: Counts) -> Remark {
    let object = ObjectKey {
        kind,
        namespace: "shop".into(),
        name: name.into(),
    };
    Remark {
        lines: vec![format!(
            "{}: spec.rules[0].form: unknown field",
            object.reference()
        )],
        object,
        counts,
    }
}

#[test]
fn it_stands_beside_what_follows_from_what_counts() {
    let known = remark(Kind::AuthorizationPolicy, "a", Counts::Strictest);
    let mut status = ObjectStatus::new(known.object.clone());
    status.conditions.push(StatusCondition::new(
        ConditionType::ZtunnelAccepted,
        true,
        StatusReason::Accepted,
        "",
    ));
    let mut statuses = vec![status];
    state(&[known], &mut statuses);
    let kinds: Vec<_> = statuses[0]
        .conditions
        .iter()
        .map(|c| (c.kind.as_str(), c.holds))
        .collect();
    assert_eq!(kinds, [("ZtunnelAccepted", true), ("lateen.dev/Current", false)]);
    assert_eq!(statuses[0].conditions[1].reason, StatusReason::Strictest);
}

#[test]
fn of_whom_nothing_else_is_said_it_is_said_too_and_once() {
    let remarks = [
        remark(Kind::Telemetry, "b", Counts::Nothing),
        remark(Kind::DestinationRule, "c", Counts::Rest),
        remark(Kind::ServiceEntry, "d", Counts::LastGood),
        // It says so in a way of its own.
        remark(Kind::HttpRoute, "e", Counts::Nothing),
    ];
    let mut statuses = Vec::new();
    state(&remarks, &mut statuses);
    let said: Vec<_> = statuses
        .iter()
        .map(|s| {
            (
                s.object.name.as_str(),
                s.conditions[0].holds,
                s.conditions[0].reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("b", false, "NeverGood"),
            ("c", true, "UnknownFields"),
            ("d", false, "LastGood")
        ]
    );
    assert_eq!(
        statuses[0].conditions[0].message,
        "it is not understood; nothing of it counts: spec.rules[0].form: unknown field"
    );
}
