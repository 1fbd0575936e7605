//! Where the bearer token comes from. A file is read again at each request: kubelet replaces it before it expires.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

/// Where the bearer token comes from (`AUTH_TOKEN`).
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A file, read at each request.
    File(PathBuf),
    /// The token itself.
    Literal(Secret),
    /// Requests carry no token.
    Anonymous,
}

/// A token whose `Debug` prints nothing of it.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

/// Why there is no token; a later attempt may find one.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("token file {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is empty, larger than 64 KiB, or holds something other than printable ASCII.
    #[error("token file {0} holds no token: it is empty, too large, or not one line of ASCII")]
    Malformed(PathBuf),
    /// The literal token is not printable ASCII.
    #[error("the token is empty or not one line of ASCII")]
    Literal,
}

impl TokenSource {
    /// A path or the token itself: what starts with `/`, `./` or `../` is a path, which no JSON web token does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if ["/", "./", "../"].iter().any(|prefix| text.starts_with(prefix)) {
            Self::File(PathBuf::from(text))
        } else {
            Self::literal(text)
        }
    }

    /// The token itself.
    #[must_use]
    pub fn literal(token: &str) -> Self {
        Self::Literal(Secret(Arc::new(Zeroizing::new(token.to_owned()))))
    }

    /// The token as it is now, without surrounding white space; `None` when requests carry none.
    ///
    /// # Errors
    /// Fails when the file cannot be read or holds no token.
    pub fn read(&self) -> Result<Option<Zeroizing<String>>, TokenError> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Literal(Secret(token)) => check(token).map(Some).ok_or(TokenError::Literal),
            Self::File(path) => {
                let text = read_bounded(path).map_err(|source| TokenError::Read {
                    path: path.clone(),
                    source,
                })?;
                check(&text)
                    .map(Some)
                    .ok_or_else(|| TokenError::Malformed(path.clone()))
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

fn read_bounded(path: &PathBuf) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)?
        .take(MAX_TOKEN + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn check(text: &str) -> Option<Zeroizing<String>> {
    let token = text.trim();
    let ok =
        !token.is_empty() && token.len() as u64 <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    ok.then(|| Zeroizing::new(token.to_owned()))
}

/// Far above any service-account token, far below what would hurt.
const MAX_TOKEN: u64 = 64 * 1024;

#[cfg(test)]
mod tests;
