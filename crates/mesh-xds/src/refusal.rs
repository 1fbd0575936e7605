//! Which resources of a push a client refused, beside the sentence for people: in the details of its error, both
//! directions. All others of the push were accepted. Clients of other makers name nothing, and refuse the whole push.

use mesh_proto::google::protobuf::Any;
use mesh_proto::lateen::delivery::v1::Refused;
use prost::Message as _;

/// The details of a refusal of these resources; none where they are too many to name.
pub(crate) fn to_details<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Vec<Any> {
    if names.len() > MAX_NAMED {
        return Vec::new();
    }
    let refused = Refused {
        names: names.map(str::to_owned).collect(),
    };
    vec![Any {
        type_url: TYPE.to_owned(),
        value: refused.encode_to_vec().into(),
    }]
}

/// The names in the details of a refusal; nothing where they are not told.
pub(crate) fn from_details(details: &[Any]) -> Option<Vec<String>> {
    let told = details.iter().find(|detail| detail.type_url == TYPE)?;
    let refused = Refused::decode(told.value.clone()).ok()?;
    (1..=MAX_NAMED)
        .contains(&refused.names.len())
        .then_some(refused.names)
}

const TYPE: &str = "type.googleapis.com/lateen.delivery.v1.Refused";
/// Names in one refusal.
const MAX_NAMED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_onto_the_wire_and_come_back_and_too_many_are_not_told() {
        let names = |count: usize| (0..count).map(|n| format!("p{n}")).collect::<Vec<_>>();
        for (count, told) in [(1, true), (MAX_NAMED, true), (MAX_NAMED + 1, false), (0, false)] {
            let names = names(count);
            let details = to_details(names.iter().map(String::as_str));
            assert_eq!(from_details(&details), told.then_some(names), "{count}");
        }
    }

    #[test]
    fn what_others_put_into_their_details_names_nothing() {
        let mut other = to_details(["p"].into_iter());
        other[0].type_url = "type.googleapis.com/google.rpc.BadRequest".to_owned();
        assert_eq!(from_details(&other), None);
        let mut broken = to_details(["p"].into_iter());
        broken[0].value = vec![0x0a, 0xff].into();
        assert_eq!(from_details(&broken), None);
    }
}
