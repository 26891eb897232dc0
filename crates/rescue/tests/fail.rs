//! Fail: the caller is told, and a part is never passed off as the whole.

mod common;

use common::{TEXT, model, over, policies, read, says, streaming};
use mainstay_provider_core::{ErrorKind, Provider, Timer};
use mainstay_rescue::{RescueLayer, RescuePolicy};

// T6
#[tokio::test(start_paused = true)]
async fn the_bare_layer_hands_the_error_on_as_it_is() {
    for layer in [RescueLayer::default(), policies([]), policies([RescuePolicy::Fail])] {
        for after in 1..17 {
            let upstream = model([says(TEXT).cut(after).with(ErrorKind::Overloaded)]);
            let got = read(&over(&layer, &upstream), streaming()).await;
            got.assert_sound();
            let error = got.error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Overloaded);
            assert_eq!(error.message(), "the script says: overloaded");
            assert_eq!(upstream.counts().calls, 1);
        }
    }
}

// T6
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_never_ends_as_if_it_were_whole() {
    let upstream = model([says(TEXT).cut(3)]);
    let got = read(&over(&RescueLayer::default(), &upstream), streaming()).await;
    got.assert_sound();
    assert_eq!(got.text(), TEXT[..12]);
    assert_eq!(got.error.unwrap().kind(), ErrorKind::MalformedResponse);
}

// T6: event 0. What fails before its content is the call's own error, and for the retry layer.
#[tokio::test(start_paused = true)]
async fn what_breaks_before_its_first_word_is_no_stream_to_rescue() {
    for layer in [RescueLayer::default(), RescueLayer::standard()] {
        let upstream = model([says(TEXT).cut(0).with(ErrorKind::Overloaded)]);
        let error = over(&layer, &upstream).ask(streaming()).await.unwrap_err();
        assert_eq!((error.kind(), upstream.counts().calls), (ErrorKind::Overloaded, 1));
    }
}

// T7
#[tokio::test(start_paused = true)]
async fn a_whole_answer_goes_through_untouched_by_any_policy() {
    use mainstay_provider_core::Call;
    use mainstay_provider_core::test_kit::{Scripted, Step};
    let upstream = Scripted::new([Step::text(TEXT), Step::fail_with(ErrorKind::Timeout(Timer::Total))]);
    let provider = over(&RescueLayer::standard(), &upstream);
    let reply = provider.ask(Call::ask("m", "hi")).await.unwrap();
    assert!(!reply.is_stream() && reply.head.rescued.is_none());
    assert_eq!(reply.collect().await.unwrap().text(), TEXT);
    provider.ask(Call::ask("m", "hi")).await.unwrap_err();
    assert_eq!(upstream.counts().calls, 2, "an answer that fails before its content is for the retry layer");
}
