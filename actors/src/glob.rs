//! Key patterns of `SCAN` and of Redis' access rules.

/// Returns the pattern that matches exactly `text`, whatever characters it contains.
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
