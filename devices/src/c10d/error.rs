//! What can go wrong between the processes of a group.

use std::time::Duration;

use thiserror::Error;

/// Why a group could not be joined, or an exchange of it did not come to its end.
///
/// After any of these the group is of no further use: the ranks no longer agree on what comes next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Somebody was not heard of in time.
    #[error(
        "{what}: not every rank was there within {} s; look at why the others are late: {text}",
        timeout.as_secs_f64()
    )]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        timeout: Duration,
        /// libtorch's words.
        text: String,
    },
    /// A connection broke: the process at its other end is gone.
    #[error("{what}: another rank is gone; its own failure says why: {text}")]
    Lost {
        /// What was under way.
        what: &'static str,
        /// libtorch's words.
        text: String,
    },
    /// Another process listens where rank 0 was to. The next attempt has another port.
    #[error("{what}: another process has taken the port meanwhile: {text}")]
    PortTaken {
        /// What was under way.
        what: &'static str,
        /// The system's or libtorch's words.
        text: String,
    },
    /// libtorch refused.
    #[error("{what}: {text}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// libtorch's words.
        text: String,
    },
    /// The host of rank 0 is not known here, or there is no way to it.
    #[error("rank 0 on {master} can not be reached from here; check MASTER_ADDR: {text}")]
    Unreachable {
        /// Host and port.
        master: String,
        /// The system's words.
        text: String,
    },
    /// This build of the engine can not exchange the tensors of a CUDA device over NCCL.
    #[error("this build has no NCCL; build it where nccl.h and a libtorch with CUDA are")]
    NoNccl,
}

impl GroupError {
    /// Sorts a text of libtorch's, of which only the first line is kept: the rest is a trace of C++ frames.
    ///
    /// gloo and the store throw the same types for different events, so that the text is what tells them apart.
    pub(super) fn of(what: &'static str, timeout: Duration, text: &str) -> Self {
        const LATE: [&str; 3] = ["timed out", "timeout", "time out"];
        const GONE: [&str; 6] = [
            "connection reset",
            "connection closed",
            "connection refused",
            "broken pipe",
            "closed by peer",
            "failed to recv",
        ];
        let text = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned();
        let lower = text.to_ascii_lowercase();
        let holds = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if holds(&["address already in use", "eaddrinuse"]) {
            Self::PortTaken { what, text }
        } else if holds(&GONE) {
            Self::Lost { what, text }
        } else if holds(&LATE) {
            Self::Timeout { what, timeout, text }
        } else {
            Self::Refused { what, text }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as libtorch 2.9.0 gave them, but for the third, which is of its sources.
    #[test]
    fn texts_are_sorted_by_what_they_tell() {
        let of = |text: &str| GroupError::of("exchange", Duration::from_secs(3), text);
        let gone = [
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:61315",
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:538] Read error [127.0.0.1]:925: Connection reset by peer",
            "failed to recv, got 0 bytes. Connection was likely closed. Did the remote server shutdown or crash?",
        ];
        for text in gone {
            assert!(matches!(of(text), GroupError::Lost { .. }), "{text}");
        }
        let late = [
            "[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 3000ms for recv \
             operation to complete",
            "Timed out after 2 seconds waiting for clients. 1/2 clients joined.",
        ];
        for text in late {
            assert!(matches!(of(text), GroupError::Timeout { .. }), "{text}");
        }
        let taken = of("127.0.0.1:29500: Address already in use (os error 98)");
        assert!(matches!(taken, GroupError::PortTaken { .. }), "{taken}");
        let error =
            of("\n  invalid tensor type\nException raised from checkSameType (most recent call first):");
        assert_eq!(error, GroupError::Refused { what: "exchange", text: "invalid tensor type".into() });
    }
}
