#![allow(clippy::unwrap_used)]

use std::net::TcpListener;

use super::*;

/// The tables of every kind of place where the configuration keeps something, with servers at `server` and files in `folder`.
fn places(server: &str, folder: &str) -> Vec<String> {
    let (redis, postgres) = (format!("redis://{server}/0"), format!("postgresql://nobody@{server}/none"));
    let semantic = "[semantic_cache]\nembedder = \"sim/embed\"\ndimensions = 64\n";
    let secret = "secret = \"0123456789abcdef0123456789abcdef\"";
    let budget = "[budget]\nstore";
    [
        "[cache]\n".to_owned(),
        format!("[cache]\nredis_url = \"{redis}\"\n"),
        semantic.to_owned(),
        format!("{semantic}redis_url = \"{redis}\"\n"),
        format!("{semantic}postgres_url = \"{postgres}\"\n"),
        format!("{semantic}folder = \"{folder}/answers\"\n"),
        format!("{budget} = \"memory\"\n"),
        format!("{budget} = \"journal\"\npath = \"{folder}/budget\"\n"),
        format!("{budget} = \"redis\"\nurl = \"{redis}\"\n"),
        format!("{budget} = \"postgres\"\nurl = \"{postgres}\"\n"),
        // With a budget in the same place.
        format!("[keys]\nfile = \"{folder}/keys.json\"\n"),
        format!("[keys]\nredis_url = \"{redis}\"\n{secret}\n"),
        format!("[keys]\npostgres_url = \"{postgres}\"\n{secret}\n"),
    ]
    .into()
}

// S2: where a store is away the gateway starts all the same. There is no runtime yet when it makes its client, so a store that
// reaches for one, or for its server, fails here.
#[test]
fn a_client_is_made_with_any_store_before_there_is_a_runtime_and_without_its_server() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("answers")).unwrap();
    let mut places = places(&server, folder.path().to_str().unwrap());
    // All that is in one kind of server, at once.
    for kind in ["redis", "postgres"] {
        let shared = places
            .iter()
            .filter(|tables| tables.contains(&format!("\"{kind}")) && !tables.contains("folder"));
        places.push(shared.cloned().collect());
    }
    for tables in places {
        let file = folder.path().join("mainstay.toml");
        std::fs::write(&file, format!("[providers.sim]\n{tables}")).unwrap();
        let config = read_config(&file).unwrap();
        let guard = guard(&config).unwrap_or_else(|failure| panic!("{tables}: {failure}"));
        let client = client(&config).unwrap_or_else(|failure| panic!("{tables}: {failure}"));
        assert_eq!(guard.is_some(), tables.contains("[keys]"));
        assert_eq!(client.exact_cache().is_some(), tables.contains("[cache]"));
        assert_eq!(client.semantic_cache().is_some(), tables.contains("[semantic_cache]"));
        assert_eq!(client.budget().is_some(), tables.contains("[budget]") || tables.contains("[keys]"));
        // Also while a gateway has its files open.
        check_command(&file).unwrap_or_else(|failure| panic!("{tables}: {failure}"));
        drop((client, guard));
        let asked = silent.accept().map(drop).unwrap_err();
        assert_eq!(asked.kind(), std::io::ErrorKind::WouldBlock, "{tables}");
    }
}

#[test]
fn a_check_looks_for_the_folder_of_answers_and_makes_no_file_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, answers) = (folder.path().join("mainstay.toml"), folder.path().join("answers"));
    let tables = places("127.0.0.1:1", folder.path().to_str().unwrap());
    let table = tables.iter().find(|tables| tables.contains("answers")).unwrap();
    std::fs::write(&file, format!("[providers.sim]\n{table}")).unwrap();
    let failure = check_command(&file).unwrap_err();
    assert!(failure.contains("semantic_cache.folder: there is no folder"), "{failure}");
    std::fs::create_dir(&answers).unwrap();
    check_command(&file).unwrap();
    models_command(&ConfigFile { config: Some(file) }).unwrap();
    assert_eq!(std::fs::read_dir(&answers).unwrap().count(), 0);
}
