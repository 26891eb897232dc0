//! What was written arrives, in order, whatever the peer does.
#![allow(clippy::unwrap_used)] // clippy takes a test's helpers for library code

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use mainstay_cork::Corked;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

async fn pair() -> (Corked, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    let ours = ours.unwrap();
    ours.set_nodelay(true).unwrap();
    (Corked::new(ours), theirs.unwrap().0)
}

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    timeout(SOON, stream.read_exact(&mut read)).await.expect("the peer got nothing").unwrap();
    read
}

#[tokio::test]
async fn a_small_write_arrives_without_another_or_a_flush() {
    let (mut ours, mut theirs) = pair().await;
    ours.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut theirs, 5).await, b"hello");
}

#[tokio::test]
async fn small_and_large_writes_keep_their_order() {
    let (mut ours, mut theirs) = pair().await;
    let mut expected = Vec::new();
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        timeout(SOON, theirs.read_to_end(&mut all)).await.unwrap().unwrap();
        all
    });
    for (place, size) in [1, 700, 20_000, 3, 16_384, 16_385, 1, 200_000, 9].into_iter().enumerate() {
        let bytes = vec![place as u8; size];
        ours.write_all(&bytes).await.unwrap();
        expected.extend(bytes);
    }
    ours.shutdown().await.unwrap();
    assert!(reader.await.unwrap() == expected);
}

#[tokio::test]
async fn the_writes_of_one_round_all_arrive_each_on_its_own_stream() {
    let mut peers = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..30 {
        let (stream, peer) = pair().await;
        ours.push(stream);
        peers.push(peer);
    }
    for (place, stream) in ours.iter_mut().enumerate() {
        stream.write_all(&[place as u8; 40]).await.unwrap();
    }
    for (place, peer) in peers.iter_mut().enumerate() {
        assert_eq!(read(peer, 40).await, [place as u8; 40]);
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_back_its_writer_and_nobody_else() {
    let (mut slow, mut unread) = pair().await;
    let (mut quick, mut peer) = pair().await;
    let mut sent = 0_usize;
    // Until the system takes no more and the stream keeps the rest.
    while let Ok(written) = timeout(Duration::from_millis(200), slow.write(&[7; 10_000])).await {
        sent += written.unwrap();
        assert!(sent < 100_000_000, "an unread stream takes everything");
        tokio::task::yield_now().await;
    }
    quick.write_all(b"past it").await.unwrap();
    assert_eq!(read(&mut peer, 7).await, b"past it");
    let writer = tokio::spawn(async move {
        slow.write_all(b"the end").await.unwrap();
        slow.shutdown().await.unwrap();
    });
    let mut all = Vec::new();
    timeout(SOON, unread.read_to_end(&mut all)).await.unwrap().unwrap();
    writer.await.unwrap();
    assert_eq!(all.len(), sent + 7);
    assert!(all[..sent].iter().all(|byte| *byte == 7) && all.ends_with(b"the end"));
}

#[tokio::test]
async fn a_flush_waits_for_what_the_system_did_not_take() {
    let (mut ours, mut theirs) = pair().await;
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_millis(200), ours.write(&[1; 10_000])).await {
        sent += written.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(timeout(Duration::from_millis(50), ours.flush()).await.is_err());
    let reader = tokio::spawn(async move {
        let got = read(&mut theirs, sent).await;
        (got.len(), theirs)
    });
    timeout(SOON, ours.flush()).await.expect("the flush never ended").unwrap();
    assert_eq!(reader.await.unwrap().0, sent);
}

#[tokio::test]
async fn what_was_kept_is_sent_when_the_stream_is_dropped() {
    let (mut ours, mut theirs) = pair().await;
    ours.write_all(b"the last words").await.unwrap();
    drop(ours);
    let mut all = Vec::new();
    timeout(SOON, theirs.read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(all, b"the last words");
}

#[test]
fn what_was_kept_is_sent_when_the_runtime_ends() {
    use std::io::Read as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut ours = Corked::new(TcpStream::connect(address).await.unwrap());
        ours.write_all(b"good bye").await.unwrap();
    });
    drop(runtime);
    let mut all = Vec::new();
    listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"good bye");
}

/// Two runtimes take turns on one thread: neither waits for the other.
#[test]
fn each_runtime_of_a_thread_sends_its_own_writes() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (one, other) = (runtime(), runtime());
    for _ in 0..3 {
        for runtime in [&one, &other] {
            runtime.block_on(async {
                let (mut ours, mut theirs) = pair().await;
                ours.write_all(b"in turn").await.unwrap();
                assert_eq!(read(&mut theirs, 7).await, b"in turn");
            });
        }
    }
    // What one has left unsent keeps nobody else waiting.
    let (_kept, mut late) = one.block_on(async {
        let (mut ours, theirs) = pair().await;
        ours.write_all(b"left").await.unwrap();
        (ours, theirs.into_std().unwrap())
    });
    other.block_on(async {
        let (mut ours, mut theirs) = pair().await;
        ours.write_all(b"with it").await.unwrap();
        assert_eq!(read(&mut theirs, 7).await, b"with it");
    });
    late.set_nonblocking(false).unwrap();
    let mut left = [0; 4];
    std::io::Read::read_exact(&mut late, &mut left).unwrap();
    assert_eq!(&left, b"left");
    drop(one);
    other.block_on(async {
        let (mut ours, mut theirs) = pair().await;
        ours.write_all(b"alone").await.unwrap();
        assert_eq!(read(&mut theirs, 5).await, b"alone");
    });
}

#[tokio::test]
async fn a_peer_that_is_gone_is_told_by_a_later_write() {
    let (mut ours, theirs) = pair().await;
    theirs.set_zero_linger().unwrap();
    drop(theirs);
    let told = async {
        loop {
            if let Err(error) = ours.write_all(b"anybody there?").await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let error = timeout(SOON, told).await.expect("no write failed");
    assert!(
        matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
        "{error}"
    );
    assert!(ours.flush().await.is_err(), "the error is forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_from_many_threads_keep_their_order_on_each_stream() {
    const WRITES: u32 = 2_000;
    let mut ends = Vec::new();
    for _ in 0..16 {
        let (mut ours, mut theirs) = pair().await;
        ends.push(tokio::spawn(async move {
            for number in 0..WRITES {
                ours.write_all(&number.to_be_bytes()).await.unwrap();
                if number % 3 == 0 {
                    tokio::task::yield_now().await; // another thread may go on
                }
            }
            ours.shutdown().await.unwrap();
        }));
        ends.push(tokio::spawn(async move {
            let mut all = Vec::new();
            timeout(SOON, theirs.read_to_end(&mut all)).await.unwrap().unwrap();
            let numbers: Vec<u32> =
                all.chunks(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
            assert!(numbers == (0..WRITES).collect::<Vec<_>>());
        }));
    }
    for end in ends {
        end.await.unwrap();
    }
}

#[tokio::test]
async fn the_peers_end_is_seen_after_all_that_it_sent() {
    let (mut ours, mut theirs) = pair().await;
    let looked = poll_fn(|task| Poll::Ready(ours.poll_end(task))).await;
    assert!(looked.is_pending(), "nothing has ended");
    theirs.write_all(b"last").await.unwrap();
    theirs.shutdown().await.unwrap();
    ours.read_exact(&mut [0]).await.unwrap();
    let looked = poll_fn(|task| Poll::Ready(ours.poll_end(task))).await;
    assert!(looked.is_pending(), "three bytes are left");
    ours.read_exact(&mut [0; 3]).await.unwrap();
    timeout(SOON, poll_fn(|task| ours.poll_end(task))).await.expect("the end is not seen");
}
