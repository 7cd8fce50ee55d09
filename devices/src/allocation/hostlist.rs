//! SLURM's lists of hosts: `n[1-3,5],gpu07` stands for n1, n2, n3, n5 and gpu07.

use thiserror::Error;

/// Hosts a list may stand for; beyond them it is damage, not a job.
const MOST_HOSTS: usize = 65_536;

/// Why a list of hosts can not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HostlistError {
    /// There is none, or it names nobody.
    #[error("it names no host")]
    Empty,
    /// A bracket is not closed, or was not opened.
    #[error("a bracket is missing in `{list}`")]
    Bracket {
        /// The list.
        list: String,
    },
    /// What stands in brackets is no number and no range.
    #[error("`{range}` is no range of numbers in `{list}`")]
    Range {
        /// As it stands.
        range: String,
        /// The list.
        list: String,
    },
    /// It stands for more hosts than there can be.
    #[error("`{list}` stands for more than {MOST_HOSTS} hosts")]
    TooMany {
        /// The list.
        list: String,
    },
}

/// The hosts of a list, in its order. Numbers keep their leading zeros; a name may have several brackets.
///
/// # Errors
/// [`HostlistError`].
pub(super) fn expand(list: &str) -> Result<Vec<String>, HostlistError> {
    let mut hosts = Vec::new();
    for name in names(list)? {
        hosts.extend(expand_name(name, list)?);
        if hosts.len() > MOST_HOSTS {
            return Err(HostlistError::TooMany { list: list.to_owned() });
        }
    }
    if hosts.is_empty() { Err(HostlistError::Empty) } else { Ok(hosts) }
}

/// Cuts at the commas that stand outside brackets.
fn names(list: &str) -> Result<Vec<&str>, HostlistError> {
    let bracket = || HostlistError::Bracket { list: list.to_owned() };
    let (mut names, mut start, mut open) = (Vec::new(), 0, false);
    for (at, c) in list.char_indices() {
        match c {
            '[' if open => return Err(bracket()),
            '[' => open = true,
            ']' if !open => return Err(bracket()),
            ']' => open = false,
            ',' if !open => {
                names.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if open {
        return Err(bracket());
    }
    names.push(&list[start..]);
    Ok(names.into_iter().map(str::trim).filter(|name| !name.is_empty()).collect())
}

/// One name: each bracket multiplies what stands before it, the last one counting fastest.
fn expand_name(name: &str, list: &str) -> Result<Vec<String>, HostlistError> {
    let mut hosts = vec![String::new()];
    let mut rest = name;
    while let Some((prefix, after)) = rest.split_once('[') {
        let (ranges, suffix) =
            after.split_once(']').ok_or_else(|| HostlistError::Bracket { list: list.to_owned() })?;
        let mut numbers = Vec::new();
        for range in ranges.split(',') {
            numbers.extend(expand_range(range, list)?);
        }
        if hosts.len().saturating_mul(numbers.len()) > MOST_HOSTS {
            return Err(HostlistError::TooMany { list: list.to_owned() });
        }
        hosts = hosts
            .iter()
            .flat_map(|host| numbers.iter().map(move |number| format!("{host}{prefix}{number}")))
            .collect();
        rest = suffix;
    }
    hosts.iter_mut().for_each(|host| host.push_str(rest));
    Ok(hosts)
}

/// `07-11` or `5`: as wide as its first number.
fn expand_range(range: &str, list: &str) -> Result<Vec<String>, HostlistError> {
    let wrong = || HostlistError::Range { range: range.to_owned(), list: list.to_owned() };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u64>().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(wrong());
    }
    if to - from >= MOST_HOSTS as u64 {
        return Err(HostlistError::TooMany { list: list.to_owned() });
    }
    let width = first.len();
    Ok((from..=to).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &str) -> String {
        expand(list).unwrap().join(" ")
    }

    #[test]
    fn lists_are_expanded_in_their_order() {
        assert_eq!(hosts("node1"), "node1");
        assert_eq!(hosts("n[1-3,5]"), "n1 n2 n3 n5");
        assert_eq!(hosts("gpu[08-11]-ib,login,c[2]"), "gpu08-ib gpu09-ib gpu10-ib gpu11-ib login c2");
        assert_eq!(hosts("r[1-2]n[098-100]"), "r1n098 r1n099 r1n100 r2n098 r2n099 r2n100");
        assert_eq!(hosts("b,a"), "b a");
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_is_wrong() {
        assert_eq!(expand(""), Err(HostlistError::Empty));
        for list in ["n[1-3", "n1-3]", "n[1[2]]"] {
            assert!(matches!(expand(list), Err(HostlistError::Bracket { .. })), "{list}");
        }
        for list in ["n[3-1]", "n[a]", "n[]", "n[1-2-3]", "n[+1]"] {
            assert!(matches!(expand(list), Err(HostlistError::Range { .. })), "{list}");
        }
        for list in ["n[1-4000000000]", "n[0-999]m[0-999]"] {
            assert!(matches!(expand(list), Err(HostlistError::TooMany { .. })), "{list}");
        }
    }
}
