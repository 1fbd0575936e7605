//! `google.protobuf.Struct` as JSON, both directions. A number that JSON does not know is null.

use mesh_proto::google::protobuf::value::Kind;
use mesh_proto::google::protobuf::{self as pb, NullValue};
use serde_json::{Map, Number, Value};

pub(super) fn to_json(message: pb::Struct) -> Map<String, Value> {
    let fields = message.fields.into_iter();
    fields.map(|(name, field)| (name, value(field))).collect()
}

pub(super) fn to_wire(json: &Map<String, Value>) -> pb::Struct {
    let fields = json.iter();
    pb::Struct {
        fields: fields
            .map(|(name, value)| (name.clone(), value_to_wire(value)))
            .collect(),
    }
}

fn value(message: pb::Value) -> Value {
    match message.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(is)) => Value::Bool(is),
        Some(Kind::StructValue(inner)) => Value::Object(to_json(inner)),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
    }
}

/// Whole ones are written as such, as Envoy's logs have them.
fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < EXACT {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// 2 to the 53rd: below it whole numbers are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn value_to_wire(json: &Value) -> pb::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(NullValue::NullValue.into()),
        Value::Bool(is) => Kind::BoolValue(*is),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(list) => Kind::ListValue(pb::ListValue {
            values: list.iter().map(value_to_wire).collect(),
        }),
        Value::Object(inner) => Kind::StructValue(to_wire(inner)),
    };
    pb::Value { kind: Some(kind) }
}
