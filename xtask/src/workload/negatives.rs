//! Pairs that were made to mislead: how many of them are served.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use mainstay_cache_semantic::{Asked, Embedding, Guards, LabelledPair, normalise, read_pairs};

/// The share of PAWS negatives that may be served.
const MOST_PAWS: f64 = 0.08;

/// CheckList's templates of which none may be served: negation, numbers, before and after, and and or, more and less,
/// subject and object.
const NEVER: [&str; 9] = [
    "a_or_b_is_not_the_same_as_a_and_b",
    "a_or_b_is_not_the_same_as_c_and_d",
    "change_number",
    "do_you_have_to_x_your_dog_before_y_it_do",
    "how_can_i_become_a_x_person_how_can_i_be",
    "how_can_i_become_more_x_how_can_i_become",
    "is_it_ok_dangerous_to_smoke_rest_after_b",
    "order_does_matter_for_asymmetric_relatio",
    "what_was_person_s_life_before_becoming_x",
];

/// Different pairs with how near they are less the doubt of the guards; nothing where a guard vetoes.
pub(super) struct Negatives(Vec<(String, Option<f32>)>);

/// How many of how many are served.
pub(super) struct Served {
    never: (usize, usize),
    paws: (usize, usize),
}

pub(super) async fn read(file: &Path, embedding: &Embedding) -> Result<Negatives> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut pairs = read_pairs(&text).map_err(|why| anyhow!("{}: {why}", file.display()))?;
    pairs.retain(|pair| !pair.same_intent);
    let texts: Vec<_> = pairs.iter().flat_map(|pair| [normalise(&pair.a), normalise(&pair.b)]).collect();
    let vectors = embedding.embed_all(&texts).await?;
    let judged = pairs.iter().zip(texts.chunks_exact(2)).zip(vectors.chunks_exact(2));
    let judged = judged.map(|((pair, texts), vectors)| {
        let verdict = Asked::new(&texts[0], Guards::Standard).compare(&texts[1]);
        let nearness: f32 = vectors[0].iter().zip(vectors[1].iter()).map(|(a, b)| a * b).sum();
        (source(pair), verdict.veto.is_none().then_some(nearness - verdict.doubt))
    });
    Ok(Negatives(judged.collect()))
}

fn source(pair: &LabelledPair) -> String {
    pair.source.clone().unwrap_or_default()
}

impl Negatives {
    pub(super) fn served(&self, threshold: f32) -> Served {
        let count = |is_meant: &dyn Fn(&str) -> bool| {
            let meant = self.0.iter().filter(|(source, _)| is_meant(source));
            let served =
                meant.clone().filter(|(_, worth)| worth.is_some_and(|worth| worth >= threshold)).count();
            (served, meant.count())
        };
        Served {
            never: count(&|source| {
                source.strip_prefix("checklist_diff:").is_some_and(|name| NEVER.contains(&name))
            }),
            paws: count(&|source| source == "paws_qqp_nondup"),
        }
    }
}

impl Served {
    pub(super) fn line(&self, threshold: f32) -> String {
        let ((never, of_never), (paws, of_paws)) = (self.never, self.paws);
        format!(
            "served at {threshold}: {never} of {of_never} CheckList negatives that change the meaning, {paws} of {of_paws} PAWS negatives"
        )
    }

    pub(super) fn missed(&self) -> Option<String> {
        let ((never, _), (paws, of_paws)) = (self.never, self.paws);
        let too_many = paws as f64 > MOST_PAWS * of_paws as f64;
        (never > 0 || too_many)
            .then(|| format!("{never} CheckList and {paws} of {of_paws} PAWS negatives are served"))
    }
}
