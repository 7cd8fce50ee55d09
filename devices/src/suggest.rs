//! The known word nearest to a misspelt one, for error texts.

/// Differences beyond which a word is no misspelling of another.
const FARTHEST: usize = 3;

/// A clause to append to an error: `, did you mean …?`, or nothing if no known word is near.
pub(crate) fn did_you_mean(given: &str, known: &[&str]) -> String {
    nearest(given, known).map(|word| format!(", did you mean `{word}`?")).unwrap_or_default()
}

fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase();
    known
        .iter()
        .map(|word| (distance(&given, word), *word))
        .filter(|(differences, word)| *differences <= FARTHEST && *differences < word.chars().count())
        .min_by_key(|(differences, _)| *differences)
        .map(|(_, word)| word)
}

/// Insertions, deletions and replacements that turn one word into the other.
///
/// # Sources
/// Levenshtein 1966, Binary codes capable of correcting deletions, insertions, and reversals.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(did_you_mean("cv-paralel", &["auto", "cv-parallel"]), ", did you mean `cv-parallel`?");
        assert_eq!(did_you_mean("banana", &["auto", "cpu"]), "");
        assert_eq!(did_you_mean("xyz", &["cpu"]), "", "three edits of three letters are another word");
    }
}
