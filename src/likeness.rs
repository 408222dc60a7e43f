//! The name that is probably meant by one that is not known.

/// Returns the candidate that is most like `name`, if its similarity (0 to 1) is at least `least`.
pub(crate) fn nearest<T: AsRef<str>>(
    name: &str,
    candidates: impl IntoIterator<Item = T>,
    least: f64,
) -> Option<T> {
    let length = name.chars().count();
    // comparing takes the product of the lengths; names cannot be more alike than the characters that they share
    let may_be_like = |candidate: &T| {
        let longest = length.max(candidate.as_ref().chars().count());
        shared(name, candidate.as_ref()) as f64 >= least * longest as f64
    };
    let likeness = |candidate: &T| strsim::normalized_damerau_levenshtein(candidate.as_ref(), name);
    let similar =
        candidates.into_iter().filter(may_be_like).map(|candidate| (likeness(&candidate), candidate));
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.filter(|(likeness, _)| *likeness >= least).map(|(_, candidate)| candidate)
}

/// Counts the characters that two names share, in any order; a few too many for characters with the same last byte.
fn shared(name: &str, other: &str) -> usize {
    let mut counts = [0_usize; 256];
    let kind = |c: char| u32::from(c) as usize % 256;
    for c in name.chars() {
        counts[kind(c)] += 1;
    }
    let is_shared = |c: &char| {
        let count = &mut counts[kind(*c)];
        let is_left = *count > 0;
        *count -= usize::from(is_left);
        is_left
    };
    other.chars().filter(is_shared).count()
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

    #[test]
    fn names_are_never_more_alike_than_the_characters_that_they_share() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let [a, b] = [(); 2].map(|()| {
                let letter = |_| rng.choice(['A', 'B', 'C', '_', 'é', '\u{141}']).unwrap();
                (0..5).map(letter).collect::<String>()
            });
            let likeness = strsim::normalized_damerau_levenshtein(&a, &b);
            let longest = a.chars().count().max(b.chars().count());
            assert!(shared(&a, &b) as f64 >= likeness * longest as f64 - 1e-9, "{a} {b}");
        }
    }
}
