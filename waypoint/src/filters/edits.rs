//! Headers, paths and hosts as the rule, and then the destination, want them. Done last, and once for all tries: what
//! decided before saw the request as it was asked.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use mesh_model::l7::edit::{HeaderEditor, rewrite_path};
use mesh_model::l7::filter::{BackendFilter, Filter, HeaderEdits, PathRewrite, Rewrite};
use mesh_model::l7::route::{HttpBackend, HttpMatch};

use crate::exchange::Exchange;
use crate::route::Rule;

/// A request as it goes on: the exchange's own where nothing is done to it.
#[derive(Default)]
pub(crate) struct Outgoing {
    edited: Option<Box<Edited>>,
}

/// A request of which something is changed.
struct Edited {
    head: Parts,
    authority: HeaderValue,
}

/// One thing to do.
enum Edit<'r> {
    Headers(&'r HeaderEdits),
    Rewrite(&'r Rewrite),
}

/// The request as it goes on.
pub(crate) fn outgoing(exchange: &Exchange, rule: Option<&Rule>) -> Outgoing {
    let Some((rule, http)) = rule.and_then(|rule| Some((rule, rule.http()?))) else {
        return Outgoing::default();
    };
    let matched = rule.matched.and_then(|at| http.matches.get(at));
    let of_rule = http.filters.iter().filter_map(|filter| match filter {
        Filter::RequestHeaders(edits) => Some(Edit::Headers(edits)),
        Filter::Rewrite(rewrite) => Some(Edit::Rewrite(rewrite)),
        _ => None,
    });
    let of_backend = rule
        .http_backend()
        .into_iter()
        .flat_map(|backend| &backend.filters);
    let of_backend = of_backend.filter_map(|filter| match filter {
        BackendFilter::RequestHeaders(edits) => Some(Edit::Headers(edits)),
        BackendFilter::Rewrite(rewrite) => Some(Edit::Rewrite(rewrite)),
        _ => None,
    });
    let mut edited = None;
    for edit in of_rule.chain(of_backend) {
        let edited = edited.get_or_insert_with(|| Edited {
            head: exchange.head.clone(),
            authority: exchange.authority.clone(),
        });
        match edit {
            Edit::Headers(edits) => edited.edit(edits),
            Edit::Rewrite(rewrite) => edited.rewrite(rewrite, matched),
        }
    }
    Outgoing {
        edited: edited.map(Box::new),
    }
}

/// An answer as it goes back.
pub(crate) fn incoming(rule: Option<&Rule>, headers: &mut HeaderMap) {
    let Some(rule) = rule else { return };
    let of_backend = rule
        .http_backend()
        .into_iter()
        .flat_map(|backend: &HttpBackend| &backend.filters);
    for filter in of_backend {
        if let BackendFilter::ResponseHeaders(edits) = filter {
            edit(edits, headers);
        }
    }
    for filter in rule.http().into_iter().flat_map(|http| &http.filters) {
        if let Filter::ResponseHeaders(edits) = filter {
            edit(edits, headers);
        }
    }
}

/// What cannot be written was refused when it was configured; here it is left out.
fn edit(edits: &HeaderEdits, headers: &mut HeaderMap) {
    if let Ok(editor) = HeaderEditor::compile(edits) {
        editor.apply(headers);
    }
}

impl Outgoing {
    /// Its head.
    pub(crate) fn head<'a>(&'a self, exchange: &'a Exchange) -> &'a Parts {
        self.edited.as_ref().map_or(&exchange.head, |edited| &edited.head)
    }

    /// Its authority.
    pub(crate) fn authority<'a>(&'a self, exchange: &'a Exchange) -> &'a HeaderValue {
        let edited = self.edited.as_ref();
        edited.map_or(&exchange.authority, |edited| &edited.authority)
    }
}

impl Edited {
    fn edit(&mut self, edits: &HeaderEdits) {
        let Ok(editor) = HeaderEditor::compile(edits) else {
            return;
        };
        editor.apply(&mut self.head.headers);
        if let Some(Ok(authority)) = editor.authority().map(|host| HeaderValue::from_str(host)) {
            self.authority = authority;
        }
    }

    fn rewrite(&mut self, rewrite: &Rewrite, matched: Option<&HttpMatch>) {
        if let Some(Ok(host)) = rewrite.authority.as_ref().map(|host| HeaderValue::from_str(host)) {
            self.authority = host;
        }
        if let Some(path) = &rewrite.path {
            self.rewrite_path(path, matched);
        }
    }

    fn rewrite_path(&mut self, rewrite: &PathRewrite, matched: Option<&HttpMatch>) {
        let path = rewrite_path(rewrite, self.head.uri.path(), matched);
        let path = match self.head.uri.query() {
            Some(query) if !path.contains('?') => format!("{path}?{query}"),
            _ => path.into_owned(),
        };
        // What is no path cannot be sent; the request goes on as it was.
        if let Ok(path) = PathAndQuery::try_from(path) {
            self.head.uri = Uri::from(path);
        }
    }
}
