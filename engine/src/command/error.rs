//! What can be wrong with a program before it is started.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a program can not be a workload.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such program.
    #[error("the program {program} is not there; give its path, or a name that is on PATH")]
    NotFound {
        /// As it was given.
        program: String,
    },
    /// There is a file, and it is no program.
    #[error("the program can not be executed; give it the right to (chmod +x), or start it by its interpreter: {}", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The folder to start it in.
    #[error("the program's folder is not there: {}", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A word in braces that stands for nothing.
    #[error(
        "{{{name}}} in {text:?} stands for nothing{hint}; there are {known} (and {{{{{name}}}}} is the word itself)"
    )]
    Unknown {
        /// The word.
        name: String,
        /// Where it stands.
        text: String,
        /// The nearest known name, as a fragment.
        hint: String,
        /// What there is.
        known: String,
    },
    /// A template that hands no value over.
    #[error(
        "the template {template:?} hands nothing over; write {{name}} or {{kebab}} and {{value}} into it"
    )]
    Template {
        /// The template.
        template: String,
    },
    /// Two things under one name.
    #[error("{name} is handed over twice: as hyperparameter {parameter} and {other}; leave one of them out")]
    Twice {
        /// What both are called.
        name: String,
        /// The hyperparameter.
        parameter: String,
        /// What else, as a fragment.
        other: String,
    },
    /// A name that no variable can have.
    #[error(
        "{name} can not be the name of a variable; use letters, digits and _ alone, or hand parameters over otherwise"
    )]
    Variable {
        /// The name.
        name: String,
    },
    /// A file of metrics elsewhere, or of another kind.
    #[error("the file of metrics must end in .csv or .jsonl, and lie within the program's own folder of the run: {}", path.display())]
    MetricsFile {
        /// As it was given.
        path: PathBuf,
    },
    /// Something with NUL in it.
    #[error("{text:?} holds a NUL character, which no program can be given")]
    Nul {
        /// The text.
        text: String,
    },
    /// A parameter that is none.
    #[error("{text:?} is no parameter; write NAME=VALUE")]
    Parameter {
        /// As it was given.
        text: String,
    },
    /// A parameter given twice.
    #[error("the parameter {name} is given twice; leave one of them out")]
    GivenTwice {
        /// Its name.
        name: String,
    },
    /// A file of the program can not be read.
    #[error("a file of the program can not be read: {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Settings of a job that are not those of a program.
    #[error("the settings of the run do not describe a program: {reason}")]
    Settings {
        /// Why.
        reason: String,
    },
}
