//! Texts with words in braces that stand for something of the run: `--fold={fold}`.

use engine_devices::suggest::did_you_mean;

use super::error::CommandError;

/// What words of fixed arguments can stand for.
pub(super) const OF_RUN: [&str; 10] = [
    "attempt",
    "checkpoint",
    "device",
    "fold",
    "parameters",
    "run_dir",
    "run_name",
    "seed",
    "task",
    "threads",
];

/// Replaces every `{name}` by what it stands for. `{{name}}` is the word itself in braces, and braces around anything but a name are
/// braces.
///
/// # Errors
/// [`CommandError::Unknown`] for a name that stands for nothing.
pub(super) fn fill(
    text: &str,
    known: &[&str],
    value: impl Fn(&str) -> Option<String>,
) -> Result<String, CommandError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(name) = rest.strip_prefix("{{").and_then(|inner| name_before(inner, "}}")) {
            filled.push_str(&format!("{{{name}}}"));
            rest = &rest[name.len() + "{{}}".len()..];
        } else if let Some(name) = name_before(&rest[1..], "}") {
            filled.push_str(&value(name).ok_or_else(|| unknown(name, text, known))?);
            rest = &rest[name.len() + "{}".len()..];
        } else {
            filled.push('{');
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Whether the text has this word in it.
pub(super) fn has(text: &str, name: &str) -> bool {
    text.contains(&format!("{{{name}}}"))
}

fn name_before<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let (name, _) = text.split_once(end)?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then_some(name)
}

fn unknown(name: &str, text: &str, known: &[&str]) -> CommandError {
    CommandError::Unknown {
        name: name.to_owned(),
        text: text.to_owned(),
        hint: did_you_mean(name, known.iter().copied()),
        known: known.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, CommandError> {
        fill(text, &OF_RUN, |name| OF_RUN.contains(&name).then(|| name.to_uppercase()))
    }

    #[test]
    fn words_in_braces_are_replaced_and_other_braces_are_braces() {
        for (text, expected) in [
            ("--fold={fold}/{seed}", "--fold=FOLD/SEED"),
            ("plain", "plain"),
            (r#"{"a": {"b": 1}}"#, r#"{"a": {"b": 1}}"#),
            ("{{fold}} is {fold}", "{fold} is FOLD"),
            ("{", "{"),
            ("{}{fold}}", "{}FOLD}"),
            ("ä{fold}ß", "äFOLDß"),
        ] {
            assert_eq!(filled(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_word_is_named_with_what_there_is() {
        let error = filled("--out {run_dri}").unwrap_err().to_string();
        for needle in
            ["{run_dri} in \"--out {run_dri}\"", "mean run_dir?", "{seed}", "{{run_dri}} is the word"]
        {
            assert!(error.contains(needle), "{needle}: {error}");
        }
    }
}
