//! What must be kept of a request for those who tell of it later.

use crate::attributes::{Attribute, HeaderSet};
use crate::cel::Expression;

/// What somebody asks for that is not kept otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// All headers of the request.
    pub request_headers: bool,
    /// All headers of the answer.
    pub response_headers: bool,
    /// All trailers of the answer.
    pub trailers: bool,
}

impl Needs {
    /// What both ask for.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            request_headers: self.request_headers || other.request_headers,
            response_headers: self.response_headers || other.response_headers,
            trailers: self.trailers || other.trailers,
        }
    }

    /// These headers.
    #[must_use]
    pub fn headers(set: HeaderSet) -> Self {
        Self {
            request_headers: set == HeaderSet::Request,
            response_headers: set == HeaderSet::Response,
            trailers: set == HeaderSet::Trailers,
        }
    }

    /// What an expression asks for.
    #[must_use]
    pub fn of(expression: &Expression) -> Self {
        let needs = expression.attributes().iter().map(|attribute| match attribute {
            Attribute::RequestReferer => Self::headers(HeaderSet::Request),
            other => other.headers().map(Self::headers).unwrap_or_default(),
        });
        needs.fold(Self::default(), Self::and)
    }
}
