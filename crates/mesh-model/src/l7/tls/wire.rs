//! TLS on the wire: `lateen.l7.v1.TlsTermination`, `BackendTls`.

use mesh_proto::lateen::l7::v1 as pb;

use super::{BackendTls, Certificate, TlsOrigination, TlsTermination, Trust};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::wire::{Wire, check, list, list_to_wire, optional, required, string, strings, to_wire};

impl Wire for TlsTermination {
    type Message = pb::TlsTermination;

    fn from_wire(m: &pb::TlsTermination) -> Result<Self, FieldProblem> {
        use pb::tls_termination::Mode;
        match m.mode.as_ref().ok_or(Problem::Missing).field("mode")? {
            Mode::Passthrough(pb::Empty {}) => Ok(Self::Passthrough),
            Mode::Terminate(m) => terminate(m).field("terminate"),
        }
    }

    fn to_wire(&self) -> pb::TlsTermination {
        use pb::tls_termination::Mode;
        let mode = match self {
            Self::Passthrough => Mode::Passthrough(pb::Empty {}),
            Self::Terminate {
                certificates,
                client_authorities,
            } => Mode::Terminate(pb::TerminateTls {
                certificates: list_to_wire(certificates),
                client_authorities: client_authorities.clone(),
            }),
        };
        pb::TlsTermination { mode: Some(mode) }
    }
}

fn terminate(m: &pb::TerminateTls) -> Result<TlsTermination, FieldProblem> {
    // No authorities at all would be read as "clients need no certificate" by some.
    if m.client_authorities.as_ref().is_some_and(|pem| pem.is_empty()) {
        return Err(Problem::Empty).field("client_authorities");
    }
    Ok(TlsTermination::Terminate {
        certificates: check::some("certificates", list("certificates", &m.certificates)?)?,
        client_authorities: m.client_authorities.clone(),
    })
}

impl Wire for Certificate {
    type Message = pb::Certificate;

    fn from_wire(m: &pb::Certificate) -> Result<Self, FieldProblem> {
        for (field, pem) in [("chain", &m.chain), ("key", &m.key)] {
            if pem.is_empty() {
                return Err(Problem::Empty).field(field);
            }
        }
        Ok(Self {
            chain: m.chain.clone(),
            key: m.key.clone(),
        })
    }

    fn to_wire(&self) -> pb::Certificate {
        pb::Certificate {
            chain: self.chain.clone(),
            key: self.key.clone(),
        }
    }
}

impl Wire for BackendTls {
    type Message = pb::BackendTls;

    fn from_wire(m: &pb::BackendTls) -> Result<Self, FieldProblem> {
        use pb::backend_tls::Mode;
        match m.mode.as_ref().ok_or(Problem::Missing).field("mode")? {
            Mode::Off(pb::Empty {}) => Ok(Self::Off),
            Mode::On(m) => Wire::from_wire(m).map(Self::On).field("on"),
            Mode::Invalid(reason) => Ok(Self::Invalid(reason.into())),
        }
    }

    fn to_wire(&self) -> pb::BackendTls {
        use pb::backend_tls::Mode;
        let mode = match self {
            Self::Off => Mode::Off(pb::Empty {}),
            Self::On(origination) => Mode::On(origination.to_wire()),
            Self::Invalid(reason) => Mode::Invalid(reason.to_string()),
        };
        pb::BackendTls { mode: Some(mode) }
    }
}

impl Wire for TlsOrigination {
    type Message = pb::TlsOrigination;

    fn from_wire(m: &pb::TlsOrigination) -> Result<Self, FieldProblem> {
        Ok(Self {
            server_name: check::maybe("server_name", m.server_name.as_ref(), check::authority)?,
            trust: required("trust", m.trust.as_ref())?,
            subject_alt_names: check::each("subject_alt_names", &m.subject_alt_names, check::text)?,
            certificate: optional("certificate", m.certificate.as_ref())?,
            alpn: check::each("alpn", &m.alpn, check::text)?,
        })
    }

    fn to_wire(&self) -> pb::TlsOrigination {
        pb::TlsOrigination {
            server_name: string(self.server_name.as_ref()),
            trust: Some(self.trust.to_wire()),
            subject_alt_names: strings(&self.subject_alt_names),
            certificate: to_wire(self.certificate.as_ref()),
            alpn: strings(&self.alpn),
        }
    }
}

impl Wire for Trust {
    type Message = pb::Trust;

    fn from_wire(m: &pb::Trust) -> Result<Self, FieldProblem> {
        use pb::trust::Trust;
        match m.trust.as_ref().ok_or(Problem::Missing).field("trust")? {
            Trust::System(pb::Empty {}) => Ok(Self::System),
            Trust::Authorities(pem) if pem.is_empty() => Err(Problem::Empty).field("authorities"),
            Trust::Authorities(pem) => Ok(Self::Authorities(pem.clone())),
            Trust::Anybody(pb::Empty {}) => Ok(Self::Anybody),
        }
    }

    fn to_wire(&self) -> pb::Trust {
        use pb::trust::Trust;
        let trust = match self {
            Self::System => Trust::System(pb::Empty {}),
            Self::Authorities(pem) => Trust::Authorities(pem.clone()),
            Self::Anybody => Trust::Anybody(pb::Empty {}),
        };
        pb::Trust { trust: Some(trust) }
    }
}
