//! Each guard sees what it is for, and says its name.

use mainstay_cache_semantic::{Asked, Difference, Guards};
use proptest::prelude::*;

fn veto(a: &str, b: &str) -> Option<Difference> {
    Asked::new(a, Guards::Standard).compare(b).veto
}

fn all_vetoed(difference: Difference, pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        assert_eq!(veto(a, b), Some(difference), "{a} / {b}");
        assert_eq!(veto(b, a), Some(difference), "{b} / {a}");
    }
}

fn none_vetoed(pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        assert_eq!(veto(a, b), None, "{a} / {b}");
        assert_eq!(veto(b, a), None, "{b} / {a}");
    }
}

#[test]
fn numbers_years_amounts_and_codes() {
    all_vetoed(
        Difference::Number,
        &[
            ("What is 1 + 1?", "What is 21 + 1?"),
            ("How do I run 5 km in 30 minutes?", "How do I run 10 km in 30 minutes?"),
            ("Who won the cup in 2014?", "Who won the cup in 2018?"),
            ("Can I carry $5,000 abroad?", "Can I carry $10,000 abroad?"),
            ("Is the A320 safe?", "Is the A380 safe?"),
            ("What does error 404 mean?", "What does error mean?"),
        ],
    );
    none_vetoed(&[
        ("How do I buy 10 licences?", "How can I buy ten licences?"),
        ("Is 1,000 enough?", "Is 1000 enough?"),
        ("Is the shop open at 3pm?", "Is the shop open at 3 pm?"),
    ]);
}

#[test]
fn negations() {
    all_vetoed(
        Difference::Negation,
        &[
            ("Is it legal to fish here?", "Is it not legal to fish here?"),
            ("What should a friend worry about?", "What shouldn't a friend worry about?"),
            ("How do I bake bread with yeast?", "How do I never bake bread with yeast?"),
            ("How can I become a scared person?", "How can I become a person who is not scared?"),
            ("Can I cook it with salt?", "Can I cook it without salt?"),
            ("How long can one live without food?", "How long can one live on food without water?"),
        ],
    );
    none_vetoed(&[
        ("I can't prove my identity.", "I have trouble proving my identity."),
        ("Do you know whether it is open?", "Do you know whether it is open or not?"),
    ]);
}

#[test]
fn opposites() {
    all_vetoed(
        Difference::Opposite,
        &[
            ("Should I eat before a run?", "Should I eat after a run?"),
            ("How can I become more patient?", "How can I become less patient?"),
            ("How do I enable logging?", "How do I disable logging?"),
            ("Is he taller than his sister?", "Is she taller than his sister?"),
            ("How can I become patient?", "How can I become impatient?"),
            ("Do you ship to Norway?", "Do you ship from Norway?"),
            ("How do I delete all my messages?", "How do I delete some of my messages?"),
        ],
    );
}

#[test]
fn two_of_one_sort() {
    all_vetoed(
        Difference::Sort,
        &[
            ("Can I feed my cat milk?", "Can I feed my hamster milk?"),
            ("Is the museum open on monday?", "Is the museum open on friday?"),
            ("How do I sort a list in java?", "How do I sort a list in python?"),
            ("Why does my knee hurt?", "Why does my elbow hurt?"),
        ],
    );
}

#[test]
fn names() {
    all_vetoed(
        Difference::Name,
        &[
            ("Do you ship to Norway?", "Do you ship to Sweden?"),
            ("Is Laura Gonzalez a nurse?", "Is Brittany Gutierrez a nurse?"),
            ("Which is better, Acme or Globex?", "Which is better, Acme, Globex or Initech?"),
        ],
    );
    none_vetoed(&[("What did Ada Lovelace write?", "What did Lovelace write?")]);
}

#[test]
fn and_is_not_or() {
    all_vetoed(Difference::Joint, &[("Is Ann a nurse or an author?", "Is Ann both a nurse and an author?")]);
}

#[test]
fn who_does_it_to_whom() {
    all_vetoed(Difference::Role, &[("Did Anna call Peter?", "Was Anna called by Peter?")]);
}

#[test]
fn what_is_was_and_will_be() {
    all_vetoed(
        Difference::Tense,
        &[
            ("Is Leo a teacher?", "Is Leo becoming a teacher?"),
            ("Is Leo a teacher?", "Did Leo use to be a teacher?"),
            ("Did the train stop in Lyon?", "Will the train stop in Lyon?"),
        ],
    );
}

#[test]
fn the_same_words_in_another_order() {
    all_vetoed(
        Difference::Order,
        &[
            ("How do I get from Rome to Florence?", "How do I get from Florence to Rome?"),
            ("Is Maria lying to Paul?", "Is Paul lying to Maria?"),
            (
                "How dangerous is a black snake with green spots?",
                "How dangerous is a green snake with black spots?",
            ),
            ("Does physical health benefit mental health?", "Does mental health benefit physical health?"),
            ("Is TCP faster than UDP?", "Is UDP faster than TCP?"),
        ],
    );
    none_vetoed(&[
        ("What is the difference between TCP and UDP?", "What is the difference between UDP and TCP?"),
        ("Which is better, a bike or a scooter?", "Which is better, a scooter or a bike?"),
        ("Which laptop is best for a student?", "Which is the best laptop for a student?"),
    ]);
}

#[test]
fn another_kind_of_answer() {
    all_vetoed(
        Difference::Asked,
        &[
            ("Why do plants make oxygen?", "How do plants make oxygen?"),
            ("When did the wall fall?", "Why did the wall fall?"),
            ("Who wrote the book?", "When was the book written?"),
        ],
    );
    none_vetoed(&[
        ("How do I order a card?", "What is the best way to order a card?"),
        ("Why is the sky blue?", "What is the reason the sky is blue?"),
        ("Where can I order a card?", "How can I order a card?"),
    ]);
}

#[test]
fn the_same_said_otherwise_is_no_difference() {
    none_vetoed(&[
        (
            "Is the United States a republic or a monarchy?",
            "Is the United States of America a republic or a monarchy?",
        ),
        ("Which films are about the Second World War?", "Which films are about World War II?"),
        ("Which is better, Camry or Accord?", "Which is better: Accord or Toyota Camry?"),
        ("Where did this charge come from?", "What is the reason for this charge?"),
        ("How is a plane able to fly?", "Why does a plane fly?"),
        ("Why doesn't Acme ship to Norway?", "Why does Acme not ship to Norway?"),
        ("I don't know how to return a parcel.", "How do I return a parcel?"),
        ("I can't figure out why my parcel is late.", "Why is my parcel late?"),
        ("What is the difference between tea and coffee?", "Does it make a difference, tea or coffee?"),
        ("Which course is good for learning online?", "Which course is good for online studying?"),
    ]);
    // Beside them what only looks like it.
    all_vetoed(
        Difference::Negation,
        &[("Why does Acme ship to Norway?", "Why doesn't Acme ship to Norway?")],
    );
    all_vetoed(Difference::Order, &[("Can those who smoke not drink?", "Can those who drink not smoke?")]);
    all_vetoed(Difference::Name, &[("Which is better, Camry or Accord?", "Which is better, Camry or Golf?")]);
    all_vetoed(Difference::Joint, &[("Can I take tea and coffee along?", "Can I take tea or coffee along?")]);
}

#[test]
fn all_but_one_and_the_second_are_heavy_doubts() {
    let doubt = |a: &str, b: &str| Asked::new(a, Guards::Standard).compare(b).doubt;
    assert!(doubt("What causes a headache?", "What causes a headache besides stress?") >= 0.05);
    assert!(doubt("Who is the tallest man?", "Who is the second tallest man?") >= 0.08);
    assert!(doubt("Who is the tallest man?", "Who is the tallest living man?") < 0.01);
}

#[test]
fn what_may_mean_the_same_is_a_doubt_and_strictly_a_veto() {
    for (a, b, difference) in [
        ("How do I reset my router?", "How do I reset my password?", Difference::Word),
        ("What are good books?", "What are good books about Prague?", Difference::Name),
        ("Why is diversity good?", "Is diversity good?", Difference::Asked),
        ("How do I verify my identity?", "I have trouble to verify my identity", Difference::Trouble),
    ] {
        let verdict = Asked::new(a, Guards::Standard).compare(b);
        assert_eq!((verdict.veto, verdict.because), (None, Some(difference)), "{a} / {b}");
        assert!(verdict.doubt > 0.0 && verdict.doubt < 0.2);
        assert_eq!(Asked::new(a, Guards::Strict).compare(b).veto, Some(difference), "{a} / {b}");
    }
}

#[test]
fn wordings_of_one_question_pass() {
    none_vetoed(&[
        ("How do I reset my password?", "How can I reset my password?"),
        ("What's the capital of Peru?", "What is the capital of Peru?"),
        ("How is SEO better than PPC?", "How's SEO better than PPC?"),
        ("What are the benefits of smoking?", "What are the benefits of msoking?"),
        ("Is it ok to organise a party?", "Is it OK to organize a party?"),
        ("Is that dog really on the bed?", "Is that dog on the bed?"),
        ("How do I learn C++?", "How can I learn C++?"),
        ("Pokémon games", "Pokemon games"),
    ]);
    assert_ne!(veto("How do I learn C++?", "How do I learn C#?"), None);
}

proptest! {
    /// Whatever is asked, comparing does not panic, and a text is the same as itself.
    #[test]
    fn any_text_can_be_compared(a in ".{0,80}", b in "[ a-zA-Z0-9'’.,?!+#%/-]{0,80}") {
        for guards in [Guards::Standard, Guards::Strict] {
            let verdict = Asked::new(&a, guards).compare(&b);
            prop_assert!(verdict.doubt >= 0.0 && verdict.doubt.is_finite());
            prop_assert_eq!(Asked::new(&a, guards).compare(&a).veto, None);
            prop_assert_eq!(Asked::new(&b, guards).compare(&b).doubt, 0.0);
        }
    }
}
