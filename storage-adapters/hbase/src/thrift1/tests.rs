//! The pool against a scripted server: every way to fail, none to mix answers up.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use hbase_thrift::hbase::THbaseSyncClient;

use super::Call;
use super::connection::Fault;
use super::fake::{Act, Fake};
use super::pool::Pool;
use crate::config::HbaseConfig;

fn pool(servers: &[&Fake], edit: impl FnOnce(&mut HbaseConfig)) -> Arc<Pool> {
    let mut config = HbaseConfig {
        servers: servers.iter().map(|server| server.address.clone()).collect(),
        connect_timeout_ms: 500,
        read_timeout_ms: 150,
        write_timeout_ms: 100,
        retries: 0,
        ..HbaseConfig::default()
    };
    edit(&mut config);
    Pool::start(&config, Arc::new(|| 0))
}

async fn ask(pool: &Arc<Pool>) -> Result<String, Fault> {
    let act = |connection: &mut super::connection::Connection| {
        connection.ask(|client| client.get_cluster_id())
    };
    pool.call(Call::Read, act).await
}

async fn put(pool: &Arc<Pool>) -> Result<(), Fault> {
    let act = |connection: &mut super::connection::Connection| {
        connection
            .ask(|client| client.mutate_rows_ts(b"t".to_vec(), Vec::new(), 1, Default::default()))
    };
    pool.call(Call::Write, act).await
}

/// Waits until the servers that rest have been probed.
async fn alive(pool: &Arc<Pool>) {
    for _ in 0..100 {
        if pool.server_figures().iter().all(|server| server.alive) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server stays dead: {:?}", pool.refusing());
}

fn lost(result: Result<String, Fault>) {
    assert!(matches!(result, Err(Fault::Lost(_))), "{result:?}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let fake = Fake::start(&[]);
    let pool = pool(&[&fake], |_| {});
    for number in 1..=5 {
        assert_eq!(ask(&pool).await, Ok(format!("answer {number}")));
    }
    assert_eq!(fake.connections(), 1);
    let figures = pool.server_figures();
    assert_eq!((figures[0].idle, figures[0].in_use, figures[0].connects), (1, 0, 1));
}

/// The answer of a call that was given up is never the answer of the next.
#[tokio::test]
async fn a_late_answer_is_nobodys() {
    let fake = Fake::start(&[Act::Answer, Act::Late(Duration::from_millis(300))]);
    let pool = pool(&[&fake], |_| {});
    assert_eq!(ask(&pool).await, Ok("answer 1".into()));
    let began = Instant::now();
    let late = ask(&pool).await;
    assert!(matches!(late, Err(Fault::TimedOut(_))), "{late:?}");
    assert!(began.elapsed() < Duration::from_millis(290), "{:?}", began.elapsed());
    alive(&pool).await;
    // The late answer has been sent by the end of these.
    for number in 3..=9 {
        assert_eq!(ask(&pool).await, Ok(format!("answer {number}")));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let figures = pool.server_figures();
    assert_eq!((figures[0].dropped, figures[0].deaths, figures[0].revivals), (1, 1, 1));
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_time() {
    let fake = Fake::start(&[Act::Silent]);
    let pool = pool(&[&fake], |_| {});
    let began = Instant::now();
    assert!(matches!(ask(&pool).await, Err(Fault::TimedOut(_))));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let reason = pool.refusing().expect("its only server rests");
    assert!(reason.contains(&fake.address) && reason.contains("timed out"), "{reason}");
}

/// What an idle connection's end costs: nothing that the caller sees.
#[tokio::test]
async fn a_connection_closed_behind_us_costs_no_call() {
    let fake = Fake::start(&[Act::AnswerAndClose]);
    let pool = pool(&[&fake], |_| {});
    assert_eq!(ask(&pool).await, Ok("answer 1".into()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ask(&pool).await, Ok("answer 2".into()));
    assert_eq!(fake.connections(), 2);
    assert!(pool.server_figures()[0].alive);
}

/// A fresh connection that is closed unanswered is the server's failure; with a
/// retry left and another server, the call still succeeds.
#[tokio::test]
async fn another_server_takes_over() {
    let (broken, whole) = (Fake::start(&[Act::Close, Act::Close]), Fake::start(&[]));
    let pool = pool(&[&broken, &whole], |config| config.retries = 2);
    for _ in 0..6 {
        ask(&pool).await.expect("the other server answers");
    }
    assert!(whole.calls() >= 4, "{} calls", whole.calls());
    assert!(pool.counts.figures().retries >= 1);
}

/// Neither answers of others nor what is no answer at all is taken for one.
#[tokio::test]
async fn what_is_no_answer_is_not_believed() {
    const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    // A reply of our call whose string claims 2 GiB less one, and -1 bytes.
    const HUGE: &[u8] =
        b"\x80\x01\x00\x02\x00\x00\x00\x0cgetClusterId\x00\x00\x00\x01\x0b\x00\x00\x7f\xff\xff\xff";
    const NEGATIVE: &[u8] =
        b"\x80\x01\x00\x02\x00\x00\x00\x0cgetClusterId\x00\x00\x00\x01\x0b\x00\x00\xff\xff\xff\xff";
    const LONG_NAME: &[u8] = b"\x80\x01\x00\x02\x7f\xff\xff\xff";
    const BAD_TYPE: &[u8] =
        b"\x80\x01\x00\x02\x00\x00\x00\x0cgetClusterId\x00\x00\x00\x01\x63\x00\x00";
    for bytes in [HTTP, HUGE, NEGATIVE, LONG_NAME, BAD_TYPE] {
        let fake = Fake::start(&[Act::Bytes(bytes)]);
        let pool = pool(&[&fake], |_| {});
        lost(ask(&pool).await);
        alive(&pool).await;
        assert_eq!(ask(&pool).await, Ok("answer 2".into()), "after {bytes:?}");
    }
    let fake = Fake::start(&[Act::OutOfStep]);
    let pool = pool(&[&fake], |_| {});
    lost(ask(&pool).await);
    alive(&pool).await;
    assert_eq!(ask(&pool).await, Ok("answer 2".into()));
}

/// A server that went away and came back is found again without a hand.
#[tokio::test]
async fn a_server_that_comes_back_is_used() {
    let fake = Fake::start(&[]);
    let address = fake.address.clone();
    let pool = pool(&[&fake], |_| {});
    assert_eq!(ask(&pool).await, Ok("answer 1".into()));
    drop(fake);
    tokio::time::sleep(Duration::from_millis(50)).await;
    lost(ask(&pool).await);
    // While it is away, calls fail at once.
    let began = Instant::now();
    for _ in 0..20 {
        lost(ask(&pool).await);
    }
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    let again = Fake::start_at(&address, &[]);
    alive(&pool).await;
    assert_eq!(ask(&pool).await, Ok("answer 1".into()));
    assert!(again.calls() == 1 && pool.refusing().is_none());
}

#[tokio::test]
async fn calls_at_the_same_time_are_bounded() {
    let fake = Fake::start(&[Act::Late(Duration::from_millis(20)); 40]);
    let pool = pool(&[&fake], |config| {
        config.connections_max = 3;
        config.read_timeout_ms = 5_000;
    });
    let calls = (0..40).map(|_| ask(&pool));
    let mut answers = futures::future::try_join_all(calls).await.expect("all are answered");
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 40, "every call has an answer of its own");
    assert_eq!((fake.running_max(), fake.connections()), (3, 3));
}

#[tokio::test]
async fn a_closed_pool_takes_no_calls() {
    let fake = Fake::start(&[]);
    let pool = pool(&[&fake], |_| {});
    ask(&pool).await.expect("it answers");
    pool.close().await;
    assert!(matches!(ask(&pool).await, Err(Fault::Passing(_))));
    assert_eq!((fake.calls(), pool.server_figures()[0].idle), (1, 0));
}

/// Failures in a row make the store unready; one success, or a minute in which
/// nobody tried, makes it ready again.
#[tokio::test]
async fn failures_in_a_row_show() {
    let fake = Fake::start(&[Act::NotNow; 3]);
    let now_ms = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now_ms);
    let servers = vec![fake.address.clone()];
    let config = HbaseConfig { servers, retries: 0, ..HbaseConfig::default() };
    let pool = Pool::start(&config, Arc::new(move || clock.load(Ordering::SeqCst)));
    let failed = put(&pool).await;
    assert!(matches!(&failed, Err(Fault::Passing(_))), "{failed:?}");
    assert_eq!(pool.refusing(), None, "once is not in a row");
    now_ms.store(10_001, Ordering::SeqCst);
    put(&pool).await.expect_err("it fails again");
    let reason = pool.refusing().expect("it fails for 10 s");
    assert!(reason.contains("10001 ms") && reason.contains("odd"), "{reason}");
    now_ms.store(80_000, Ordering::SeqCst);
    assert_eq!(pool.refusing(), None, "nobody knows");
    put(&pool).await.expect_err("it fails again");
    assert!(pool.refusing().is_some());
    put(&pool).await.expect("it answers");
    assert_eq!(pool.refusing(), None);
}
