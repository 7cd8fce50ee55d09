//! Names and ids of tunes, cvs and runs.
//!
//! A name is given only for the level that is called, or generated; the levels below derive theirs from it.

mod words;

use std::collections::HashSet;
use std::io;

use engine_actors::plan::Cell;
use engine_actors::ports::Ids;
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};
use thiserror::Error;

use crate::artifacts::{ArtifactError, ArtifactLayout, Level};

/// Longest name, in characters: what is derived from it still fits a folder's name everywhere.
pub const MAX_NAME_CHARS: usize = 128;

const ID_CHARS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 8;

/// Why a name can not be used, as a fragment to stand after the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// No character.
    #[error("must not be empty")]
    Empty,
    /// Too many characters.
    #[error("has {chars} characters, but may have {MAX_NAME_CHARS} at most")]
    TooLong {
        /// How many it has.
        chars: usize,
    },
    /// A path, not a name.
    #[error("must not hold `/` or `\\`")]
    Separator,
    /// The folder above, or what looks like it.
    #[error("must not hold `..`")]
    Parent,
    /// A hidden folder.
    #[error("must not begin with `.`")]
    LeadingDot,
    /// A folder of the engine's own.
    #[error("must not begin with `_`, which is kept for the engine's own folders")]
    LeadingUnderscore,
    /// Something that no terminal shows.
    #[error("must not hold control characters")]
    Control,
    /// A blank at either end, which nobody sees either.
    #[error("must not begin or end with a blank")]
    Blank,
}

/// Whether a name can be a folder's.
///
/// # Errors
/// [`NameError`] says what it must not be.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let chars = name.chars().count();
    match name {
        "" => Err(NameError::Empty),
        _ if chars > MAX_NAME_CHARS => Err(NameError::TooLong { chars }),
        _ if name.contains(['/', '\\']) => Err(NameError::Separator),
        _ if name.contains("..") => Err(NameError::Parent),
        _ if name.starts_with('.') => Err(NameError::LeadingDot),
        _ if name.starts_with('_') => Err(NameError::LeadingUnderscore),
        _ if name.chars().any(char::is_control) => Err(NameError::Control),
        _ if name.trim() != name => Err(NameError::Blank),
        _ => Ok(()),
    }
}

/// Name of a cv of a tune.
pub fn cv_name(tune_name: &str, hp_index: u32) -> String {
    format!("{tune_name}-cv{hp_index}")
}

/// Name of a run of a cv.
pub fn run_name(cv_name: &str, cell: Cell) -> String {
    format!("{cv_name}-run-f{}s{}", cell.fold, cell.seed)
}

/// Name of the run that trains and tests the best configuration of a tune.
pub fn retrain_name(tune_name: &str) -> String {
    format!("{tune_name}-retrain")
}

/// Makes names and ids from the operating system's randomness, none of them in use in the artifact folder.
#[derive(Debug)]
pub struct Names {
    layout: ArtifactLayout,
    rng: StdRng,
    taken: HashSet<String>,
}

impl Names {
    /// A maker for this artifact folder, whose ids it reads once.
    ///
    /// # Errors
    /// [`ArtifactError`] if the folder can not be listed or the system has no randomness to give.
    pub fn new(layout: ArtifactLayout) -> Result<Self, ArtifactError> {
        let rng = StdRng::try_from_rng(&mut SysRng)
            .map_err(|error| ArtifactError::Randomness { source: io::Error::other(error) })?;
        let taken = layout.run_ids()?;
        Ok(Self { layout, rng, taken })
    }

    /// A fresh name, `{adjective}-{surname}-{count + 1}`, counted by what is there already.
    ///
    /// # Errors
    /// [`ArtifactError`] if the folder can not be listed.
    pub fn generate(&mut self, level: Level) -> Result<String, ArtifactError> {
        let count = self.layout.count(level)? + 1;
        loop {
            let adjective = words::ADJECTIVES[self.rng.random_range(0..words::ADJECTIVES.len())];
            let surname = words::SURNAMES[self.rng.random_range(0..words::SURNAMES.len())];
            let name = format!("{adjective}-{surname}-{count}");
            // As many folders end in this count as were removed since: a handful, never all pairs of words.
            match self.layout.ensure_absent(level, &name) {
                Err(ArtifactError::Exists { .. }) => {}
                other => return other.map(|()| name),
            }
        }
    }

    /// A fresh run id: eight characters of `[a-z0-9]`.
    pub fn run_id(&mut self) -> String {
        loop {
            let id: String = (0..ID_LENGTH)
                .map(|_| char::from(ID_CHARS[self.rng.random_range(0..ID_CHARS.len())]))
                .collect();
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

impl Ids for Names {
    fn run_id(&mut self) -> String {
        Self::run_id(self)
    }
}

/// The id at the end of a run's folder name, if there is one: `{run_name}-{run_id}`.
pub(crate) fn split_run_folder(folder: &str) -> Option<(&str, &str)> {
    let (name, id) = folder.rsplit_once('-')?;
    let is_id = id.len() == ID_LENGTH && id.bytes().all(|byte| ID_CHARS.contains(&byte));
    is_id.then_some((name, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_no_folder_names_are_refused() {
        for (name, error) in [
            ("", NameError::Empty),
            ("a/b", NameError::Separator),
            ("a\\b", NameError::Separator),
            ("..", NameError::Parent),
            ("a..b", NameError::Parent),
            (".a", NameError::LeadingDot),
            ("_runs", NameError::LeadingUnderscore),
            ("a\nb", NameError::Control),
            ("a\u{7f}", NameError::Control),
            (" a", NameError::Blank),
        ] {
            assert_eq!(check_name(name), Err(error), "{name:?}");
        }
        assert_eq!(check_name(&"ä".repeat(128)), Ok(()));
        assert_eq!(check_name(&"ä".repeat(129)), Err(NameError::TooLong { chars: 129 }));
        for name in ["a", "clever-gauss-1", "v1.2", "Проба 3"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn word_lists_hold_each_word_once() {
        for words in [&words::ADJECTIVES[..], &words::SURNAMES[..]] {
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
        }
    }

    #[test]
    fn derived_names() {
        let cv = cv_name("clever-gauss-1", 3);
        assert_eq!(cv, "clever-gauss-1-cv3");
        assert_eq!(run_name(&cv, Cell { fold: 2, seed: 42 }), "clever-gauss-1-cv3-run-f2s42");
        assert_eq!(retrain_name("a"), "a-retrain");
    }

    #[test]
    fn generated_names_count_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two", "_runs"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut names = Names::new(ArtifactLayout::new(folder.path())).unwrap();
        let name = names.generate(Level::Tune).unwrap();
        assert!(name.ends_with("-3") && name.split('-').count() == 3, "{name}");
        assert_eq!(check_name(&name), Ok(()));
        assert!(names.generate(Level::Cv).unwrap().ends_with("-1"));
        let many: HashSet<_> = (0..50).map(|_| names.generate(Level::Run).unwrap()).collect();
        assert!(many.len() > 25, "names hardly differ");
    }

    #[test]
    fn ids_are_eight_characters_and_differ() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Names::new(ArtifactLayout::new(folder.path())).unwrap();
        let ids: HashSet<_> = (0..1000).map(|_| names.run_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| split_run_folder(&format!("a-{id}")) == Some(("a", id))));
    }

    proptest! {
        #[test]
        fn a_name_that_passes_is_one_path_component(name in "\\PC{0,20}") {
            if check_name(&name).is_ok() {
                let path = std::path::Path::new("base").join(&name);
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("base")));
            }
        }
    }
}
