//! The images that the `Dockerfile`, the Compose files and the manifest name are pinned by digest, with the tag beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::file;

/// The image that is built here, which has no digest before that.
const OURS: &str = "uw-websocket";

/// Splits `name:tag@sha256:digest` into `name:tag` and the digest.
fn pinned(image: &str) -> Result<(&str, &str), String> {
    let (tagged, digest) = image.split_once("@sha256:").ok_or(format!("{image} has no digest"))?;
    let is_hex = digest.len() == 64 && digest.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let (name, tag) = tagged.rsplit_once(':').ok_or(format!("{image} has no tag"))?;
    if !is_hex || name.is_empty() || tag.is_empty() || tag.contains('/') {
        return Err(format!("{image} is not NAME:TAG@sha256:DIGEST"));
    }
    Ok((tagged, digest))
}

/// The default of `${NAME:-default}`, or the text itself.
fn default_of(text: &str) -> &str {
    let inside = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    inside.and_then(|text| text.split_once(":-")).map_or(text, |(_, default)| default)
}

/// The base images of the Dockerfile: what the arguments that its stages begin with are by default.
fn base_images() -> Vec<String> {
    let dockerfile = file("Dockerfile");
    let arguments: BTreeMap<&str, &str> = dockerfile
        .lines()
        .take_while(|line| !line.starts_with("FROM "))
        .filter_map(|line| line.strip_prefix("ARG ")?.split_once('='))
        .collect();
    let stages = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split_whitespace().next());
    let image = |stage: &str| {
        let argument = stage.strip_prefix("${").and_then(|name| name.strip_suffix('}'));
        argument.map_or(stage, |name| arguments[name]).to_owned()
    };
    stages.map(image).collect()
}

/// The images that the YAML files of `config/` name, with their file.
fn images_of_config() -> Vec<(String, String)> {
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let extension = |name: &str| Path::new(name).extension().map(ToOwned::to_owned);
    let yaml = names.filter(|name| extension(name).is_some_and(|end| end == "yaml" || end == "yml"));
    yaml.flat_map(|name| {
        let text = file(&format!("config/{name}"));
        let images =
            text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("image:"));
        images.map(|image| (name.clone(), default_of(image.trim()).to_owned())).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn every_image_is_pinned_by_digest_with_its_tag_and_one_tag_has_one_digest() {
    let bases = base_images().into_iter().map(|image| ("Dockerfile".to_owned(), image));
    let named: Vec<_> = bases.chain(images_of_config()).filter(|(_, image)| image != OURS).collect();
    let files: Vec<&str> = named.iter().map(|(file, _)| file.as_str()).collect();
    for expected in ["Dockerfile", "compose.yaml", "compose-sentinel.yaml", "compose-cluster.yaml"] {
        assert!(files.contains(&expected), "{expected}: no image found in it: {named:?}");
    }
    let mut digests = BTreeMap::new();
    for (file, image) in &named {
        let (tagged, digest) = pinned(image).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        assert_eq!(*digests.entry(tagged).or_insert(digest), digest, "{file}: {tagged} has two digests");
    }
}

#[test]
fn the_guide_to_a_release_renews_every_image() {
    let guide = file("docs/releasing.md");
    let images = base_images().into_iter().chain(images_of_config().into_iter().map(|(_, image)| image));
    for image in images.filter(|image| image != OURS) {
        let tagged = image.split('@').next().unwrap();
        assert!(guide.contains(tagged), "docs/releasing.md does not renew {tagged}");
    }
}

#[test]
fn the_compiler_of_the_image_builds_the_project() {
    let manifest = file("Cargo.toml");
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let image = base_images().remove(0);
    let version = image.strip_prefix("rust:").and_then(|rest| rest.split('-').next()).unwrap();
    assert_eq!(version.split('.').count(), 3, "{version} is not one version");
    assert!(minor(version) >= minor(oldest.trim_matches('"')), "{image} is older than {oldest}");
}

#[test]
fn an_image_without_a_tag_or_a_digest_would_be_seen() {
    let digest = "0".repeat(64);
    assert!(pinned(&format!("host:5000/name:1@sha256:{digest}")).is_ok());
    let faulty = ["name:1", "name", "name:1@sha256:00"].map(str::to_owned);
    let untagged = [format!("name@sha256:{digest}"), format!("host:5000/name@sha256:{digest}")];
    for image in faulty.iter().chain(&untagged) {
        assert!(pinned(image).is_err(), "{image}");
    }
    assert_eq!(default_of("${REDIS_IMAGE:-redis:7}"), "redis:7");
}
