//! The rules are checked once, and every default is a number.

use std::time::Duration;

use mainstay_rescue::{HoldBack, InvalidConfig, ModelRules, RescueConfig, RescueLayer, RescuePolicy, Rules};

#[test]
fn the_defaults_are_those_of_the_docs() {
    let rules = Rules::default();
    assert!(rules.policies.is_empty() && rules.hold_back.is_none());
    assert_eq!((rules.rescues, rules.within, rules.keep), (2, Duration::from_secs(30), 262_144));
    let HoldBack { chunks, bytes, time, .. } = HoldBack::default();
    assert_eq!((chunks, bytes, time), (16, 1024, Duration::from_millis(250)));
    let standard = RescueConfig::standard().build_config().unwrap();
    let expected = [RescuePolicy::Resume, RescuePolicy::Restart, RescuePolicy::Fail];
    assert_eq!(standard.rules("any").policies, expected);
    assert_eq!(expected.map(RescuePolicy::as_str), ["resume", "restart", "fail"]);
    assert!(format!("{:?}", RescueLayer::standard()).contains("Restart"));
}

#[test]
fn a_model_has_its_own_where_it_says_so() {
    let config = RescueConfig::standard()
        .rescues(3)
        .hold_back(HoldBack::new())
        .model("o3", ModelRules::new().policies([RescuePolicy::Restart]).within(Duration::from_secs(120)))
        .model("tiny", ModelRules::new().policies([]).hold_back(None).rescues(1).keep(10))
        .build_config()
        .unwrap();
    let o3 = config.rules("o3");
    assert_eq!((&*o3.policies, o3.within), (&[RescuePolicy::Restart][..], Duration::from_secs(120)));
    assert_eq!((o3.rescues, o3.hold_back), (3, Some(HoldBack::default())));
    let tiny = config.rules("tiny");
    assert_eq!((tiny.policies.len(), tiny.rescues, tiny.keep, tiny.hold_back), (0, 1, 10, None));
    assert_eq!(config.rules("other").policies.len(), 3);
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    use RescuePolicy::{Fail, Restart, Resume};
    let new = RescueConfig::builder;
    let setting = |builder: mainstay_rescue::RescueBuilder| match builder.build_config().unwrap_err() {
        InvalidConfig::OutOfBounds { setting, .. } => setting,
        other => panic!("{other}"),
    };
    assert_eq!(setting(new().rescues(0)), "rescues");
    assert_eq!(setting(new().rescues(11)), "rescues");
    assert_eq!(setting(new().within(Duration::ZERO)), "within");
    assert_eq!(setting(new().within(Duration::from_secs(3601))), "within");
    assert_eq!(setting(new().keep(0)), "keep");
    assert_eq!(setting(new().keep(1 << 30)), "keep");
    assert_eq!(setting(new().hold_back(HoldBack::new().chunks(0))), "hold_back.chunks");
    assert_eq!(setting(new().hold_back(HoldBack::new().bytes(2 << 20))), "hold_back.bytes");
    assert_eq!(setting(new().hold_back(HoldBack::new().time(Duration::from_secs(61)))), "hold_back.time");
    let twice = new().policies([Resume, Restart, Resume]).build().unwrap_err();
    assert_eq!(twice, InvalidConfig::PolicyTwice { policy: Resume, model: String::new() });
    let after = new().model("m", ModelRules::new().policies([Fail, Restart])).build().unwrap_err();
    assert_eq!(after, InvalidConfig::AfterFail { model: "m".into() });
    assert_eq!(after.to_string(), "the policies of \"m\" go on after fail; put it last or leave it out");
    let both = new().model("m", ModelRules::new()).model("m", ModelRules::new()).build().unwrap_err();
    assert_eq!(both, InvalidConfig::ModelTwice { model: "m".into() });
    let zero = new().rescues(0).build().unwrap_err().to_string();
    assert_eq!(zero, "rescues of all models is 0; it must be from 1 to 10");
}
