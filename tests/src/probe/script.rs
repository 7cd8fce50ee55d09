//! The language of scripts: steps joined by `;`, done in order.
//!
//! | step | what the run does |
//! |---|---|
//! | `step:N` | N optimizer steps of a millisecond, each logged and told as progress |
//! | `score:X` | ends with the score X; 0.5 without |
//! | `marker:PATH` | appends a line to the file now and at the run's end, see [`marks`](super::marks) |
//! | `claim:DIR` | locks a file of its device in the folder to its end, or fails: two runs can not be on one device |
//! | `env:PATH` | writes its environment to the file, as JSON; a rank to the file with its number for extension |
//! | `wait-file:PATH` | waits without progress until the file is there, or a stop is asked for |
//! | `hog:MIB` | touches so much memory and holds it to the run's end |
//! | `warn:TEXT` | warns |
//! | `diverge`, `data` | fails with that cause |
//! | `panic` | panics |
//! | `panic-in-model` | panics within the forward pass of a burn module, for an index out of range |
//! | `allocate` | limits its address space and allocates until it dies |
//! | `stop-self`, `kill-self` | sends itself SIGSTOP, SIGKILL |
//! | `stderr:MIB` | prints so much to standard error |
//! | `spawn-child` | starts a process that outlives the run if nobody ends it |
//! | `exit:CODE` | leaves the process without a word |
//!
//! The hyperparameter is one script for every run; or an object from cells (`f0s42`, `*` for the others) to scripts;
//! and in place of a script a list has one for each attempt, the last for all further ones.

use std::path::PathBuf;
use std::str::FromStr;

use engine_actors::plan::Cell;
use serde_json::Value;

/// One step of a script.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `step:N`
    Steps(u32),
    /// `score:X`
    Score(f64),
    /// `marker:PATH`
    Marker(PathBuf),
    /// `claim:DIR`
    Claim(PathBuf),
    /// `env:PATH`
    Environment(PathBuf),
    /// `wait-file:PATH`
    WaitFile(PathBuf),
    /// `hog:MIB`
    Hog(usize),
    /// `warn:TEXT`
    Warn(String),
    /// `diverge`
    Diverge,
    /// `data`
    Data,
    /// `panic`
    Panic,
    /// `panic-in-model`
    PanicInModel,
    /// `allocate`
    Allocate,
    /// `stop-self`
    StopSelf,
    /// `kill-self`
    KillSelf,
    /// `stderr:MIB`
    Stderr(usize),
    /// `spawn-child`
    SpawnChild,
    /// `exit:CODE`
    Exit(i32),
}

impl FromStr for Step {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let (name, value) = written.trim().split_once(':').unwrap_or((written.trim(), ""));
        Ok(match name {
            "step" => Self::Steps(number(written, value)?),
            "score" => Self::Score(number(written, value)?),
            "marker" => Self::Marker(value.into()),
            "claim" => Self::Claim(value.into()),
            "env" => Self::Environment(value.into()),
            "wait-file" => Self::WaitFile(value.into()),
            "hog" => Self::Hog(number(written, value)?),
            "warn" => Self::Warn(value.into()),
            "diverge" => Self::Diverge,
            "data" => Self::Data,
            "panic" => Self::Panic,
            "panic-in-model" => Self::PanicInModel,
            "allocate" => Self::Allocate,
            "stop-self" => Self::StopSelf,
            "kill-self" => Self::KillSelf,
            "stderr" => Self::Stderr(number(written, value)?),
            "spawn-child" => Self::SpawnChild,
            "exit" => Self::Exit(number(written, value)?),
            _ => return Err(format!("`{written}` is no step of a script")),
        })
    }
}

fn number<N: FromStr>(written: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("`{written}` needs a number behind its colon"))
}

/// The steps of one attempt of one run.
///
/// # Errors
/// What is wrong with the hyperparameter, in words.
pub fn steps(script: &Value, cell: Cell, attempt: u32) -> Result<Vec<Step>, String> {
    let of_cell = match script {
        Value::Object(cells) => {
            let name = format!("f{}s{}", cell.fold, cell.seed);
            cells.get(&name).or_else(|| cells.get("*")).ok_or_else(|| format!("no script for {name}"))?
        }
        other => other,
    };
    let text = match of_cell {
        Value::Array(attempts) => {
            let place = attempt.saturating_sub(1) as usize;
            attempts.get(place).or(attempts.last()).ok_or("a list of scripts is empty")?
        }
        other => other,
    };
    let text = text.as_str().ok_or_else(|| format!("a script is a text, not {text}"))?;
    text.split(';').map(str::trim).filter(|step| !step.is_empty()).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_script_is_found_by_cell_and_attempt() {
        let script = json!({"f1s42": ["kill-self", "step:3; score:0.25"], "*": "marker:/tmp/a"});
        let of = |fold, attempt| steps(&script, Cell { fold, seed: 42 }, attempt).unwrap();
        assert_eq!(of(1, 1), [Step::KillSelf]);
        assert_eq!(of(1, 2), [Step::Steps(3), Step::Score(0.25)]);
        assert_eq!(of(1, 3), of(1, 2));
        assert_eq!(of(0, 1), [Step::Marker("/tmp/a".into())]);
    }

    #[test]
    fn what_is_no_script_is_named() {
        let cell = Cell { fold: 0, seed: 1 };
        for (script, named) in
            [(json!("fly"), "fly"), (json!("step:x"), "step:x"), (json!({}), "f0s1"), (json!(1), "1")]
        {
            let error = steps(&script, cell, 1).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
