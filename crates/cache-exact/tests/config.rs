//! Settings are checked where they enter.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_cache_exact::{ExactCacheBuilder, ExactCacheConfig, ExactCacheLayer, InvalidConfig, Sharing};

fn refused(builder: ExactCacheBuilder) -> InvalidConfig {
    builder.build().expect_err("not taken")
}

#[test]
fn what_makes_no_sense_is_not_taken() {
    let builder = ExactCacheLayer::builder;
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    for (name, zero) in [
        ("ttl", builder().ttl(Duration::ZERO)),
        ("max_ttl", builder().max_ttl(Duration::ZERO)),
        ("store_timeout", builder().store_timeout(Duration::ZERO)),
        ("max_bytes", builder().max_bytes(0)),
        ("max_entry_bytes", builder().max_entry_bytes(0)),
        ("store_failures", builder().store_failures(0)),
    ] {
        assert_eq!(refused(zero), InvalidConfig::Zero { name });
    }
    assert_eq!(refused(builder().stale_for(400 * DAY)), InvalidConfig::TooLong { name: "stale_for" });
    assert_eq!(refused(builder().ttl(2 * DAY)), InvalidConfig::AboveMost { name: "ttl", most: "max_ttl" });
    assert_eq!(
        refused(builder().max_bytes(1000)),
        InvalidConfig::AboveMost { name: "max_entry_bytes", most: "max_bytes" }
    );
    assert_eq!(refused(builder().sharing(Sharing::Across("".into()))), InvalidConfig::NoName);
    assert!(builder().stale_for(Duration::ZERO).build().is_ok());
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = ExactCacheConfig::default();
    assert_eq!(
        (config.ttl.as_secs(), config.max_ttl.as_secs(), config.stale_for.as_secs()),
        (3_600, 86_400, 86_400)
    );
    assert_eq!((config.max_bytes, config.max_entry_bytes), (128 << 20, 1 << 20));
    assert_eq!((config.store_timeout.as_millis(), config.store_failures), (50, 3));
    assert_eq!(config.sharing(), Sharing::PerNamespace);
    assert!(config.single_flight && config.pace.is_zero());
}

#[cfg(feature = "serde")]
#[test]
fn it_reads_from_a_table() {
    let read = |text: &str| toml::from_str::<ExactCacheConfig>(text);
    assert_eq!(read("").unwrap(), ExactCacheConfig::default());
    let config = read("ttl = \"90m\"\npace = \"15ms\"\nmax_bytes = 1000000\nshare_across = \"docs\"\ntools = true\nstore_timeout = 0.02\n").unwrap();
    assert_eq!((config.ttl.as_secs(), config.pace.as_millis()), (5_400, 15));
    assert_eq!((config.max_bytes, config.store_timeout.as_millis()), (1_000_000, 20));
    assert_eq!(config.sharing(), Sharing::Across("docs".into()));
    assert!(config.tools);
    for wrong in ["tll = \"1h\"", "ttl = \"1 year\"", "ttl = -1", "max_bytes = -1"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
