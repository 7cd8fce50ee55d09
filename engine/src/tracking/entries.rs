//! An entry of its own on W&B for each cv and each tune, so that a search can be read at a glance; see
//! `docs/decisions/0009-summary-entries.md`.
//!
//! Decided here, from the public events and nothing else; written by [`EntryWriter`].

mod fold;
mod writer;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use engine_tracking::wandb::folder::RunFolder;

pub(super) use self::writer::EntryWriter;

/// Characters of an entry's id. A run's id has eight.
const ID_LENGTH: usize = 14;
/// What a cv's id and a tune's begin with.
const MARKS: [char; 2] = ['c', 't'];

/// Whether this is the id of a cv's or tune's entry, as in [`Event::RunTracked`](crate::Event::RunTracked), and not a run's.
#[must_use]
pub fn is_entry(run_id: &str) -> bool {
    run_id.len() == ID_LENGTH && run_id.starts_with(MARKS)
}

/// The page of all runs of a tune, from the address of one of them; `None` if it is no address of a run.
#[must_use]
pub fn group_url(run_url: &str, tune_name: &str) -> Option<String> {
    let (project, _run) = run_url.rsplit_once("/runs/")?;
    let mut url = format!("{project}/groups/");
    for byte in tune_name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(url)
}

/// Id of the entry of a cv (`c`) or tune (`t`): the one its folder has already, else one made of name, folder and time.
/// A folder that was deleted and made anew is a new entry; one that goes on keeps its own.
fn entry_id(mark: char, name: &str, dir: &Path, now: SystemTime) -> String {
    let journals = dir.join(FOLDER);
    let there = if journals.is_dir() { RunFolder::below(&journals) } else { Vec::new() };
    let own = there.into_iter().map(|folder| folder.run_id).rfind(|id| is_entry(id) && id.starts_with(mark));
    own.unwrap_or_else(|| {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        made_id(mark, &format!("{name}\n{}\n{nanos}", dir.display()))
    })
}

/// Folder of an entry's journal, in that of its cv or tune. Not `WANDB_DIR`: an entry that goes on is found there.
const FOLDER: &str = "wandb";

/// FNV-1a over 64 bits, in base 36.
fn made_id(mark: char, text: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut id = String::from(mark);
    for _ in 1..ID_LENGTH {
        // The remainder is below 36.
        id.push(char::from(DIGITS[(hash % 36) as usize]));
        hash /= 36;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_w_and_b_and_of_no_run() {
        let now = UNIX_EPOCH;
        let dir = tempfile::tempdir().unwrap();
        let id = entry_id('t', "demo", &dir.path().join("a"), now);
        assert!(is_entry(&id) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{id}");
        assert!(!is_entry("abcd1234") && !is_entry("tbcd1234"));
        assert_eq!(id, entry_id('t', "demo", &dir.path().join("a"), now), "stable");
        let others = [
            entry_id('c', "demo", &dir.path().join("a"), now),
            entry_id('t', "demp", &dir.path().join("a"), now),
            entry_id('t', "demo", &dir.path().join("b"), now),
            entry_id('t', "demo", &dir.path().join("a"), now + std::time::Duration::from_nanos(1)),
        ];
        assert!(!others.contains(&id), "{others:?}");
    }

    #[test]
    fn an_entry_that_goes_on_keeps_its_id_and_no_run_beside_it_lends_it_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = entry_id('t', "demo", dir.path(), UNIX_EPOCH);
        for id in [first.as_str(), "zzzz9999", "c0123456789abc"] {
            let journal = dir.path().join(FOLDER).join(format!("run-20261122_204613-{id}"));
            std::fs::create_dir_all(&journal).unwrap();
            std::fs::write(journal.join(format!("run-{id}.wandb")), "").unwrap();
        }
        let later = UNIX_EPOCH + std::time::Duration::from_secs(1);
        assert_eq!(entry_id('t', "demo", dir.path(), later), first);
    }

    #[test]
    fn a_group_has_a_page() {
        let url = group_url("https://wandb.ai/team/ice/runs/t0123456789abc", "slow tüne").unwrap();
        assert_eq!(url, "https://wandb.ai/team/ice/groups/slow%20t%C3%BCne");
        assert_eq!(group_url("https://wandb.ai/team/ice", "t"), None);
    }
}
