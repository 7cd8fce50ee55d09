//! Names of architectures and encoders: matched without regard to case, with a hint when they are not.

/// The known name equal to `name` but for case.
pub(super) fn find(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|candidate| candidate.eq_ignore_ascii_case(name))
}

/// The known name that takes the fewest edits, if no more than a third of it.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    known
        .iter()
        .copied()
        .map(|candidate| (edits(&name, &candidate.to_ascii_lowercase()), candidate))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, candidate)| distance <= candidate.len().div_ceil(3))
        .map(|(_, candidate)| candidate)
}

/// Edit distance with insertions, deletions and substitutions.
///
/// # Sources
/// Wagner and Fischer 1974, The String-to-String Correction Problem.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_single_edits() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn a_slip_is_corrected_and_a_stranger_is_not() {
        let known = ["resnet18", "resnet34", "resnet50"];
        assert_eq!(find("ResNet34", &known), Some("resnet34"));
        assert_eq!(nearest("resnet-50", &known), Some("resnet50"));
        assert_eq!(nearest("convnextv2", &known), None);
    }
}
