//! Health checks on the wire: `lateen.l7.v1.HealthCheck`.

use mesh_proto::lateen::l7::v1 as pb;

use super::{HealthCheck, Probe};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::wire::{Wire, check, required, string};

impl Wire for HealthCheck {
    type Message = pb::HealthCheck;

    fn from_wire(m: &pb::HealthCheck) -> Result<Self, FieldProblem> {
        Ok(Self {
            probe: probe(m)?,
            interval: check::some_time(required("interval", m.interval.as_ref())?).field("interval")?,
            timeout: check::some_time(required("timeout", m.timeout.as_ref())?).field("timeout")?,
            unhealthy_threshold: check::not_zero(m.unhealthy_threshold).field("unhealthy_threshold")?,
            healthy_threshold: check::not_zero(m.healthy_threshold).field("healthy_threshold")?,
        })
    }

    fn to_wire(&self) -> pb::HealthCheck {
        use pb::health_check::Probe as Message;
        let range = |(first, last): &(u16, u16)| pb::StatusRange {
            first: (*first).into(),
            last: (*last).into(),
        };
        let probe = match &self.probe {
            Probe::Http { path, host, statuses } => Message::Http(pb::HttpProbe {
                path: path.to_string(),
                host: string(host.as_ref()),
                statuses: statuses.iter().map(range).collect(),
            }),
            Probe::Grpc { service } => Message::Grpc(pb::GrpcProbe {
                service: service.to_string(),
            }),
            Probe::Tcp => Message::Tcp(pb::Empty {}),
        };
        pb::HealthCheck {
            probe: Some(probe),
            interval: Some(self.interval.to_wire()),
            timeout: Some(self.timeout.to_wire()),
            unhealthy_threshold: self.unhealthy_threshold,
            healthy_threshold: self.healthy_threshold,
        }
    }
}

fn probe(m: &pb::HealthCheck) -> Result<Probe, FieldProblem> {
    use pb::health_check::Probe as Message;
    match m.probe.as_ref().ok_or(Problem::Missing).field("probe")? {
        Message::Http(m) => http(m).field("http"),
        Message::Grpc(m) => Ok(Probe::Grpc {
            service: m.service.as_str().into(),
        }),
        Message::Tcp(pb::Empty {}) => Ok(Probe::Tcp),
    }
}

fn http(m: &pb::HttpProbe) -> Result<Probe, FieldProblem> {
    Ok(Probe::Http {
        path: check::path(&m.path).field("path")?,
        host: check::maybe("host", m.host.as_ref(), check::authority)?,
        statuses: items("statuses", &m.statuses, statuses)?,
    })
}

fn statuses(m: &pb::StatusRange) -> Result<(u16, u16), FieldProblem> {
    let first = check::status(m.first).field("first")?;
    let last = check::status(m.last).field("last")?;
    match first <= last {
        true => Ok((first, last)),
        false => Err(Problem::Backwards {
            first: m.first,
            last: m.last,
        }
        .into()),
    }
}
