//! How often the semantic cache is wrong on a labelled stream, beside GPTCache's and a bare threshold's figures there.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use mainstay_cache_semantic::{Embedding, Guards, Policy, ReplayOptions, ReplayReport, read_stream, replay};
use mainstay_embed::{Identified as _, LocalEmbedder};

/// GPTCache 0.1.44 end to end on the shared development stream, as its README and the anchors give it: share of hits, wrong
/// among them.
const GPTCACHE: [(&str, f64, f64); 2] =
    [("GPTCache 0.1.44, default", 0.6636, 0.2107), ("GPTCache 0.1.44, cosine 0.95", 0.4358, 0.0312)];

/// The share of hits that may be wrong.
const MOST_WRONG: f64 = 0.01;

pub(super) async fn measure(stream: &Path, model: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(stream).with_context(|| stream.display().to_string())?;
    let queries = read_stream(&text).map_err(|why| anyhow!("{}: {why}", stream.display()))?;
    let local = LocalEmbedder::open(model)?;
    let (name, identity) = (local.name().to_owned(), local.identity().as_str().to_owned());
    let embedding = Embedding::new(local, identity).model(name);
    let mut options = ReplayOptions::default();
    options.policies = vec![
        Policy::exact(),
        Policy::nearness(0.80),
        Policy::nearness(0.95),
        Policy::guarded(0.95, Guards::Standard),
        Policy::guarded(0.95, Guards::Strict),
    ];
    options.max_error_rate = MOST_WRONG;
    let report = replay(&queries, &embedding, options).await?;
    println!("{}", table(stream, &report));
    Ok(missed(&report))
}

fn table(stream: &Path, report: &ReplayReport) -> String {
    let file = stream.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut table = format!(
        "Labelled stream {file} (S11.3): {} questions, caches empty at first, all-MiniLM-L6-v2\n{:<40} {:>7} {:>11} {:>14}\n",
        report.queries, "", "hits", "wrong/hits", "at most (95 %)"
    );
    let is_shared = file == "dev_stream.jsonl";
    for (name, hits, wrong) in GPTCACHE.iter().filter(|_| is_shared) {
        table.push_str(&format!("{name:<40} {:>6.1}% {:>10.2}% {:>14}\n", 100.0 * hits, 100.0 * wrong, "-"));
    }
    for row in &report.rows {
        table.push_str(&format!(
            "{:<40} {:>6.1}% {:>10.2}% {:>13.2}%\n",
            row.policy.name,
            100.0 * row.all.hit_rate(),
            100.0 * row.all.wrong_rate(),
            100.0 * row.all.wrong_at_most(0.95),
        ));
    }
    table
}

/// The targets of the data's README.
fn missed(report: &ReplayReport) -> Vec<String> {
    let mut missed = Vec::new();
    if let (Ok(_), Some(row)) = (&report.calibrated, report.rows.last()) {
        let (hits, wrong) = (row.all.hit_rate(), row.all.wrong_rate());
        if hits < 0.49 || wrong > MOST_WRONG {
            missed.push(format!("calibrated: {:.1} % hits with {:.2} % wrong", 100.0 * hits, 100.0 * wrong));
        }
    } else {
        missed.push("no threshold is safe on this stream".to_owned());
    }
    missed
}
