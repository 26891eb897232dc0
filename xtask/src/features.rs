//! Each feature of each crate alone: which `cargo check` runs show that features only add.

use crate::metadata::{Metadata, Package};

/// The arguments of one `cargo check`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) package: String,
    /// `None`: no feature at all.
    pub(crate) feature: Option<String>,
}

impl Check {
    pub(crate) fn args(&self) -> Vec<&str> {
        let mut args = vec!["check", "--package", &self.package, "--no-default-features"];
        if let Some(feature) = &self.feature {
            args.extend(["--features", feature]);
        }
        args
    }

    /// Whether cargo summed up warnings of this package; those of the crates beneath it are told where they are checked.
    pub(crate) fn warned(&self, told: &str) -> bool {
        let package = format!("`{}` (", self.package);
        told.lines().any(|line| line.contains(&package) && line.contains(") generated "))
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {}", self.package, self.feature.as_deref().unwrap_or("no feature"))
    }
}

/// For every published crate: no feature, each feature alone, and the defaults. All features together are what clippy
/// runs with, so they are not repeated here.
pub(crate) fn plan(metadata: &Metadata) -> Vec<Check> {
    metadata.packages.iter().filter(|package| package.is_published()).flat_map(checks_of).collect()
}

fn checks_of(package: &Package) -> Vec<Check> {
    let check = |feature: Option<&String>| Check { package: package.name.clone(), feature: feature.cloned() };
    let mut checks = vec![check(None)];
    let not_empty = package.features.iter().filter(|(name, parts)| *name != "default" || !parts.is_empty());
    checks.extend(not_empty.map(|(name, _)| check(Some(name))));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace(features: serde_json::Value, publish: serde_json::Value) -> Metadata {
        serde_json::from_value(json!({
            "workspace_root": "/w", "target_directory": "/w/target",
            "packages": [{ "name": "a", "manifest_path": "/w/a/Cargo.toml", "features": features, "publish": publish }],
        }))
        .unwrap()
    }

    #[test]
    fn each_feature_is_checked_alone_beside_none_and_the_defaults() {
        let plan = plan(&workspace(json!({ "default": ["x"], "x": [], "y": ["x"] }), json!(null)));
        let names: Vec<String> = plan.iter().map(Check::to_string).collect();
        assert_eq!(names, ["a with no feature", "a with default", "a with x", "a with y"]);
        assert!(plan[2].args().ends_with(&["--no-default-features", "--features", "x"]));
    }

    #[test]
    fn empty_defaults_are_the_same_as_no_feature_and_are_not_repeated() {
        assert_eq!(plan(&workspace(json!({ "default": [] }), json!(null))).len(), 1);
    }

    #[test]
    fn warnings_count_where_they_belong() {
        let check = Check { package: "facade".into(), feature: None };
        assert!(check.warned("x\nwarning: `facade` (lib) generated 2 warnings\n"));
        assert!(check.warned("warning: `facade` (bin \"f\") generated 1 warning"));
        assert!(!check.warned("warning: unused import\nwarning: `layer` (lib) generated 2 warnings\n"));
    }

    #[test]
    fn unpublished_members_have_no_promise_to_keep() {
        assert!(plan(&workspace(json!({ "x": [] }), json!([]))).is_empty());
    }
}
