//! The rules: plain functions from members to complaints.

use super::member::Member;
use crate::metadata::{Dependency, Package};

/// Every broken rule, as a line that names the member and the cure.
pub(super) fn broken(members: &[Member]) -> Vec<String> {
    let mut complaints = Vec::new();
    for member in members {
        let mut told = Vec::new();
        told.extend(lints(member));
        if member.package.is_published() {
            told.extend(place(&member.package));
            told.extend(dependencies(&member.package, members));
            told.extend(manifest(&member.package));
            told.extend(files(member));
        } else {
            told.extend(chores_stay_chores(&member.package, members));
        }
        complaints.extend(told.into_iter().map(|text| format!("{}: {text}", member.package.name)));
    }
    complaints
}

const CONTRACT: &str = "mainstay-provider-core";
const METERING: &str = "mainstay-metering";
/// A TCP stream, for who speaks HTTP: the adapters and the gateway.
const CORK: &str = "mainstay-cork";
const FACADE: &str = "mainstay";
const GATEWAY: &str = "mainstay-gateway";
/// Floor 1, one crate per layer. A new crate gets its line here and in `docs/architecture.md`.
const LAYERS: [&str; 17] = [
    "mainstay-adapters",
    "mainstay-breaker",
    "mainstay-budget",
    "mainstay-cache-exact",
    "mainstay-cache-semantic",
    "mainstay-degrade",
    "mainstay-embed",
    "mainstay-guardrails",
    METERING,
    "mainstay-rate-limit",
    "mainstay-rescue",
    "mainstay-retry",
    "mainstay-router",
    "mainstay-structured",
    "mainstay-telemetry",
    "mainstay-timeout",
    "mainstay-virtual-keys",
];

/// Whether `upper` may be built on `lower`. `None`: a name without a floor.
fn may_stand_on(upper: &str, lower: &str) -> Option<bool> {
    Some(match upper {
        CONTRACT | CORK => false,
        _ if lower == CORK => matches!(upper, "mainstay-adapters" | GATEWAY),
        METERING => lower == CONTRACT,
        layer if LAYERS.contains(&layer) => lower == CONTRACT || lower == METERING,
        FACADE => lower == CONTRACT || LAYERS.contains(&lower),
        GATEWAY => lower == FACADE,
        _ => return None,
    })
}

fn place(package: &Package) -> Vec<String> {
    if may_stand_on(&package.name, CONTRACT).is_none() {
        return vec![
            "has no floor: add it to LAYERS in xtask/src/house/rules.rs and to docs/architecture.md, or set publish = false"
                .to_owned(),
        ];
    }
    let folder = package.folder().file_name().unwrap_or_default().to_string_lossy();
    let expected = package.name.strip_prefix("mainstay-").unwrap_or(&package.name);
    if folder != expected {
        return vec![format!("lies in `{folder}`, expected `crates/{expected}`")];
    }
    Vec::new()
}

/// Floors, and what publishing in order needs.
fn dependencies(package: &Package, members: &[Member]) -> Vec<String> {
    let is_ours = |dependency: &&Dependency| {
        dependency.name != package.name && members.iter().any(|m| m.package.name == dependency.name)
    };
    package
        .dependencies
        .iter()
        .filter(is_ours)
        .filter_map(|dependency| dependency_rule(package, dependency))
        .collect()
}

fn dependency_rule(package: &Package, dependency: &Dependency) -> Option<String> {
    let lower = &dependency.name;
    let has_version = dependency.req != "*";
    let downwards = may_stand_on(&package.name, lower)?;
    // A test may look anywhere, by path only: cargo drops such a line when it packs, so no cycle is published.
    if dependency.kind.as_deref() == Some("dev") {
        let forbidden = !downwards && has_version;
        return forbidden
            .then(|| format!("dev-dependency {lower} is not beneath it: give it a path and no version"));
    }
    if !downwards {
        return Some(match package.name.as_str() {
            CONTRACT => format!("depends on {lower}; the contract stands on nothing of ours"),
            GATEWAY => format!("depends on {lower}; the gateway is built on the facade alone"),
            FACADE => format!("depends on {lower}; the facade composes what is beneath it"),
            _ => format!("depends on {lower}; a layer knows the contract and metering, never another layer"),
        });
    }
    let publishable = has_version && dependency.path.is_some();
    (!publishable)
        .then(|| format!("dependency {lower} needs a path and a version: use {lower}.workspace = true"))
}

fn manifest(package: &Package) -> Vec<String> {
    let mut told = Vec::new();
    let mut demand = |kept: bool, cure: &str| {
        if !kept {
            told.push(cure.to_owned());
        }
    };
    demand(package.description.as_ref().is_some_and(|text| !text.trim().is_empty()), "has no description");
    demand((1..=5).contains(&package.keywords.len()), "needs 1 to 5 keywords");
    demand((1..=5).contains(&package.categories.len()), "needs 1 to 5 categories");
    demand(package.license.as_deref() == Some("MIT OR Apache-2.0"), "needs license.workspace = true");
    demand(package.repository.is_some(), "needs repository.workspace = true");
    demand(package.rust_version.is_some(), "needs rust-version.workspace = true");
    demand(package.readme.as_deref() == Some("README.md"), "needs readme = \"README.md\"");
    demand(docs_rs_shows_all(package), "needs [package.metadata.docs.rs] with all-features = true");
    told
}

fn docs_rs_shows_all(package: &Package) -> bool {
    let all = package.metadata.as_ref().and_then(|metadata| metadata.pointer("/docs/rs/all-features"));
    all.and_then(serde_json::Value::as_bool).unwrap_or(false)
}

fn files(member: &Member) -> Vec<String> {
    let mut told = Vec::new();
    if !member.has_readme {
        told.push("has no README.md".to_owned());
    }
    if !member.has_changelog {
        told.push("has no CHANGELOG.md".to_owned());
    }
    if !member.wrong_licences.is_empty() {
        let licences = member.wrong_licences.join(" and ");
        told.push(format!("{licences} missing or not the workspace's: run cargo xtask house --fix"));
    }
    if member.docs_are_readme == Some(false) {
        told.push("its crate docs are not its README: #![doc = include_str!(\"../README.md\")]".to_owned());
    }
    told
}

fn lints(member: &Member) -> Option<String> {
    (!member.inherits_lints).then(|| "needs [lints] workspace = true".to_owned())
}

/// Nothing published may need a member that is not; its tests may, by path only.
fn chores_stay_chores(package: &Package, members: &[Member]) -> Vec<String> {
    let is_of_tests = |needed: &Dependency| needed.kind.as_deref() == Some("dev") && needed.req == "*";
    let needs = |member: &&Member| {
        let mut needed = member.package.dependencies.iter().filter(|needed| needed.name == package.name);
        member.package.is_published() && needed.any(|needed| !is_of_tests(needed))
    };
    let users = members.iter().filter(needs);
    users.map(|user| format!("is not published, yet {} depends on it", user.package.name)).collect()
}

#[cfg(test)]
mod tests;
