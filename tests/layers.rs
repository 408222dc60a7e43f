//! Direction is enforced: crates depend downwards, no files of a crate import each other in a circle, no file is long;
//! and the name of a type says which one it is.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// What the pure crate must not know: actors, a runtime, Redis, a log.
const IMPURE: [&str; 11] = [
    "actix",
    "actix-http",
    "actix-rt",
    "actix-web",
    "awc",
    "deadpool-redis",
    "futures-util",
    "redis",
    "slog",
    "tokio",
    "uw-websocket-actors",
];
/// Longest file of production code, in lines.
const MAX_LINES: usize = 400;

type Module = Vec<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of production code below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

fn source_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    sources(&root().join(folder), &mut files);
    files.sort();
    files
}

fn module_of(file: &Path, folder: &str) -> Module {
    let inner = file.strip_prefix(root().join(folder)).unwrap().with_extension("");
    let mut module: Module = inner.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// What a file of production code names of its own crate.
struct Names {
    module: Module,
    /// Modules within the file that are being visited.
    depth: usize,
    /// Absolute in the crate.
    found: Vec<Module>,
}

impl Names {
    fn note(&mut self, path: &[String]) {
        let mut base: Module = match path.first().map(String::as_str) {
            Some("crate") => return self.found.push(path[1..].to_vec()),
            Some("super") => self.module.clone(),
            // a module of this file, or another crate: the former is known by its path
            Some("self") => return self.found.push([&self.module[..], &path[1..]].concat()),
            Some(_) => return self.found.push([&self.module[..], path].concat()),
            None => return,
        };
        let ups = path.iter().take_while(|part| *part == "super").count();
        for _ in 0..ups.saturating_sub(self.depth) {
            base.pop();
        }
        base.extend_from_slice(&path[ups..]);
        self.found.push(base);
    }

    fn note_tree(&mut self, before: &mut Module, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_tree(before, &path.tree);
                before.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(before, tree);
                }
            }
            syn::UseTree::Name(name) => self.note(&[&before[..], &[name.ident.to_string()]].concat()),
            syn::UseTree::Rename(name) => self.note(&[&before[..], &[name.ident.to_string()]].concat()),
            syn::UseTree::Glob(_) => self.note(before),
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let is_test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"))
    };
    attributes.iter().any(is_test)
}

impl<'f> Visit<'f> for Names {
    fn visit_item_mod(&mut self, module: &'f syn::ItemMod) {
        if !is_test(&module.attrs) {
            self.depth += 1;
            visit::visit_item_mod(self, module);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'f syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.note_tree(&mut Vec::new(), &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'f syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 && matches!(&*parts[0], "crate" | "super") {
            self.note(&parts);
        }
        visit::visit_path(self, path);
    }
}

/// Which modules each module names; the root of a crate names all.
fn imports(folder: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let files: BTreeMap<Module, PathBuf> =
        source_files(folder).into_iter().map(|file| (module_of(&file, folder), file)).collect();
    let mut imports = BTreeMap::new();
    for (module, file) in files.iter().filter(|(module, _)| !module.is_empty()) {
        let parsed = syn::parse_file(&fs::read_to_string(file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut visitor = Names { module: module.clone(), depth: 0, found: Vec::new() };
        visitor.visit_file(&parsed);
        let file_of = |name: &Module| {
            (1..=name.len()).rev().map(|len| name[..len].to_vec()).find(|part| files.contains_key(part))
        };
        let named = visitor.found.iter().filter_map(file_of).filter(|named| named != module).collect();
        imports.insert(module.clone(), named);
    }
    imports
}

/// A circle that is met from a module on.
fn circle(
    imports: &BTreeMap<Module, BTreeSet<Module>>,
    module: &Module,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(begin) = way.iter().position(|passed| passed == module) {
        return Some(way[begin..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    way.push(module.clone());
    let met = imports.get(module)?.iter().find_map(|named| circle(imports, named, way, done));
    way.pop();
    done.insert(module.clone());
    met
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for folder in ["core/src", "actors/src", "simulator/src", "src"] {
        let imports = imports(folder);
        assert!(imports.values().any(|named| !named.is_empty()), "{folder} imports nothing of its own");
        let mut done = BTreeSet::new();
        for module in imports.keys() {
            let met = circle(&imports, module, &mut Vec::new(), &mut done);
            let shown = met.map(|way| way.iter().map(|module| module.join("::")).collect::<Vec<_>>());
            assert_eq!(shown, None, "{folder}");
        }
    }
}

/// The names of the dependencies of a crate, those of its tests left aside.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let (_, after) = text.split_once("\n[dependencies]\n").unwrap();
    let section = after.split("\n[").next().unwrap();
    let name = |line: &str| line.split_once(" = ").map(|(name, _)| name.to_owned());
    section.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect()
}

#[test]
fn crates_depend_downwards() {
    let core = dependencies("core/Cargo.toml");
    assert!(core.contains(&"serde".to_owned()));
    let impure: Vec<_> = core.iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
    assert!(impure.is_empty(), "core knows {impure:?}");
    for (manifest, expected) in [
        ("core/Cargo.toml", &[][..]),
        ("actors/Cargo.toml", &["uw-websocket-core"]),
        ("simulator/Cargo.toml", &["uw-websocket-core"]),
    ] {
        let ours = dependencies(manifest).into_iter().filter(|name| name.starts_with("uw-websocket"));
        assert_eq!(ours.collect::<Vec<_>>(), expected, "{manifest}");
    }
}

/// The types of a file that other modules can use.
fn types(file: &Path) -> BTreeSet<String> {
    let is_shared = |visibility: &syn::Visibility| match visibility {
        syn::Visibility::Public(_) => true,
        syn::Visibility::Restricted(to) => to.path.is_ident("crate"),
        syn::Visibility::Inherited => false,
    };
    let name = |item: &syn::Item| {
        let (visibility, name) = match item {
            syn::Item::Struct(item) => (&item.vis, &item.ident),
            syn::Item::Enum(item) => (&item.vis, &item.ident),
            syn::Item::Trait(item) => (&item.vis, &item.ident),
            syn::Item::Type(item) => (&item.vis, &item.ident),
            _ => return None,
        };
        is_shared(visibility).then(|| name.to_string())
    };
    let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
    parsed.items.iter().filter_map(name).collect()
}

#[test]
fn a_type_that_several_modules_know_has_a_name_of_its_own() {
    let mut known: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in ["core/src", "actors/src", "simulator/src", "src"].into_iter().flat_map(source_files) {
        for name in types(&file) {
            let other = known.insert(name.clone(), file.clone());
            assert_eq!(other, None, "{} has a `{name}` as well", file.display());
        }
    }
    assert!(known.len() > 300, "{} types", known.len());
}

#[test]
fn no_file_is_long() {
    for folder in ["core/src", "actors/src", "simulator/src", "src", "benches"] {
        for file in source_files(folder) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines", file.display());
        }
    }
}
