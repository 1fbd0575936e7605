//! Which endpoint gets a request, on the wire: `lateen.l7.v1.Balancer`, `LocalityRules`, `Warmup`.

use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;

use super::super::{Balancer, Distribution, HashKey, HashRing, LocalityRules, Warmup};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::wire::{Wire, check, list, list_to_wire, optional, required, string, strings, to_wire};

impl Wire for Balancer {
    type Message = pb::Balancer;

    fn from_wire(m: &pb::Balancer) -> Result<Self, FieldProblem> {
        use pb::balancer::Balancer as Message;
        match m.balancer.as_ref().ok_or(Problem::Missing).field("balancer")? {
            Message::Simple(value) => simple(*value).field("simple"),
            Message::ConsistentHash(m) => Ok(Self::ConsistentHash {
                key: hash_key(m).field("consistent_hash")?,
                ring: hash_ring(m).field("consistent_hash")?,
            }),
        }
    }

    fn to_wire(&self) -> pb::Balancer {
        use pb::SimpleBalancer as Simple;
        use pb::balancer::Balancer as Message;
        let simple = |simple: Simple| Message::Simple(simple.into());
        let balancer = match self {
            Self::LeastRequest => simple(Simple::LeastRequest),
            Self::PeakEwma => simple(Simple::PeakEwma),
            Self::RoundRobin => simple(Simple::RoundRobin),
            Self::Random => simple(Simple::Random),
            Self::Passthrough => simple(Simple::Passthrough),
            Self::ConsistentHash { key, ring } => Message::ConsistentHash(pb::ConsistentHash {
                key: Some(hash_key_to_wire(key)),
                table: Some(match ring {
                    HashRing::Ring(points) => pb::consistent_hash::Table::Ring(*points),
                    HashRing::Maglev(size) => pb::consistent_hash::Table::Maglev(*size),
                }),
            }),
        };
        pb::Balancer {
            balancer: Some(balancer),
        }
    }
}

fn simple(value: i32) -> Result<Balancer, Problem> {
    use pb::SimpleBalancer as Simple;
    match Simple::try_from(value) {
        Ok(Simple::LeastRequest) => Ok(Balancer::LeastRequest),
        Ok(Simple::PeakEwma) => Ok(Balancer::PeakEwma),
        Ok(Simple::RoundRobin) => Ok(Balancer::RoundRobin),
        Ok(Simple::Random) => Ok(Balancer::Random),
        Ok(Simple::Passthrough) => Ok(Balancer::Passthrough),
        Ok(Simple::Unspecified) | Err(_) => Err(Problem::UnknownValue(value)),
    }
}

fn hash_key(m: &pb::ConsistentHash) -> Result<HashKey, FieldProblem> {
    use pb::consistent_hash::Key;
    match m.key.as_ref().ok_or(Problem::Missing).field("key")? {
        Key::Header(name) => check::header(name).map(HashKey::Header).field("header"),
        Key::Cookie(m) => cookie(m).field("cookie"),
        Key::SourceIp(pb::Empty {}) => Ok(HashKey::SourceIp),
        Key::Query(name) => check::text(name).map(HashKey::Query).field("query"),
    }
}

/// What goes into `Set-Cookie` may not end it or one of its parts (RFC 6265, section 4.1.1).
fn cookie(m: &pb::HashCookie) -> Result<HashKey, FieldProblem> {
    let part = |value: &str| match value.contains(';') {
        true => Err(Problem::HeaderValue(value.to_owned())),
        false => check::header_value(value),
    };
    let attribute = |m: &pb::KeyValue| {
        let name = check::token(&m.key).field("key")?;
        Ok::<_, FieldProblem>((name, part(&m.value).field("value")?))
    };
    Ok(HashKey::Cookie {
        name: check::token(&m.name).field("name")?,
        path: check::maybe("path", m.path.as_ref(), part)?,
        ttl: optional("ttl", m.ttl.as_ref())?,
        attributes: items("attributes", &m.attributes, attribute)?,
    })
}

fn hash_key_to_wire(key: &HashKey) -> pb::consistent_hash::Key {
    use pb::consistent_hash::Key;
    match key {
        HashKey::Header(name) => Key::Header(name.to_string()),
        HashKey::Cookie {
            name,
            path,
            ttl,
            attributes,
        } => Key::Cookie(pb::HashCookie {
            name: name.to_string(),
            path: string(path.as_ref()),
            ttl: to_wire(ttl.as_ref()),
            attributes: list_to_wire(attributes),
        }),
        HashKey::SourceIp => Key::SourceIp(pb::Empty {}),
        HashKey::Query(name) => Key::Query(name.to_string()),
    }
}

fn hash_ring(m: &pb::ConsistentHash) -> Result<HashRing, FieldProblem> {
    use pb::consistent_hash::Table;
    match m.table.as_ref().ok_or(Problem::Missing).field("table")? {
        Table::Ring(points) => check::not_zero(*points)
            .and_then(|points| check::at_most(points, MAX_RING))
            .map(HashRing::Ring)
            .field("ring"),
        Table::Maglev(size) => check::at_most(*size, MAX_MAGLEV)
            .and_then(prime)
            .map(HashRing::Maglev)
            .field("maglev"),
    }
}

fn prime(number: u32) -> Result<u32, Problem> {
    let divides = |divisor: u32| number.is_multiple_of(divisor);
    match number > 1 && !(2..=number.isqrt()).any(divides) {
        true => Ok(number),
        false => Err(Problem::NotPrime(number)),
    }
}

impl Wire for LocalityRules {
    type Message = pb::LocalityRules;

    fn from_wire(m: &pb::LocalityRules) -> Result<Self, FieldProblem> {
        use pb::locality_rules::Rule;
        match m.rule.as_ref().ok_or(Problem::Missing).field("rule")? {
            Rule::Off(pb::Empty {}) => Ok(Self::Off),
            Rule::Nearest(pb::Empty {}) => Ok(Self::Nearest),
            Rule::Distribute(m) => list("distributions", &m.distributions)
                .map(Self::Distribute)
                .field("distribute"),
            Rule::Failover(m) => items("failovers", &m.failovers, failover)
                .map(Self::Failover)
                .field("failover"),
            Rule::Priority(m) => check::each("labels", &m.labels, check::text)
                .map(Self::Priority)
                .field("priority"),
        }
    }

    fn to_wire(&self) -> pb::LocalityRules {
        use pb::locality_rules::Rule;
        let failover = |(from, to): &(Strng, Strng)| pb::Failover {
            from: from.to_string(),
            to: to.to_string(),
        };
        let rule = match self {
            Self::Off => Rule::Off(pb::Empty {}),
            Self::Nearest => Rule::Nearest(pb::Empty {}),
            Self::Distribute(distributions) => Rule::Distribute(pb::Distributions {
                distributions: list_to_wire(distributions),
            }),
            Self::Failover(failovers) => Rule::Failover(pb::Failovers {
                failovers: failovers.iter().map(failover).collect(),
            }),
            Self::Priority(labels) => Rule::Priority(pb::LabelPriority {
                labels: strings(labels),
            }),
        };
        pb::LocalityRules { rule: Some(rule) }
    }
}

fn failover(m: &pb::Failover) -> Result<(Strng, Strng), FieldProblem> {
    Ok((
        check::text(&m.from).field("from")?,
        check::text(&m.to).field("to")?,
    ))
}

impl Wire for Distribution {
    type Message = pb::Distribution;

    fn from_wire(m: &pb::Distribution) -> Result<Self, FieldProblem> {
        let share = |m: &pb::PlaceShare| {
            let place = check::text(&m.place).field("place")?;
            Ok::<_, FieldProblem>((place, check::percent(m.percent).field("percent")?))
        };
        let to: Vec<(Strng, u32)> = items("to", &m.to, share)?;
        let sum: u64 = to.iter().map(|(_, percent)| u64::from(*percent)).sum();
        if sum != 100 {
            return Err(Problem::Sum(sum)).field("to");
        }
        Ok(Self {
            from: check::text(&m.from).field("from")?,
            to,
        })
    }

    fn to_wire(&self) -> pb::Distribution {
        let share = |(place, percent): &(Strng, u32)| pb::PlaceShare {
            place: place.to_string(),
            percent: *percent,
        };
        pb::Distribution {
            from: self.from.to_string(),
            to: self.to.iter().map(share).collect(),
        }
    }
}

impl Wire for Warmup {
    type Message = pb::Warmup;

    fn from_wire(m: &pb::Warmup) -> Result<Self, FieldProblem> {
        Ok(Self {
            duration: check::some_time(required("duration", m.duration.as_ref())?).field("duration")?,
            minimum_percent: check::percent(m.minimum_percent).field("minimum_percent")?,
            aggression_milli: check::not_zero(m.aggression_milli).field("aggression_milli")?,
        })
    }

    fn to_wire(&self) -> pb::Warmup {
        pb::Warmup {
            duration: Some(self.duration.to_wire()),
            minimum_percent: self.minimum_percent,
            aggression_milli: self.aggression_milli,
        }
    }
}

/// Envoy's bounds (`RingHashLbConfig.maximum_ring_size`, `MaglevLbConfig.table_size`).
const MAX_RING: u32 = 8_388_608;
const MAX_MAGLEV: u32 = 5_000_011;
