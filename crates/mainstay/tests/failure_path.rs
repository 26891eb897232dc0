//! The default stack as a configuration makes it: what a caller sees when deployments fail.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::time::Duration;

use mainstay::{Call, Client, Config, EmbedCall, EmbedRequest, Error, ErrorKind};
use tokio::time::Instant;

/// A client with this configuration and the simulated provider, whose models say how they fail.
fn client(models: &str) -> Client {
    let config = Config::from_toml(&format!("[providers.sim]\n[providers.other]\nkind = \"sim\"\n{models}"));
    Client::from_config(&config.unwrap_or_else(|problems| panic!("{problems}"))).unwrap()
}

async fn ask(client: &Client, model: &str) -> Result<mainstay::Answer, Error> {
    client.chat(Call::ask(model, "one two three four five six")).await
}

async fn stream(client: &Client, model: &str) -> Result<String, Error> {
    let mut answer = client.stream(Call::ask(model, "one two three four five six")).await?;
    let mut text = String::new();
    while let Some(chunk) = answer.next().await {
        text.push_str(chunk?.text());
    }
    Ok(text)
}

// S1.4, S1.6
#[tokio::test(start_paused = true)]
async fn a_fallback_answers_when_all_deployments_have_failed_and_the_reply_names_it() {
    let client = client(
        "[models.main]\nfallbacks = [\"backup\"]\n\
         deployments = [{ model = \"sim/error-503\" }, { model = \"other/error-500\" }]\n\
         [models.backup]\ndeployments = [{ model = \"sim/echo\" }]\n",
    );
    let answer = ask(&client, "main").await.unwrap();
    assert_eq!(answer.text(), "one two three four five six");
    assert_eq!(answer.head.deployment.as_deref(), Some("sim/echo"));
    assert!(answer.head.attempts >= 3, "{}", answer.head.attempts);
}

// S1.6
#[tokio::test(start_paused = true)]
async fn when_all_fail_the_error_lists_each_providers_own() {
    let client = client(
        "[router]\nnum_retries = 0\n[models.main]\n\
         deployments = [{ model = \"sim/error-503\", order = 1 }, { model = \"other/error-500\", order = 2 }]\n",
    );
    let error = ask(&client, "main").await.unwrap_err();
    let each: Vec<_> =
        error.attempts().iter().map(|error| (error.deployment().unwrap(), error.status())).collect();
    assert_eq!(each, [("sim/error-503", Some(503)), ("other/error-500", Some(500))]);
}

// S1.5: two retries are three attempts in all.
#[tokio::test(start_paused = true)]
async fn num_retries_counts_the_attempts_after_the_first() {
    for (retries, attempts) in [(0, 1), (2, 3), (4, 5)] {
        let client = client(&format!(
            "[router]\nnum_retries = {retries}\nfailures = 100\n[models.main]\ndeployments = [{{ model = \"sim/error-500\" }}]\n"
        ));
        let call = Call::ask("main", "hello");
        client.chat(call.clone()).await.unwrap_err();
        assert_eq!(call.context().attempts.len(), attempts, "{retries} retries");
    }
}

// S1.5, S3.2: the fourth failure within a minute sends calls to the fallback without touching the deployment.
#[tokio::test(start_paused = true)]
async fn allowed_fails_and_cooldown_time_have_litellms_meaning() {
    let client = client(
        "[router]\nnum_retries = 0\nallowed_fails = 3\ncooldown_time = \"60s\"\n\
         [models.main]\nfallbacks = [\"backup\"]\ndeployments = [{ model = \"sim/error-500\" }]\n\
         [models.backup]\ndeployments = [{ model = \"sim/echo\" }]\n",
    );
    let attempts = async || {
        let call = Call::ask("main", "hello");
        client.chat(call.clone()).await.unwrap();
        call.context().attempts.len()
    };
    for _ in 0..4 {
        assert_eq!(attempts().await, 2);
    }
    assert_eq!(attempts().await, 1, "it rests");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(attempts().await, 2, "one call tries it again");
    assert_eq!(attempts().await, 1, "and it rests again");
}

// S8.2: the silent deployment is asked once, and the fallback answers after one timeout.
#[tokio::test(start_paused = true)]
async fn a_silent_deployment_is_left_after_one_first_token_timeout() {
    let client = client(
        "[router]\nfirst_token_timeout = \"2s\"\n[models.main]\nfallbacks = [\"backup\"]\n\
         deployments = [{ model = \"sim/hang\" }]\n[models.backup]\ndeployments = [{ model = \"sim/echo\" }]\n",
    );
    let begun = Instant::now();
    assert_eq!(stream(&client, "main").await.unwrap(), "one two three four five six");
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
}

// T6 with the rescue that the default stack has: the caller gets the whole answer, once.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_is_taken_over_by_another_deployment() {
    let models = "[models.main]\nfallbacks = [\"backup\"]\ndeployments = [{ model = \"sim/cut\" }]\n\
                  [models.backup]\ndeployments = [{ model = \"sim/echo\" }]\n";
    assert_eq!(stream(&client(models), "main").await.unwrap(), "one two three four five six");
    // Without rescue it is an error, never an end.
    let failing = client(&format!("[router]\nrescue = [\"fail\"]\n{models}"));
    assert_eq!(stream(&failing, "main").await.unwrap_err().kind(), ErrorKind::Network);
}

// S2.1: what the provider refuses for its content is not sent again, except to the models named for that.
#[tokio::test(start_paused = true)]
async fn filtered_content_goes_to_the_content_policy_fallbacks_only() {
    let models = "[models.main]\ndeployments = [{ model = \"sim/error-filter\" }, { model = \"other/echo\", order = 2 }]\n\
                  fallbacks = [\"backup\"]\n[models.backup]\ndeployments = [{ model = \"sim/echo\" }]\n";
    let call = Call::ask("main", "hello");
    let error = client(models).chat(call.clone()).await.unwrap_err();
    assert_eq!((error.kind(), call.context().attempts.len()), (ErrorKind::ContentFiltered, 1));

    let with = models.replace("fallbacks =", "content_policy_fallbacks =");
    assert_eq!(ask(&client(&with), "main").await.unwrap().head.deployment.as_deref(), Some("sim/echo"));
}

// S2.1, B6: a rejected key is told as one to every caller, not only to the first, and the provider is left alone.
#[tokio::test(start_paused = true)]
async fn a_rejected_key_is_told_to_every_caller() {
    for (model, kind) in
        [("sim/error-401", ErrorKind::Authentication), ("sim/error-quota", ErrorKind::QuotaExhausted)]
    {
        let client = client("");
        for asked in [1, 0, 0] {
            let call = Call::ask(model, "hello");
            let error = client.chat(call.clone()).await.unwrap_err();
            assert_eq!((error.kind(), call.context().attempts.len()), (kind, asked), "{model}");
        }
        // What was put right is noticed within a minute.
        tokio::time::sleep(Duration::from_secs(61)).await;
        let call = Call::ask(model, "hello");
        client.chat(call.clone()).await.unwrap_err();
        assert_eq!(call.context().attempts.len(), 1);
    }
}

// S1.2: a physical model in a request runs through the same layers.
#[tokio::test(start_paused = true)]
async fn a_model_without_a_name_here_is_retried_too() {
    let client = client("[router]\nfailures = 100\n");
    let call = Call::ask("sim/error-500", "hello");
    client.chat(call.clone()).await.unwrap_err();
    assert_eq!(call.context().attempts.len(), 3);
    assert_eq!(ask(&client, "sim/echo").await.unwrap().text(), "one two three four five six");
    let unknown = ask(&client, "nobody/x").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::ModelNotFound);
    assert!(unknown.message().contains("other, sim"), "{}", unknown.message());
}

// S1.4
#[tokio::test(start_paused = true)]
async fn embeddings_try_every_deployment() {
    let client = client(
        "[models.embed]\ndeployments = [{ model = \"sim/error-500\", order = 1 }, { model = \"other/embed\", order = 2 }]\n",
    );
    let reply = client.embed(EmbedCall::new(EmbedRequest::new("embed", vec!["hello".into()]))).await.unwrap();
    assert_eq!(reply.head.deployment.as_deref(), Some("other/embed"));
}

#[test]
fn every_problem_is_told_at_its_line_in_the_configurations_own_words() {
    let text = "[router]\ncooldown_time = \"0s\"\n\n[models.main]\nfallbacks = [\"bakup\"]\nretry_base = \"50s\"\n\
                deployments = [{ model = \"sim/echo\", wait = 1 }]\n\n[models.backup]\nfallbacks = [\"bakup\"]\n\
                deployments = []\nstrategy = \"least\"\n";
    let problems = Config::from_toml(text).unwrap_err();
    let told: Vec<_> = problems.iter().map(|problem| (problem.line, problem.message.as_str())).collect();
    let has = |line, text: &str| told.iter().any(|(at, message)| *at == line && message.contains(text));
    assert!(has(1, "cooldown_time must be above zero"), "{told:#?}");
    assert!(has(7, "wait"), "{told:#?}");
    assert!(has(12, "least-busy"), "{told:#?}");
    let text = text.replace(", wait = 1", "").replace("strategy = \"least\"\n", "");
    let problems = Config::from_toml(&text).unwrap_err().to_string();
    for expected in ["retry_base of 50s", "\"bakup\" is no other model", "deployments is empty"] {
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
}
