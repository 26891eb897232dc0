//! What a support desk is asked: a few matters often, many seldom, each in many wordings, and some questions that nobody asks
//! again. Made up for this experiment; nothing of it was used to tune the cache.

use fastrand::Rng;

/// What customers want to do. Several are near to each other and need another answer.
pub(super) const MATTERS: [&str; 60] = [
    "reset my password",
    "change my password",
    "cancel my order",
    "cancel my subscription",
    "return a parcel",
    "track my parcel",
    "change my delivery address",
    "change my billing address",
    "update my credit card",
    "delete my account",
    "close my account for a while",
    "download an invoice",
    "get a refund",
    "exchange a product",
    "pay by bank transfer",
    "pay by instalments",
    "redeem a voucher",
    "buy a voucher",
    "turn on two-factor login",
    "turn off two-factor login",
    "turn on the newsletter",
    "turn off the newsletter",
    "upgrade my plan",
    "downgrade my plan",
    "add a user to my team",
    "remove a user from my team",
    "export my data",
    "import my contacts",
    "change the language of the app",
    "change the currency of the shop",
    "contact a person in support",
    "complain about a delivery",
    "report a damaged product",
    "report a missing product",
    "claim the warranty",
    "extend the warranty",
    "order a spare part",
    "book a repair",
    "move my appointment",
    "cancel my appointment",
    "connect the device to wifi",
    "update the firmware",
    "reset the device to factory settings",
    "pair a second device",
    "share a playlist",
    "watch offline",
    "change the quality of the video",
    "add a child profile",
    "set a spending limit",
    "see my past orders",
    "order again what I bought last time",
    "send a parcel as a gift",
    "collect a parcel at the shop",
    "deliver on a Saturday",
    "ship to another country",
    "get a price for large orders",
    "open a business account",
    "enter a tax number",
    "become a reseller",
    "apply for a job",
];

/// How they say it.
pub(super) const WORDINGS: [(&str, &str); 14] = [
    ("How do I ", "?"),
    ("How can I ", "?"),
    ("How to ", "?"),
    ("how do i ", ""),
    ("What is the way to ", "?"),
    ("What do I have to do to ", "?"),
    ("Can you tell me how to ", "?"),
    ("Could you explain how I can ", "?"),
    ("Please tell me how to ", "."),
    ("I want to ", ", how do I do that?"),
    ("I would like to ", ". How does it work?"),
    ("What are the steps to ", "?"),
    ("Hello, how can I ", "?"),
    ("I need help to ", "."),
];

/// The share of questions that nobody asks again.
const ONCE: f64 = 0.05;

/// A question and what it is about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) text: String,
    pub(super) matter: usize,
}

/// The questions in the order in which they are asked.
pub(super) fn questions(number: usize, seed: u64) -> Vec<Question> {
    let mut rng = Rng::with_seed(seed);
    // The matter of rank r is asked about with weight 1/(r + 8), the wording of rank w used with weight 1/(w + 2).
    let matters: Vec<f64> = (0..MATTERS.len()).map(|rank| 1.0 / (rank as f64 + 8.0)).collect();
    let wordings: Vec<f64> = (0..WORDINGS.len()).map(|rank| 1.0 / (rank as f64 + 2.0)).collect();
    let mut order: Vec<usize> = (0..MATTERS.len()).collect();
    rng.shuffle(&mut order);
    let mut asked = Vec::with_capacity(number);
    for at in 0..number {
        if rng.f64() < ONCE {
            let order_number = 100_000 + rng.u32(..900_000);
            let text = format!("Why has my order {order_number} not arrived?");
            asked.push(Question { text, matter: MATTERS.len() + at });
            continue;
        }
        let matter = order[drawn(&matters, &mut rng)];
        let (before, after) = WORDINGS[drawn(&wordings, &mut rng)];
        asked.push(Question { text: format!("{before}{}{after}", MATTERS[matter]), matter });
    }
    asked
}

fn drawn(weights: &[f64], rng: &mut Rng) -> usize {
    let mut left = rng.f64() * weights.iter().sum::<f64>();
    for (at, weight) in weights.iter().enumerate() {
        left -= weight;
        if left <= 0.0 {
            return at;
        }
    }
    weights.len() - 1
}
