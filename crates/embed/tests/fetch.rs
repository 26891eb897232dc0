//! A model comes file by file, each by its checksum; what is wrong or torn leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![cfg(feature = "fetch")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mainstay_embed::fetch::{FetchError, Manifest, ManifestFile};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

const FILES: [(&str, &str); 2] = [("config.json", "{}"), ("1_Pooling/config.json", "{\"mean\": true}")];

/// A server of these files that writes down what it is asked for.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(files: HashMap<&'static str, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/models/m", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut lines = BufReader::new(&mut socket).lines();
                let request = lines.next_line().await.unwrap().unwrap_or_default();
                while lines.next_line().await.unwrap().is_some_and(|line| !line.is_empty()) {}
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let file = path.strip_prefix("/models/m/").and_then(|path| files.get(path));
                let (status, body) = file.map_or(("404 Not Found", &[][..]), |body| ("200 OK", body));
                log.lock().unwrap().push(path);
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
                socket.write_all(head.as_bytes()).await.unwrap();
                let _ = socket.write_all(body).await;
            }
        });
        Self { base, asked }
    }

    async fn of_the_files() -> Self {
        Self::start(FILES.iter().map(|(path, text)| (*path, text.as_bytes().to_vec())).collect()).await
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn manifest(server: &Server) -> Manifest {
    let file = |(path, text): &(&str, &str)| ManifestFile::new(*path, text.len() as u64, sha256(text));
    Manifest::new("m", &server.base, FILES.iter().map(file).collect())
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files_in(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files_in(&path) } else { 1 }
        })
        .sum()
}

#[tokio::test]
async fn every_file_comes_and_comes_once() {
    let (server, models) = (Server::of_the_files().await, tempfile::tempdir().unwrap());
    let mut done = HashMap::new();
    let fetched = manifest(&server)
        .fetch(models.path(), |progress| {
            done.insert(progress.path.to_owned(), (progress.done, progress.bytes));
        })
        .await;
    let folder = fetched.unwrap();
    assert_eq!(folder, models.path().join("m"));
    for (path, text) in FILES {
        assert_eq!(std::fs::read_to_string(folder.join(path)).unwrap(), text);
        assert_eq!(done[path], (text.len() as u64, text.len() as u64));
    }
    assert_eq!(server.asked(), 2);

    manifest(&server).fetch(models.path(), |_| {}).await.unwrap();
    assert_eq!(server.asked(), 2, "what is there and right is kept");
    std::fs::write(folder.join("config.json"), "[]").unwrap();
    manifest(&server).fetch(models.path(), |_| {}).await.unwrap();
    assert_eq!(server.asked(), 3, "what was changed is fetched again");
    assert_eq!(std::fs::read_to_string(folder.join("config.json")).unwrap(), "{}");
}

#[tokio::test]
async fn a_file_that_is_not_the_expected_one_is_not_kept() {
    for served in ["[]", "{", "{} and much more"] {
        let server = Server::start(HashMap::from([("config.json", served.as_bytes().to_vec())])).await;
        let models = tempfile::tempdir().unwrap();
        let error = manifest(&server).fetch(models.path(), |_| {}).await.unwrap_err();
        assert!(matches!(error, FetchError::NotTheFile { .. }), "{served:?}: {error}");
        assert_eq!(files_in(models.path()), 0, "{served:?}");
    }
}

#[tokio::test]
async fn a_missing_file_and_a_server_that_is_not_there_are_told() {
    let server = Server::start(HashMap::new()).await;
    let models = tempfile::tempdir().unwrap();
    let error = manifest(&server).fetch(models.path(), |_| {}).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }), "{error}");
    let nowhere = manifest(&server).from_base("http://127.0.0.1:1");
    let error = nowhere.fetch(models.path(), |_| {}).await.unwrap_err();
    assert!(matches!(error, FetchError::Network { .. }), "{error}");
    assert_eq!(files_in(models.path()), 0);
}

#[tokio::test]
async fn a_manifest_cannot_write_outside_its_folder() {
    let (server, models) = (Server::of_the_files().await, tempfile::tempdir().unwrap());
    for path in ["../escaped", "/tmp/escaped", "a/../../escaped"] {
        let mut wrong = manifest(&server);
        wrong.files[0].path = path.to_owned();
        assert!(matches!(wrong.fetch(models.path(), |_| {}).await.unwrap_err(), FetchError::Path { .. }));
        let mut wrong = manifest(&server);
        wrong.name = path.to_owned();
        assert!(matches!(wrong.fetch(models.path(), |_| {}).await.unwrap_err(), FetchError::Path { .. }));
    }
    assert_eq!(server.asked(), 0);
}

/// The files of the wheel that the tests run on are those of the hub: one set of checksums for both.
#[test]
fn the_known_checksums_are_those_of_the_real_model() {
    let Some(folder) = common::minilm() else { return };
    let known = mainstay_embed::fetch::known("all-MiniLM-L6-v2").unwrap();
    for file in known.files {
        let bytes = std::fs::read(folder.join(&file.path)).unwrap();
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((bytes.len() as u64, found), (file.bytes, file.sha256), "{}", file.path);
    }
}

mod common;
