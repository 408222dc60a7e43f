//! The name that is probably meant by one that is not known.

/// Returns the candidate that is most like `name`, if its similarity (0 to 1) is at least `least`.
pub(crate) fn nearest<T: AsRef<str>>(
    name: &str,
    candidates: impl IntoIterator<Item = T>,
    least: f64,
) -> Option<T> {
    let length = name.chars().count();
    // names are compared in the product of their lengths, and those of unequal lengths cannot be alike
    let may_be_like = |candidate: &T| {
        let other = candidate.as_ref().chars().count();
        length.min(other) as f64 >= least * length.max(other) as f64
    };
    let likeness = |candidate: &T| strsim::normalized_damerau_levenshtein(candidate.as_ref(), name);
    let similar =
        candidates.into_iter().filter(may_be_like).map(|candidate| (likeness(&candidate), candidate));
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.filter(|(likeness, _)| *likeness >= least).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_if_it_is_near_enough() {
        let names = ["news", "price", "prices"];
        assert_eq!(nearest("pric", names, 0.5), Some("price"));
        assert_eq!(nearest("newz", names, 0.75), Some("news"));
        assert_eq!(nearest("newz", names, 0.76), None);
        assert_eq!(nearest(&"news".repeat(100_000), names, 0.5), None);
        assert_eq!(nearest("", names, 0.5), None);
    }
}
