//! The known word nearest to a misspelt one, for error texts of every crate.

/// The known word with the fewest edits to `given`, if it is near enough to be what was meant: a third of the longer
/// word, or two edits. Case, and hyphens for underscores, make no difference.
///
/// # Sources
/// Damerau 1964 in its restricted form: insert, delete, replace and swap neighbours are one edit each.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = folded(given);
    known
        .into_iter()
        .map(|word| {
            let candidate = folded(word);
            let most = (given.chars().count().max(candidate.chars().count()) / 3).max(2);
            (
                strsim::osa_distance(&given, &candidate),
                most.min(candidate.chars().count().saturating_sub(1)),
                word,
            )
        })
        .filter(|(edits, most, _)| edits <= most)
        .min_by_key(|(edits, _, _)| *edits)
        .map(|(_, _, word)| word)
}

/// A clause to append to an error: `, did you mean …?`, or nothing if no known word is near.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map(|word| format!(", did you mean `{word}`?")).unwrap_or_default()
}

fn folded(word: &str) -> String {
    word.trim().to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(did_you_mean("cv-paralel", ["auto", "cv-parallel"]), ", did you mean `cv-parallel`?");
        assert_eq!(nearest("max_epoch", ["max-epochs", "batch-size"]), Some("max-epochs"));
        assert_eq!(nearest("Blru", ["HorizontalFlip", "Blur"]), Some("Blur"), "a swap is one edit");
        assert_eq!(nearest("banana", ["auto", "cpu"]), None);
        assert_eq!(nearest("Solarize", ["Posterize", "D4"]), None);
        assert_eq!(nearest("xyz", ["cpu"]), None, "three edits of three letters are another word");
        assert_eq!(nearest("x", []), None);
    }
}
