//! Each rule, shown to fail on a member that breaks it and on nothing else.

use super::*;
use serde_json::json;

/// A member that keeps every rule.
fn member(name: &str) -> Member {
    let folder = name.strip_prefix("mainstay-").unwrap_or(name);
    let package = json!({
        "name": name,
        "manifest_path": format!("/w/crates/{folder}/Cargo.toml"),
        "description": "A layer.",
        "keywords": ["llm"],
        "categories": ["asynchronous"],
        "license": "MIT OR Apache-2.0",
        "repository": "https://example.org",
        "rust_version": "1.89",
        "readme": "README.md",
        "publish": null,
        "metadata": { "docs": { "rs": { "all-features": true } } },
    });
    Member {
        package: serde_json::from_value(package).unwrap(),
        inherits_lints: true,
        has_readme: true,
        has_changelog: true,
        wrong_licences: Vec::new(),
        docs_are_readme: Some(true),
    }
}

fn chore(name: &str) -> Member {
    let mut chore = member(name);
    chore.package.publish = Some(Vec::new());
    chore
}

trait Building: Sized {
    fn on(self, lower: &str) -> Self;
    fn depends(self, lower: &str, req: &str, kind: Option<&str>) -> Self;
}

impl Building for Member {
    fn on(self, lower: &str) -> Self {
        self.depends(lower, "^0.1.0", None)
    }

    fn depends(mut self, lower: &str, req: &str, kind: Option<&str>) -> Self {
        let dependency =
            json!({ "name": lower, "req": req, "kind": kind, "path": format!("/w/crates/{lower}") });
        self.package.dependencies.push(serde_json::from_value(dependency).unwrap());
        self
    }
}

/// The one complaint about `bad`, among neighbours that keep the rules.
#[track_caller]
fn complaint(bad: Member) -> String {
    let mut members = vec![
        member("mainstay-provider-core"),
        member("mainstay-metering"),
        member("mainstay-retry"),
        member("mainstay-router"),
        member("mainstay"),
        member("mainstay-gateway"),
        chore("xtask"),
    ];
    members.retain(|m| m.package.name != bad.package.name);
    members.push(bad);
    let mut told = broken(&members);
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

#[test]
fn a_house_that_keeps_every_rule_is_left_in_peace() {
    let members = [
        member("mainstay-provider-core").depends("mainstay-provider-core", "*", Some("dev")),
        member("mainstay-metering").on("mainstay-provider-core"),
        member("mainstay-budget").on("mainstay-provider-core").on("mainstay-metering").on("tower"),
        member("mainstay-retry").depends("mainstay-budget", "*", Some("dev")),
        member("mainstay").on("mainstay-provider-core").on("mainstay-budget").on("mainstay-retry"),
        member("mainstay-gateway").on("mainstay"),
        chore("benches").on("mainstay-retry"),
    ];
    assert_eq!(broken(&members), Vec::<String>::new());
}

#[test]
fn a_layer_never_depends_on_another_layer() {
    assert_eq!(
        complaint(member("mainstay-breaker").on("mainstay-retry")),
        "mainstay-breaker: depends on mainstay-retry; a layer knows the contract and metering, never another layer"
    );
}

#[test]
fn a_build_dependency_counts_as_much_as_an_ordinary_one() {
    let told = complaint(member("mainstay-breaker").depends("mainstay-retry", "^0.1.0", Some("build")));
    assert!(told.contains("never another layer"), "{told}");
}

#[test]
fn metering_stands_on_the_contract_alone() {
    assert!(
        complaint(member("mainstay-metering").on("mainstay-router")).contains("depends on mainstay-router")
    );
}

#[test]
fn the_contract_stands_on_nothing_of_ours() {
    let told = complaint(member("mainstay-provider-core").on("mainstay-metering"));
    assert!(told.contains("stands on nothing of ours"), "{told}");
}

#[test]
fn the_facade_never_reaches_upwards() {
    let told = complaint(member("mainstay").on("mainstay-gateway").on("mainstay-retry"));
    assert!(told.contains("the facade composes what is beneath it"), "{told}");
}

#[test]
fn the_gateway_is_built_on_the_facade_alone() {
    let told = complaint(member("mainstay-gateway").on("mainstay").on("mainstay-retry"));
    assert_eq!(told, "mainstay-gateway: depends on mainstay-retry; the gateway is built on the facade alone");
}

#[test]
fn a_test_may_look_sideways_by_path_only() {
    let told = complaint(member("mainstay-breaker").depends("mainstay-retry", "^0.1.0", Some("dev")));
    assert!(told.contains("give it a path and no version"), "{told}");
}

#[test]
fn a_dependency_without_a_version_cannot_be_published() {
    let told = complaint(member("mainstay-breaker").depends("mainstay-provider-core", "*", None));
    assert!(told.contains("needs a path and a version"), "{told}");
}

#[test]
fn nothing_published_depends_on_a_chore() {
    let mut told = broken(&[member("mainstay-retry").on("xtask"), chore("xtask")]);
    told.sort();
    assert!(told[1].contains("xtask: is not published, yet mainstay-retry depends on it"), "{told:?}");
    let tested = member("mainstay-retry").depends("mainstay-test-servers", "*", Some("dev"));
    assert_eq!(broken(&[tested, chore("mainstay-test-servers")]), [""; 0]);
}

#[test]
fn a_published_crate_has_a_floor() {
    assert!(complaint(member("mainstay-unheard-of")).contains("has no floor"));
}

#[test]
fn a_crate_lies_in_the_folder_of_its_short_name() {
    let mut bad = member("mainstay-breaker");
    bad.package.manifest_path = "/w/crates/circuit/Cargo.toml".into();
    assert!(complaint(bad).contains("lies in `circuit`, expected `crates/breaker`"));
}

/// What is wrong, how to break it, and a part of the complaint.
type Fault = (fn(&mut Member), &'static str);

#[test]
fn each_missing_piece_of_a_published_crate_is_named() {
    let faults: [Fault; 13] = [
        (|m| m.package.description = Some(" ".into()), "has no description"),
        (|m| m.package.keywords.clear(), "needs 1 to 5 keywords"),
        (|m| m.package.categories.clear(), "needs 1 to 5 categories"),
        (|m| m.package.license = Some("MIT".into()), "needs license.workspace"),
        (|m| m.package.repository = None, "needs repository.workspace"),
        (|m| m.package.rust_version = None, "needs rust-version.workspace"),
        (|m| m.package.readme = None, "needs readme"),
        (|m| m.package.metadata = None, "[package.metadata.docs.rs]"),
        (|m| m.has_readme = false, "has no README.md"),
        (|m| m.has_changelog = false, "has no CHANGELOG.md"),
        (|m| m.wrong_licences = vec!["LICENSE-MIT".into()], "cargo xtask house --fix"),
        (|m| m.docs_are_readme = Some(false), "include_str!"),
        (|m| m.inherits_lints = false, "needs [lints] workspace = true"),
    ];
    for (breaks, expected) in faults {
        let mut bad = member("mainstay-breaker");
        breaks(&mut bad);
        let told = complaint(bad);
        assert!(told.contains(expected), "{told} does not contain {expected}");
    }
}

#[test]
fn a_chore_inherits_the_lints_and_needs_nothing_else() {
    let mut bad = chore("lab");
    bad.has_readme = false;
    bad.package.description = None;
    bad.inherits_lints = false;
    assert_eq!(complaint(bad), "lab: needs [lints] workspace = true");
}
