//! Filters on the wire: `lateen.l7.v1.Filter`, `BackendFilter`.

use std::sync::Arc;

use mesh_proto::lateen::l7::v1 as pb;

use super::{
    Abort, BackendFilter, Cors, Fault, Filter, HeaderEdits, Mirror, PathRewrite, Redirect, RedirectPort,
    Respond, Rewrite, Share,
};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::Pattern;
use crate::l7::wire::{
    Wire, check, header_pair, list, list_to_wire, optional, required, string, strings, to_wire,
};

impl Wire for Filter {
    type Message = pb::Filter;

    fn from_wire(m: &pb::Filter) -> Result<Self, FieldProblem> {
        use pb::filter::Filter;
        match m.filter.as_ref().ok_or(Problem::Missing).field("filter")? {
            Filter::RequestHeaders(m) => Wire::from_wire(m)
                .map(Self::RequestHeaders)
                .field("request_headers"),
            Filter::ResponseHeaders(m) => Wire::from_wire(m)
                .map(Self::ResponseHeaders)
                .field("response_headers"),
            Filter::Rewrite(m) => Wire::from_wire(m).map(Self::Rewrite).field("rewrite"),
            Filter::Mirror(m) => Wire::from_wire(m).map(Self::Mirror).field("mirror"),
            Filter::Cors(m) => Wire::from_wire(m).map(Self::Cors).field("cors"),
            Filter::Fault(m) => Wire::from_wire(m).map(Self::Fault).field("fault"),
            Filter::ExternalAuth(m) => Wire::from_wire(m)
                .map(|auth| Self::ExternalAuth(Box::new(auth)))
                .field("external_auth"),
            Filter::ExternalProcessing(m) => Wire::from_wire(m)
                .map(|processing| Self::ExternalProcessing(Arc::new(processing)))
                .field("external_processing"),
            Filter::Invalid(reason) => Ok(Self::Invalid(reason.into())),
        }
    }

    fn to_wire(&self) -> pb::Filter {
        use pb::filter::Filter;
        let filter = match self {
            Self::RequestHeaders(edits) => Filter::RequestHeaders(edits.to_wire()),
            Self::ResponseHeaders(edits) => Filter::ResponseHeaders(edits.to_wire()),
            Self::Rewrite(rewrite) => Filter::Rewrite(rewrite.to_wire()),
            Self::Mirror(mirror) => Filter::Mirror(mirror.to_wire()),
            Self::Cors(cors) => Filter::Cors(cors.to_wire()),
            Self::Fault(fault) => Filter::Fault(fault.to_wire()),
            Self::ExternalAuth(auth) => Filter::ExternalAuth(auth.to_wire()),
            Self::ExternalProcessing(processing) => Filter::ExternalProcessing(processing.to_wire()),
            Self::Invalid(reason) => Filter::Invalid(reason.to_string()),
        };
        pb::Filter { filter: Some(filter) }
    }
}

impl Wire for BackendFilter {
    type Message = pb::BackendFilter;

    fn from_wire(m: &pb::BackendFilter) -> Result<Self, FieldProblem> {
        use pb::backend_filter::Filter;
        match m.filter.as_ref().ok_or(Problem::Missing).field("filter")? {
            Filter::RequestHeaders(m) => Wire::from_wire(m)
                .map(Self::RequestHeaders)
                .field("request_headers"),
            Filter::ResponseHeaders(m) => Wire::from_wire(m)
                .map(Self::ResponseHeaders)
                .field("response_headers"),
            Filter::Rewrite(m) => Wire::from_wire(m).map(Self::Rewrite).field("rewrite"),
            Filter::Mirror(m) => Wire::from_wire(m).map(Self::Mirror).field("mirror"),
            Filter::Redirect(m) => Wire::from_wire(m).map(Self::Redirect).field("redirect"),
            Filter::Invalid(reason) => Ok(Self::Invalid(reason.into())),
        }
    }

    fn to_wire(&self) -> pb::BackendFilter {
        use pb::backend_filter::Filter;
        let filter = match self {
            Self::RequestHeaders(edits) => Filter::RequestHeaders(edits.to_wire()),
            Self::ResponseHeaders(edits) => Filter::ResponseHeaders(edits.to_wire()),
            Self::Rewrite(rewrite) => Filter::Rewrite(rewrite.to_wire()),
            Self::Mirror(mirror) => Filter::Mirror(mirror.to_wire()),
            Self::Redirect(redirect) => Filter::Redirect(redirect.to_wire()),
            Self::Invalid(reason) => Filter::Invalid(reason.to_string()),
        };
        pb::BackendFilter { filter: Some(filter) }
    }
}

impl Wire for HeaderEdits {
    type Message = pb::HeaderEdits;

    fn from_wire(m: &pb::HeaderEdits) -> Result<Self, FieldProblem> {
        Ok(Self {
            set: items("set", &m.set, |pair| match pair.key == AUTHORITY {
                true => check::authority(&pair.value)
                    .map(|value| (AUTHORITY.into(), value))
                    .field("value"),
                false => header_pair(pair),
            })?,
            add: items("add", &m.add, header_pair)?,
            remove: check::each("remove", &m.remove, check::header)?,
        })
    }

    fn to_wire(&self) -> pb::HeaderEdits {
        pb::HeaderEdits {
            set: list_to_wire(&self.set),
            add: list_to_wire(&self.add),
            remove: strings(&self.remove),
        }
    }
}

impl Wire for Rewrite {
    type Message = pb::Rewrite;

    fn from_wire(m: &pb::Rewrite) -> Result<Self, FieldProblem> {
        Ok(Self {
            authority: check::maybe("authority", m.authority.as_ref(), check::authority)?,
            path: optional("path", m.path.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Rewrite {
        pb::Rewrite {
            authority: string(self.authority.as_ref()),
            path: to_wire(self.path.as_ref()),
        }
    }
}

impl Wire for PathRewrite {
    type Message = pb::PathRewrite;

    fn from_wire(m: &pb::PathRewrite) -> Result<Self, FieldProblem> {
        use pb::path_rewrite::Path;
        match m.path.as_ref().ok_or(Problem::Missing).field("path")? {
            Path::Full(path) => check::path_part(path).map(Self::Full).field("full"),
            Path::Prefix(path) => check::path_part(path).map(Self::Prefix).field("prefix"),
            Path::RawPrefix(path) => check::path_part(path).map(Self::RawPrefix).field("raw_prefix"),
            Path::Regex(m) => Ok(Self::Regex(
                Pattern::new(&m.pattern)
                    .map_err(Problem::Pattern)
                    .field("regex.pattern")?,
                check::path_part(&m.substitution).field("regex.substitution")?,
            )),
        }
    }

    fn to_wire(&self) -> pb::PathRewrite {
        use pb::path_rewrite::Path;
        let path = match self {
            Self::Full(path) => Path::Full(path.to_string()),
            Self::Prefix(path) => Path::Prefix(path.to_string()),
            Self::RawPrefix(path) => Path::RawPrefix(path.to_string()),
            Self::Regex(pattern, substitution) => Path::Regex(pb::RegexRewrite {
                pattern: pattern.as_str().to_owned(),
                substitution: substitution.to_string(),
            }),
        };
        pb::PathRewrite { path: Some(path) }
    }
}

impl Wire for Redirect {
    type Message = pb::Redirect;

    fn from_wire(m: &pb::Redirect) -> Result<Self, FieldProblem> {
        let status = match m.status {
            301 | 302 | 303 | 307 | 308 => check::status(m.status),
            other => Err(Problem::RedirectStatus(other)),
        };
        Ok(Self {
            scheme: check::maybe("scheme", m.scheme.as_ref(), check::scheme)?,
            hostname: check::maybe("hostname", m.hostname.as_ref(), check::authority)?,
            port: m
                .port
                .as_ref()
                .map_or(Ok(RedirectPort::Derived), redirect_port)
                .field("port")?,
            path: optional("path", m.path.as_ref())?,
            status: status.field("status")?,
        })
    }

    fn to_wire(&self) -> pb::Redirect {
        use pb::redirect_port::Port;
        let port = match self.port {
            RedirectPort::Derived => None,
            RedirectPort::Requested => Some(Port::Requested(pb::Empty {})),
            RedirectPort::AsNamed => Some(Port::AsNamed(pb::Empty {})),
            RedirectPort::Given(port) => Some(Port::Given(port.into())),
        };
        pb::Redirect {
            scheme: string(self.scheme.as_ref()),
            hostname: string(self.hostname.as_ref()),
            port: port.map(|port| pb::RedirectPort { port: Some(port) }),
            path: to_wire(self.path.as_ref()),
            status: self.status.into(),
        }
    }
}

fn redirect_port(m: &pb::RedirectPort) -> Result<RedirectPort, FieldProblem> {
    use pb::redirect_port::Port;
    match m.port.as_ref().ok_or(Problem::Missing).field("port")? {
        Port::Requested(pb::Empty {}) => Ok(RedirectPort::Requested),
        Port::AsNamed(pb::Empty {}) => Ok(RedirectPort::AsNamed),
        Port::Given(port) => check::port(*port).map(RedirectPort::Given).field("given"),
    }
}

impl Wire for Respond {
    type Message = pb::Respond;

    fn from_wire(m: &pb::Respond) -> Result<Self, FieldProblem> {
        Ok(Self {
            status: check::status(m.status).field("status")?,
            body: m.body.clone(),
        })
    }

    fn to_wire(&self) -> pb::Respond {
        pb::Respond {
            status: self.status.into(),
            body: self.body.clone(),
        }
    }
}

impl Wire for Mirror {
    type Message = pb::Mirror;

    fn from_wire(m: &pb::Mirror) -> Result<Self, FieldProblem> {
        Ok(Self {
            destination: required("destination", m.destination.as_ref())?,
            share: required("share", m.share.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Mirror {
        pb::Mirror {
            destination: Some(self.destination.to_wire()),
            share: Some(self.share.to_wire()),
        }
    }
}

impl Wire for Cors {
    type Message = pb::Cors;

    fn from_wire(m: &pb::Cors) -> Result<Self, FieldProblem> {
        Ok(Self {
            allow_origins: list("allow_origins", &m.allow_origins)?,
            allow_methods: check::each("allow_methods", &m.allow_methods, check::token)?,
            allow_headers: check::each("allow_headers", &m.allow_headers, check::token)?,
            expose_headers: check::each("expose_headers", &m.expose_headers, check::token)?,
            max_age: optional("max_age", m.max_age.as_ref())?,
            allow_credentials: m.allow_credentials,
            forward_unmatched_preflights: m.forward_unmatched_preflights,
        })
    }

    fn to_wire(&self) -> pb::Cors {
        pb::Cors {
            allow_origins: list_to_wire(&self.allow_origins),
            allow_methods: strings(&self.allow_methods),
            allow_headers: strings(&self.allow_headers),
            expose_headers: strings(&self.expose_headers),
            max_age: to_wire(self.max_age.as_ref()),
            allow_credentials: self.allow_credentials,
            forward_unmatched_preflights: self.forward_unmatched_preflights,
        }
    }
}

impl Wire for Fault {
    type Message = pb::Fault;

    fn from_wire(m: &pb::Fault) -> Result<Self, FieldProblem> {
        let delay = |m: &pb::FaultDelay| {
            Ok::<_, FieldProblem>((
                required("duration", m.duration.as_ref())?,
                required("share", m.share.as_ref())?,
            ))
        };
        Ok(Self {
            delay: m.delay.as_ref().map(delay).transpose().field("delay")?,
            abort: m.abort.as_ref().map(abort).transpose().field("abort")?,
        })
    }

    fn to_wire(&self) -> pb::Fault {
        use pb::fault_abort::Status;
        let status = |abort: &Abort| match abort {
            Abort::Http(status) => Status::Http((*status).into()),
            Abort::Grpc(status) => Status::Grpc((*status).into()),
        };
        pb::Fault {
            delay: self.delay.as_ref().map(|(duration, share)| pb::FaultDelay {
                duration: Some(duration.to_wire()),
                share: Some(share.to_wire()),
            }),
            abort: self.abort.as_ref().map(|(abort, share)| pb::FaultAbort {
                status: Some(status(abort)),
                share: Some(share.to_wire()),
            }),
        }
    }
}

fn abort(m: &pb::FaultAbort) -> Result<(Abort, Share), FieldProblem> {
    use pb::fault_abort::Status;
    let abort = match m.status.as_ref().ok_or(Problem::Missing).field("status")? {
        Status::Http(status) => Abort::Http(check::status(*status).field("http")?),
        Status::Grpc(status) => Abort::Grpc(check::grpc_status(*status).field("grpc")?),
    };
    Ok((abort, required("share", m.share.as_ref())?))
}

const AUTHORITY: &str = ":authority";
