//! The `.env` file: read into pairs, never into the process environment.

use std::fs;
use std::io;
use std::path::Path;

use super::mistake::SettingsError;

/// Reads the file's variables in order. A missing file has none; every unreadable line is an error that names the line
/// and the variable, but never the value.
pub(super) fn read(path: &Path, mistakes: &mut Vec<SettingsError>) -> Vec<(String, String)> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            mistakes.push(SettingsError::new(path.display().to_string(), format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        mistakes.push(SettingsError::new(path.display().to_string(), "must be UTF-8 text"));
        return Vec::new();
    };
    // the parser mistakes a byte order mark for part of a name, and a last line that ends with a space for an open
    // quote
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let mut pairs = Vec::new();
    for line in dotenvy::from_read_iter(text.as_bytes()) {
        match line {
            Ok(pair) => pairs.push(pair),
            Err(dotenvy::Error::LineParse(bad, _)) => mistakes.push(unreadable_line(path, &text, &bad)),
            Err(error) => {
                mistakes
                    .push(SettingsError::new(path.display().to_string(), format!("cannot be read: {error}")));
            }
        }
    }
    pairs
}

/// Builds the error of an invalid line. The parser returns the line, or its end, including the value: only its number
/// and the name may be shown.
fn unreadable_line(path: &Path, text: &str, bad: &str) -> SettingsError {
    let before = text.find(bad.trim_end()).and_then(|at| text.get(..at)).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let name = line.split_once('=').map(|(name, _)| name.trim().trim_start_matches("export").trim());
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let named = name.filter(is_name).map(|name| format!(" ({name})")).unwrap_or_default();
    SettingsError::new(
        format!("{} line {number}{named}", path.display()),
        "must be NAME=value, with the value in single quotes if it has blanks, quotes or `$`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &[u8]) -> (Vec<(String, String)>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        fs::write(&path, text).unwrap();
        let mut mistakes = Vec::new();
        let pairs = read(&path, &mut mistakes);
        let shown =
            |mistake: &SettingsError| mistake.to_string().replace(&path.display().to_string(), ".env");
        (pairs, mistakes.iter().map(shown).collect())
    }

    #[test]
    fn comments_quotes_and_exports_are_understood() {
        let (pairs, mistakes) = read_text(b"# note\nA=1 # one\nexport B='two words'\n\nC=\"3\"\nD=\n");
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "two words"), ("C", "3"), ("D", "")]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }

    #[test]
    fn a_byte_order_mark_and_a_blank_at_the_end_do_not_matter() {
        let (pairs, mistakes) = read_text("\u{feff}A=1\nB=2 ".as_bytes());
        assert_eq!(pairs.len(), 2, "{mistakes:?}");
        assert_eq!(pairs[0].0, "A");
    }

    #[test]
    fn a_bad_line_is_named_without_its_value_and_the_rest_is_read() {
        let (pairs, mistakes) = read_text(b"A=1\nTOKEN=se cret\nB=2\nnonsense\n");
        assert_eq!(pairs.len(), 2);
        assert_eq!(mistakes.len(), 2);
        assert!(mistakes[0].starts_with(".env line 2 (TOKEN): must be NAME=value"), "{mistakes:?}");
        assert!(mistakes[1].starts_with(".env line 4: "), "{mistakes:?}");
        assert!(!mistakes.concat().contains("cret"));
    }

    #[test]
    fn an_open_quote_is_a_mistake_of_its_line() {
        let (_, mistakes) = read_text(b"A=1\nB='open\nC=2\n");
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].starts_with(".env line 2 (B)"), "{mistakes:?}");
    }

    #[test]
    fn text_that_is_not_utf8_is_a_mistake() {
        assert_eq!(read_text(b"A=\xff\n").1, [".env: must be UTF-8 text"]);
    }

    #[test]
    fn a_file_that_is_not_there_has_no_variables() {
        let mut mistakes = Vec::new();
        assert!(read(Path::new("/nonexistent/.env"), &mut mistakes).is_empty());
        assert!(mistakes.is_empty());
    }

    #[test]
    fn a_folder_in_the_files_place_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let mut mistakes = Vec::new();
        read(folder.path(), &mut mistakes);
        assert_eq!(mistakes.len(), 1);
    }
}
