//! How many failed runs a job bears before it starts nothing new.

use crate::outcome::{RunOutcome, Status};

/// How many of the runs failed. One that was retried and then ended well did not.
pub(crate) fn failed<'a>(runs: impl IntoIterator<Item = &'a RunOutcome>) -> u32 {
    let failed = runs.into_iter().filter(|run| run.status == Status::Failed).count();
    u32::try_from(failed).unwrap_or(u32::MAX)
}

/// Whether so many failures are as many as the job bears. Without a limit it bears all.
pub(crate) fn is_reached(limit: Option<u32>, failed: u32) -> bool {
    limit.is_some_and(|limit| failed >= limit)
}

/// What the user is told when a job gives up.
pub(crate) fn text(job: &str, failed: u32) -> String {
    let runs = if failed == 1 { "1 run has" } else { &format!("{failed} runs have") };
    format!(
        "`{job}` starts nothing new, for {runs} failed, as many as --max-failures lets it bear; what runs goes on to its end"
    )
}
