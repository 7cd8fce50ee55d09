//! The line in a lock file that says who holds it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest name of a holder that is written; the rest is left out.
const HOLDER_BYTES: usize = 256;

/// Longest line that is read: a name, a UUID and three numbers.
pub(super) const NOTE_BYTES: u64 = 1024;

/// Who holds a lock. As a line: `uuid=U pid=1 since=2 need=3 holder=NAME`, the holder up to the line's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) uuid: String,
    pub(super) pid: u32,
    pub(super) since_unix_secs: u64,
    pub(super) need_bytes: u64,
    pub(super) holder: String,
}

impl Note {
    /// A note of this process, now.
    pub(super) fn now(uuid: &str, holder: &str, need_bytes: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = holder.floor_char_boundary(HOLDER_BYTES);
        Self {
            uuid: uuid.split_whitespace().collect(),
            pid: std::process::id(),
            since_unix_secs: since.as_secs(),
            need_bytes,
            holder: holder[..kept].replace(char::is_control, " "),
        }
    }

    /// The first line of a lock file; what is no note is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (line, _) = text.split_once('\n')?;
        let (uuid, rest) = line.strip_prefix("uuid=")?.split_once(" pid=")?;
        let (pid, rest) = rest.split_once(" since=")?;
        let (since, rest) = rest.split_once(" need=")?;
        let (need, holder) = rest.split_once(" holder=")?;
        Some(Self {
            uuid: uuid.to_owned(),
            pid: pid.parse().ok()?,
            since_unix_secs: since.parse().ok()?,
            need_bytes: need.parse().ok()?,
            holder: holder.to_owned(),
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uuid, pid, since_unix_secs, need_bytes, holder } = self;
        writeln!(f, "uuid={uuid} pid={pid} since={since_unix_secs} need={need_bytes} holder={holder}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_whatever_the_holder_is_called() {
        for holder in ["t-cv0-run-f0s42", "", "with spaces and need=9 holder=x", "tab\tand\nline"] {
            let note = Note::now("GPU-1", holder, 7);
            let read = Note::parse(&note.to_string()).unwrap();
            assert_eq!(read, note);
            assert_eq!(read.pid, std::process::id());
        }
        let long = Note::now("GPU-1", &"ü".repeat(400), 7);
        assert_eq!(long.holder.chars().count(), 128, "cut between characters");
    }

    #[test]
    fn only_the_first_line_counts_and_half_a_line_is_no_note() {
        let note = Note::now("GPU-1", "run", 7);
        assert_eq!(Note::parse(&format!("{note}lder=left over\n")), Some(note.clone()));
        let line = note.to_string();
        assert!((0..line.len()).all(|cut| Note::parse(&line[..cut]).is_none()));
    }
}
