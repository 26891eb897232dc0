//! The models whose files we know by their checksums.

use super::{Manifest, ManifestFile};

/// The names that [`known`] knows.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, ..)| *name)
}

/// The manifest of a model by its name, with Hugging Face's hub as the place.
pub fn known(name: &str) -> Option<Manifest> {
    let (name, base, files) = MODELS.iter().find(|(known, ..)| *known == name)?;
    let files = files.iter().map(|(path, bytes, sha256)| ManifestFile::new(*path, *bytes, *sha256)).collect();
    Some(Manifest::new(*name, *base, files))
}

type File = (&'static str, u64, &'static str);

const MODELS: &[(&str, &str, &[File])] = &[(
    "all-MiniLM-L6-v2",
    "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/",
    &[
        ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        (
            "config_sentence_transformers.json",
            116,
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        ("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        ("sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
        ("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        ("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        ("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        ("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    ],
)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_model_has_whole_checksums() {
        for name in known_names() {
            let manifest = known(name).unwrap();
            assert!(manifest.base.ends_with('/'), "{name}");
            for file in &manifest.files {
                assert!(file.sha256.len() == 64 && file.bytes > 0, "{name}: {}", file.path);
            }
        }
        assert_eq!(known("unheard-of"), None);
    }
}
