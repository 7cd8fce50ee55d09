//! API keys, which never leave this process but in the header of a request.

use std::fmt;
use std::path::PathBuf;

/// An API key. Prints as `Key(…)`; nothing but [`Key::reveal`] gives it away.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// A key, as given by the user.
    #[must_use]
    pub fn new(key: String) -> Self {
        Self(key)
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(…)")
    }
}

/// Where a key was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// `WANDB_API_KEY`.
    Environment,
    /// A netrc file.
    Netrc(PathBuf),
}

/// Why no key can be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {}

/// The key for a server: `WANDB_API_KEY`, else the password of the server's host in `$NETRC` or `~/.netrc`. `None` if
/// there is none. `lookup` reads a variable.
///
/// # Errors
/// [`KeyError`] for a netrc file that can not be read, and a key that can be none.
pub fn find_key(
    base_url: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<(Key, KeySource)>, KeyError> {
    let _ = (base_url, lookup);
    todo!()
}
