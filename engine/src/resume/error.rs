//! Why a job is not resumed.

use std::path::PathBuf;

use super::compare::Difference;

/// Why a job is not resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// It would not be the same job.
    #[error(
        "`{name}` is not what it was, so its finished runs do not belong to what is asked for now; ask for what it was, take \
         another --name, or mix the two with --resume=force\n{}",
        lines(.differences)
    )]
    Changed {
        /// Name of the job.
        name: String,
        /// What changed.
        differences: Vec<Difference>,
    },
    /// Its journal is of another kind of job.
    #[error("`{name}` is a {found}, not a {asked}; take another --name: {}", path.display())]
    OtherLevel {
        /// Name of the job.
        name: String,
        /// What it is.
        found: &'static str,
        /// What is asked for.
        asked: &'static str,
        /// Its journal.
        path: PathBuf,
    },
    /// There is a folder of its name, and no journal in it.
    #[error("there is no journal to go on from; remove the folder or take another --name: {}", path.display())]
    NoJournal {
        /// The folder.
        path: PathBuf,
    },
}

fn lines(differences: &[Difference]) -> String {
    let lines: Vec<String> = differences.iter().map(|difference| format!("  {difference}")).collect();
    lines.join("\n")
}
