//! API keys, which never leave this process but in the header of a request.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::PathBuf;

use reqwest::Url;

use super::netrc;

/// Shortest key, without its prefix. Longer ones exist since 2025.
const SHORTEST_KEY: usize = 40;

/// An API key. Prints as `Key(…)`; nothing but its `reveal` gives it away.
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

impl Drop for Key {
    /// Leaves no copy in freed memory. The header that is sent has one of its own, as long as there is a client.
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        black_box(&bytes); // or else nobody reads them, and the fill is left out
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

impl fmt::Display for KeySource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => out.write_str("WANDB_API_KEY"),
            Self::Netrc(path) => path.display().fmt(out),
        }
    }
}

/// Why no key can be had. No text shows the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// What stands there is no key.
    #[error(
        "what stands there is no API key (at least {SHORTEST_KEY} letters, digits, _ and -); copy it again from the server's page of keys: {found_in}"
    )]
    Malformed {
        /// Where it was found.
        found_in: KeySource,
    },
    /// A netrc file can not be read.
    #[error("can not read the file of passwords; set WANDB_API_KEY, or make it readable: {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The key for a server: `WANDB_API_KEY`, else the password of the server's host in `$NETRC` or `~/.netrc`, else
/// `~/_netrc`. `None` if there is none. `lookup` reads a variable.
///
/// # Errors
/// [`KeyError`] for a netrc file that can not be read, and a key that can be none.
pub fn find_key(
    base_url: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<(Key, KeySource)>, KeyError> {
    let given = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
    if let Some(key) = given("WANDB_API_KEY") {
        return checked(key.trim(), KeySource::Environment).map(Some);
    }
    let Some(host) = host_of(base_url) else { return Ok(None) };
    for path in netrc_files(&given) {
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(source) => return Err(KeyError::Unreadable { path, source }),
        };
        if let Some(password) = netrc::password(&text, &host) {
            return checked(&password, KeySource::Netrc(path)).map(Some);
        }
    }
    Ok(None)
}

/// Where passwords are looked for.
fn netrc_files(given: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let home = given("HOME").map(PathBuf::from);
    if let Some(named) = given("NETRC") {
        let below_home = named.strip_prefix("~/").and_then(|rest| Some(home.as_ref()?.join(rest)));
        return vec![below_home.unwrap_or_else(|| PathBuf::from(named))];
    }
    home.iter().flat_map(|home| [home.join(".netrc"), home.join("_netrc")]).collect()
}

/// The host of a server as netrc files name it: without its port.
fn host_of(base_url: &str) -> Option<String> {
    let url = Url::parse(base_url).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
}

/// A key is an optional prefix up to the first `-`, and at least 40 characters.
fn checked(key: &str, found_in: KeySource) -> Result<(Key, KeySource), KeyError> {
    let is_key = |part: &str| {
        part.len() >= SHORTEST_KEY
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let behind_prefix = key
        .split_once('-')
        .filter(|(prefix, _)| prefix.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(|(_, rest)| rest);
    if is_key(key) || behind_prefix.is_some_and(is_key) {
        Ok((Key::new(key.to_owned()), found_in))
    } else {
        Err(KeyError::Malformed { found_in })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MARKERabcdef0123456789abcdef0123456789ab";
    const URL: &str = "https://api.wandb.ai";

    fn find(variables: &[(&str, &str)]) -> Result<Option<(String, KeySource)>, KeyError> {
        let lookup =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Ok(find_key(URL, &lookup)?.map(|(key, source)| (key.reveal().to_owned(), source)))
    }

    fn home(name: &str, text: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(name), text).unwrap();
        home
    }

    #[test]
    fn the_variable_comes_before_the_file() {
        let home = home(".netrc", &format!("machine api.wandb.ai login user password {}\n", "b".repeat(40)));
        let home = home.path().to_str().unwrap();
        let found = find(&[("WANDB_API_KEY", &format!(" {KEY}\n")), ("HOME", home)]).unwrap();
        assert_eq!(found, Some((KEY.to_owned(), KeySource::Environment)));
        let found = find(&[("WANDB_API_KEY", ""), ("HOME", home)]).unwrap().unwrap();
        assert_eq!(found.0, "b".repeat(40));
        assert!(matches!(found.1, KeySource::Netrc(path) if path.ends_with(".netrc")));
    }

    #[test]
    fn netrc_names_the_file_and_windows_users_have_another() {
        let text = format!("machine api.wandb.ai login user password {KEY}");
        let (underscore, named) = (home("_netrc", &text), home("mine", &text));
        assert!(find(&[("HOME", underscore.path().to_str().unwrap())]).unwrap().is_some());
        let home = named.path().to_str().unwrap();
        assert!(find(&[("HOME", home)]).unwrap().is_none());
        assert!(find(&[("HOME", home), ("NETRC", "~/mine")]).unwrap().is_some());
        assert!(find(&[("NETRC", &format!("{home}/mine"))]).unwrap().is_some());
        assert!(find(&[("NETRC", &format!("{home}/gone"))]).unwrap().is_none());
        assert!(find(&[]).unwrap().is_none());
    }

    #[test]
    fn what_can_be_no_key_is_told_with_its_source_and_not_shown() {
        for bad in [
            "MARKER",
            "MARKER key with spaces and forty characters in all",
            &format!("MARKER{}é", "a".repeat(40)),
        ] {
            let error = find(&[("WANDB_API_KEY", bad)]).unwrap_err();
            assert!(error.to_string().ends_with(": WANDB_API_KEY"), "{error}");
            assert!(!format!("{error} {error:?}").contains("MARKER"));
        }
        let home = home(".netrc", "machine api.wandb.ai\n  login user\n  password MARKER\n");
        let error = find(&[("HOME", home.path().to_str().unwrap())]).unwrap_err();
        assert!(error.to_string().ends_with("/.netrc"), "{error}");
        assert!(!format!("{error} {error:?}").contains("MARKER"));
    }

    #[test]
    fn a_folder_in_place_of_the_file_is_told() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".netrc")).unwrap();
        let error = find(&[("HOME", home.path().to_str().unwrap())]).unwrap_err();
        assert!(matches!(error, KeyError::Unreadable { .. }), "{error}");
    }

    #[test]
    fn keys_of_every_generation_pass() {
        for key in [
            KEY.to_owned(),
            format!("local-{KEY}"),
            format!("wandb_v1_{}", "aB3_-".repeat(16)),
            format!("x.y-{KEY}"),
        ] {
            assert_eq!(find(&[("WANDB_API_KEY", &key)]).unwrap().unwrap().0, key);
        }
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", Key::new(KEY.to_owned())), "Key(…)");
    }
}
