use controlplane_k8s_api::{Kind, StrictPart, StrictSense};
use controlplane_kube::Readable;

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
        readable: Readable {
            generation: Some(2),
            strict: match counts {
                Counts::Strictest => vec![StrictPart {
                    field: "spec.rules[0]".to_owned(),
                    sense: StrictSense::DeniesEverybody,
                }],
                _ => Vec::new(),
            },
            ..Readable::default()
        },
    }
}

fn told(kind: ConditionType, holds: bool, reason: StatusReason, message: &str) -> ObjectStatus {
    let mut status = ObjectStatus::new(remark(Kind::AuthorizationPolicy, "a", Counts::Strictest).object);
    status
        .conditions
        .push(StatusCondition::new(kind, holds, reason, message));
    status
}

#[test]
fn it_stands_beside_what_follows_from_what_counts() {
    let known = remark(Kind::AuthorizationPolicy, "a", Counts::LastGood);
    let enforced = told(
        ConditionType::ZtunnelAccepted,
        true,
        StatusReason::Accepted,
        "as it is written",
    );
    let mut statuses = vec![enforced];
    state(&[known], &mut statuses);
    let kinds: Vec<_> = statuses[0]
        .conditions
        .iter()
        .map(|c| (c.kind.as_str(), c.holds))
        .collect();
    assert_eq!(kinds, [("ZtunnelAccepted", true), ("lateen.dev/Current", false)]);
    // What is enforced is an earlier generation; what is refused is this one.
    let about = statuses[0].conditions.iter().map(|c| c.generation);
    assert_eq!(about.collect::<Vec<_>>(), [None, Some(2)]);
    assert_eq!(statuses[0].conditions[1].reason, StatusReason::LastGood);
}

#[test]
fn a_policy_in_its_strictest_sense_is_not_enforced_as_it_is_written_and_says_what_holds() {
    let said = |status: ObjectStatus| {
        let known = remark(Kind::AuthorizationPolicy, "a", Counts::Strictest);
        let mut statuses = vec![status];
        state(&[known], &mut statuses);
        let current = statuses[0].condition(ConditionType::Current).expect("it is said");
        assert_eq!(current.reason, StatusReason::Strictest);
        statuses.remove(0).conditions.remove(0)
    };
    let unread = "spec.rules[0] cannot be read, so the policy denies everybody by that rule \
                  (spec.rules[0].form: unknown field)";
    let ztunnel = said(told(
        ConditionType::ZtunnelAccepted,
        true,
        StatusReason::Accepted,
        "as it is written",
    ));
    assert_eq!(
        (ztunnel.holds, ztunnel.reason),
        (false, StatusReason::UnsupportedValue)
    );
    assert_eq!(
        ztunnel.message,
        format!("{unread}; what is left of it is enforced")
    );
    // What else is not as it is written is said, too.
    let paths = told(
        ConditionType::ZtunnelAccepted,
        false,
        StatusReason::UnsupportedValue,
        "paths",
    );
    assert_eq!(said(paths).message, format!("{unread}; paths"));
    // Waypoints carry out a part of it.
    let waypoint = said(told(
        ConditionType::WaypointAccepted,
        true,
        StatusReason::Accepted,
        "as it is written",
    ));
    assert_eq!(
        (waypoint.holds, waypoint.reason),
        (true, StatusReason::PartiallyInvalid)
    );
    // That nobody carries it out is no less true.
    let unbound = told(
        ConditionType::WaypointAccepted,
        false,
        StatusReason::AncestorNotBound,
        "nobody",
    );
    assert_eq!(said(unbound).reason, StatusReason::AncestorNotBound);
    // Other conditions are about something else.
    let delivered = said(told(
        ConditionType::Delivered,
        true,
        StatusReason::Delivered,
        "3/3",
    ));
    assert_eq!((delivered.holds, delivered.message.as_str()), (true, "3/3"));
}

#[test]
fn of_whom_nothing_else_is_said_it_is_said_too_and_once() {
    let remarks = [
        remark(Kind::Telemetry, "b", Counts::Nothing),
        remark(Kind::DestinationRule, "c", Counts::Rest),
        remark(Kind::ServiceEntry, "d", Counts::LastGood),
        // It says so in a way of its own, and names no parent to say it of.
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
    assert_eq!(statuses[0].observed_generation, Some(2));
}
