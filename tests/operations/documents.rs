//! Links between documents resolve, and the documents that are read first stay short.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::file;

/// The most lines of the documents that are read first. What does not fit belongs in `docs/`.
const LIMITS: [(&str, usize); 2] = [("README.md", 200), ("ARCHITECTURE.md", 120)];
/// Folders that are not part of the project: build output, and files that a local service wrote.
const NOT_OURS: [&str; 4] = [".git", "target", "data", "logs"];

#[derive(Debug, PartialEq)]
struct Link {
    line: usize,
    target: String,
}

/// Collects inline links, images and `src` attributes of a Markdown text, without those in code.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        for (opening, closing) in [("](", ')'), ("src=\"", '"')] {
            let targets = prose.split(opening).skip(1).filter_map(|rest| rest.split_once(closing));
            links.extend(targets.map(|(target, _)| Link { line, target: target.to_owned() }));
        }
    }
    links
}

/// Yields the lines outside of fenced code with their numbers, without inline code.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        let outside = line.split('`').step_by(2).collect();
        (!is_fence && !is_code).then_some((index + 1, outside))
    })
}

/// Derives the anchors of the headings by GitHub's rule: a repeated one gets a number.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code
    });
    let titles = headings
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    titles
        .map(|title| {
            let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
            let count = seen.entry(anchor.clone()).or_insert(0);
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

/// Says why a link of `from` does not resolve; links to other servers are not followed.
fn fault(root: &Path, from: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let to = if path.is_empty() { from.to_owned() } else { from.parent()?.join(path) };
    if !to.starts_with(root) || !to.exists() {
        return Some(format!("no file {path}"));
    }
    let is_there =
        || anchors(&fs::read_to_string(&to).unwrap_or_default()).iter().any(|known| known == anchor);
    (!anchor.is_empty() && !is_there()).then(|| format!("no heading #{anchor}"))
}

/// Finds all Markdown files below a folder.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() && NOT_OURS.iter().all(|other| name != *other) {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn every_link_between_documents_resolves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    documents(root, &mut found);
    assert!(
        found.contains(&root.join("README.md")) && found.contains(&root.join("docs/runbook.md")),
        "{found:?}"
    );
    let (mut faults, mut followed) = (Vec::new(), 0);
    for document in &found {
        for Link { line, target } in links(&fs::read_to_string(document).unwrap()) {
            followed += 1;
            let at = format!("{}:{line}", document.strip_prefix(root).unwrap().display());
            faults.extend(fault(root, document, &target).map(|fault| format!("{at}: {target}: {fault}")));
        }
    }
    assert!(followed > 50, "{followed} links in {found:?}");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn documents_that_are_read_first_are_short() {
    for (document, limit) in LIMITS {
        let lines = file(document).lines().count();
        assert!(lines <= limit, "{document} has {lines} lines of {limit}: move something to docs/");
    }
}

#[test]
fn a_broken_link_is_found() {
    let text = "# The `a_b` of it: 1.0?\n[x](y.md#z) `[no](link)` ![p](q.png)\n```\n# no\n[no](link)\n```\n## Twice\n## Twice\n\
                <img src=\"r.png\">";
    let targets: Vec<_> = links(text).into_iter().map(|link| (link.line, link.target)).collect();
    assert_eq!(targets, [(2, "y.md#z"), (2, "q.png"), (9, "r.png")].map(|(line, to)| (line, to.to_owned())));
    assert_eq!(anchors(text), ["the-a_b-of-it-10", "twice", "twice-1"]);
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("a.md");
    fs::write(&from, text).unwrap();
    let fault = |target| fault(folder.path(), &from, target);
    for whole in ["a.md", "#twice-1", "a.md#the-a_b-of-it-10", "https://example.com/none"] {
        assert_eq!(fault(whole), None, "{whole}");
    }
    for broken in ["b.md", "#thrice", "a.md#no"] {
        assert!(fault(broken).is_some(), "{broken}");
    }
}
