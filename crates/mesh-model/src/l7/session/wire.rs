//! A session on the wire: `lateen.l7.v1.Session`.

use mesh_proto::lateen::l7::v1 as pb;

use super::{Session, SessionCarrier};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::wire::{Wire, check, optional, to_wire};

impl Wire for Session {
    type Message = pb::Session;

    fn from_wire(m: &pb::Session) -> Result<Self, FieldProblem> {
        use pb::session::Carrier;
        let (carrier, name) = match m.carrier.as_ref().ok_or(Problem::Missing).field("carrier")? {
            Carrier::Cookie(cookie) => (
                SessionCarrier::Cookie {
                    permanent: cookie.permanent,
                },
                check::token(&m.name),
            ),
            Carrier::Header(pb::Empty {}) => (SessionCarrier::Header, check::header(&m.name)),
        };
        Ok(Self {
            name: name.field("name")?,
            carrier,
            absolute_timeout: optional("absolute_timeout", m.absolute_timeout.as_ref())?,
            idle_timeout: optional("idle_timeout", m.idle_timeout.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Session {
        use pb::session::Carrier;
        let carrier = match self.carrier {
            SessionCarrier::Cookie { permanent } => Carrier::Cookie(pb::SessionCookie { permanent }),
            SessionCarrier::Header => Carrier::Header(pb::Empty {}),
        };
        pb::Session {
            name: self.name.to_string(),
            carrier: Some(carrier),
            absolute_timeout: to_wire(self.absolute_timeout.as_ref()),
            idle_timeout: to_wire(self.idle_timeout.as_ref()),
        }
    }
}
