//! What the user may have meant: the known name nearest to an unknown one.

/// The candidate within a third of the name's length (at least two edits), compared without regard to case.
///
/// # Sources
/// Damerau 1964 in the restricted form: insert, delete, replace, swap neighbours, each one edit.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let most = (wanted.len() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (edits(&wanted, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|&(edits, _)| edits <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Words the hint as it stands after an unknown name.
pub(crate) fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

fn edits(from: &[char], to: &[char]) -> usize {
    let mut two_above = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, &a) in from.iter().enumerate() {
        let mut row = Vec::with_capacity(to.len() + 1);
        row.push(i + 1);
        for (j, &b) in to.iter().enumerate() {
            let replaced = above[j] + usize::from(a != b);
            let mut fewest = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a == to[j - 1] && from[i - 1] == b {
                fewest = fewest.min(two_above[j - 1] + 1);
            }
            row.push(fewest);
        }
        two_above = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typing_errors_are_found_and_other_words_are_not() {
        let known = ["HorizontalFlip", "VerticalFlip", "Blur", "D4"];
        assert_eq!(nearest("horizontalflip", known), Some("HorizontalFlip"));
        assert_eq!(nearest("Blru", known), Some("Blur"));
        assert_eq!(nearest("VerticlFlipp", known), Some("VerticalFlip"));
        assert_eq!(nearest("Solarize", known), None);
    }
}
