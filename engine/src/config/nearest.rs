//! The known name that a misspelt one was probably meant to be.

/// The known name with the fewest edits to `name`, if it is near enough to be what was meant.
///
/// Hyphens, underscores and case make no difference.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = fold(name);
    known
        .into_iter()
        .map(|candidate| {
            let folded = fold(candidate);
            (edits(&name, &folded), folded.len(), candidate)
        })
        // More than half of the letters changed is another word.
        .filter(|(edits, length, _)| *edits <= name.len().max(*length) / 2)
        .min_by_key(|(edits, _, _)| *edits)
        .map(|(_, _, candidate)| candidate)
}

/// `; did you mean …?`, or nothing.
pub(crate) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

fn fold(name: &str) -> Vec<char> {
    name.to_lowercase().chars().map(|letter| if letter == '_' { '-' } else { letter }).collect()
}

/// Levenshtein distance: insertions, deletions and substitutions.
///
/// # Sources
/// Wagner and Fischer 1974, The String-to-String Correction Problem; two rows of the table.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let substituted = above[j] + usize::from(from != to);
            row.push(substituted.min(above[j + 1] + 1).min(row[j] + 1));
        }
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn misspelt_names_find_their_neighbour_and_strangers_find_none() {
        let known = ["max-epochs", "batch-size", "learning-rate"];
        assert_eq!(nearest("max_epoch", known), Some("max-epochs"));
        assert_eq!(nearest("learning_rte", known), Some("learning-rate"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", []), None);
    }

    proptest! {
        #[test]
        fn edits_is_a_metric(a in "[abc]{0,6}", b in "[abc]{0,6}", c in "[abc]{0,6}") {
            let [a, b, c]: [Vec<char>; 3] = [a, b, c].map(|text| text.chars().collect());
            prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            prop_assert_eq!(edits(&a, &b) == 0, a == b);
            prop_assert!(edits(&a, &c) <= edits(&a, &b) + edits(&b, &c));
        }
    }
}
