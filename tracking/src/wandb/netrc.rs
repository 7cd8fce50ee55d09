//! Passwords by host, in the format of netrc(5).

use std::iter::Peekable;
use std::str::Chars;

/// The password of a host; of its login `user` if it has several. The `default` entry is nobody's key, and not used.
pub(super) fn password(text: &str, host: &str) -> Option<String> {
    let of_host: Vec<Entry> =
        entries(text).into_iter().filter(|entry| entry.host.as_deref() == Some(host)).collect();
    let best = of_host.iter().find(|entry| entry.login.as_deref() == Some("user")).or(of_host.first())?;
    best.password.clone()
}

#[derive(Default)]
struct Entry {
    /// `None` for `default`.
    host: Option<String>,
    login: Option<String>,
    password: Option<String>,
}

fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut words = Words { rest: text.chars().peekable() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" => entries.push(Entry { host: words.next(), ..Entry::default() }),
            "default" => entries.push(Entry::default()),
            "macdef" => words.skip_macro(),
            comment if comment.starts_with('#') => words.skip_line(),
            field @ ("login" | "user" | "password" | "account") => {
                let value = words.next();
                if let Some(entry) = entries.last_mut() {
                    match field {
                        "password" => entry.password = value,
                        "account" => {}
                        _ => entry.login = value,
                    }
                }
            }
            _ => {}
        }
    }
    entries
}

/// Words between white space; quoted ones may hold it, and `\` takes the next character as it is.
struct Words<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Words<'_> {
    /// Leaves the white space behind the word, of which a line's end counts for comments and macros.
    fn next(&mut self) -> Option<String> {
        while self.rest.next_if(|at| at.is_whitespace()).is_some() {}
        self.rest.peek()?;
        let quoted = self.rest.next_if_eq(&'"').is_some();
        let mut word = String::new();
        while let Some(at) = self.rest.next_if(|at| quoted || !at.is_whitespace()) {
            match at {
                '"' if quoted => break,
                '\\' => word.extend(self.rest.next()),
                at => word.push(at),
            }
        }
        Some(word)
    }

    fn skip_line(&mut self) {
        while self.rest.next_if(|at| *at != '\n').is_some() {}
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        self.skip_line();
        while self.rest.next().is_some() {
            if self.rest.next_if_eq(&'\n').is_some() {
                return;
            }
            self.skip_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        password(text, "host")
    }

    #[test]
    fn the_password_of_the_host_is_found_among_others() {
        let text = "machine other login user password no\nmachine host\n\tlogin user\n\tpassword yes\nmachine host2 password no";
        assert_eq!(of(text).as_deref(), Some("yes"));
        assert_eq!(
            of("machine host login me password a machine host login user password b").as_deref(),
            Some("b")
        );
        assert_eq!(
            of("machine host login me password a machine host login us password b").as_deref(),
            Some("a")
        );
        assert_eq!(of("machine host account password password yes").as_deref(), Some("yes"));
    }

    #[test]
    fn words_may_be_quoted() {
        assert_eq!(of(r#"machine "host" login "a b" password "y e\"s""#).as_deref(), Some("y e\"s"));
        assert_eq!(of(r"machine host password y\ e").as_deref(), Some("y e"));
        assert_eq!(of(r#"machine host password """#).as_deref(), Some(""));
    }

    #[test]
    fn default_comments_and_macros_are_no_entries() {
        assert_eq!(of("default login user password no"), None);
        assert_eq!(of("machine host login user\ndefault password no"), None);
        assert_eq!(
            of("# machine host password no\nmachine host password yes # password no").as_deref(),
            Some("yes")
        );
        let text = "macdef init\n cd /\n machine host password no\n\nmachine host password #yes\n";
        assert_eq!(of(text).as_deref(), Some("#yes"));
        assert_eq!(of("macdef init\n machine host password no"), None);
    }

    #[test]
    fn what_breaks_off_has_no_password() {
        for text in ["", "machine", "machine host", "machine host password", "password x", "\"", "\\"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
