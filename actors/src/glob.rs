//! Patterns of keys, as `SCAN` and Redis' access rules have them.

/// The pattern that matches `text` alone, whatever characters it has.
#[must_use]
pub(crate) fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_for_itself_in_a_pattern() {
        assert_eq!(literal("uw"), "uw");
        assert_eq!(literal(r"a*b?[c-d]\^"), r"a\*b\?\[c\-d\]\\\^");
    }
}
